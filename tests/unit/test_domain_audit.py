"""The pure part of the audit: files and purchases held against each other, and what is to be typed."""

import hashlib
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import typer
from typer.core import TyperGroup

from services.cli.app import app
from shared.db.laws import LAWS
from shared.domain.audit import (
    FILE_LAWS,
    PROVIDER_LAWS,
    Bought,
    Kept,
    Law,
    of_bytes,
    of_file,
    of_listed,
    of_object,
)
from shared.domain.prediction import Prediction, Status, read_prediction
from shared.sweep import Pace

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALL = (*LAWS, *FILE_LAWS, *PROVIDER_LAWS)
JOB = UUID(int=7)
A_FILE = Kept(job_id=JOB, key=f"jobs/{JOB}/generated/1-1-0.png", bytes=10, sha256="a" * 64)


def test_every_law_has_a_name_of_its_own() -> None:
    assert len({law.name for law in ALL}) == len(ALL)


def test_an_id_that_somebody_else_chose_is_one_word_of_the_command() -> None:
    law = Law(name="x", means="x", mend="darkroom parked replay {id} --queue {job}")
    nasty = "x; rm -rf / {job}"

    finding = law.broken_by(nasty, "odd", job="$(id)")

    assert shlex.split(finding.mend)[3:] == [nasty, "--queue", "$(id)"]


@pytest.mark.parametrize("mend", sorted({law.mend for law in ALL}))
def test_every_command_that_a_finding_names_is_one_that_can_be_typed(mend: str) -> None:
    program, *typed = mend.format(id="x", job=JOB).split()
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        context = command.make_context(program, [], resilient_parsing=True)
        found = command.get_command(context, typed.pop(0))
        assert found is not None
        command = found

    command.make_context(program, typed)  # a UsageError where it would not take them


# ---- files


def test_a_file_as_it_was_stored_is_no_finding() -> None:
    assert of_file(A_FILE, 10) is None
    assert of_bytes(A_FILE, "a" * 64) is None


@pytest.mark.parametrize(("size", "law"), [(None, "file.missing"), (9, "file.different")])
def test_a_file_that_is_gone_or_of_another_size_is_named(size: int | None, law: str) -> None:
    finding = of_file(A_FILE, size)

    assert finding is not None
    assert (finding.law, finding.id, finding.job) == (law, A_FILE.key, str(JOB))


def test_other_bytes_of_the_same_size_are_named() -> None:
    finding = of_bytes(A_FILE, hashlib.sha256(b"other").hexdigest())

    assert finding is not None
    assert finding.law == "file.different"


def test_what_a_publisher_puts_beside_its_original_is_its_own() -> None:
    assert of_object(JOB, f"jobs/{JOB}/original/notes.txt") is None
    assert of_object(JOB, f"jobs/{JOB}/generated/9-9-9.png") is not None


# ---- purchases


def listed(status: str, *, ended: datetime | None = None) -> Prediction:
    return read_prediction(
        {
            "id": "p",
            "status": status,
            "created_at": NOW.isoformat(),
            "completed_at": ended.isoformat() if ended else None,
        }
    )


def judged(entry: Prediction, ours: Status | None) -> str | None:
    finding = of_listed(
        entry,
        {"p": Bought(prediction_id="p", job_id=uuid4(), status=ours)},
        now=NOW,
        settled=timedelta(minutes=5),
    )
    return None if finding is None else finding.law


@pytest.mark.parametrize("ours", [None, *Status])
def test_what_still_runs_at_the_provider_says_nothing_against_the_ledger(
    ours: Status | None,
) -> None:
    assert judged(listed("processing"), ours) is None


@pytest.mark.parametrize("ours", [None, Status.STARTING, Status.PROCESSING])
def test_an_end_may_be_on_its_way_for_a_while(ours: Status | None) -> None:
    assert judged(listed("failed", ended=NOW - timedelta(minutes=4)), ours) is None
    assert judged(listed("failed", ended=NOW - timedelta(minutes=6)), ours) == "prediction.behind"
    assert judged(listed("failed"), ours) == "prediction.behind"


def test_two_verdicts_contradict_each_other_at_once() -> None:
    assert judged(listed("failed", ended=NOW), Status.SUCCEEDED) == "prediction.contradicted"
    assert judged(listed("failed", ended=NOW), Status.FAILED) is None


# ---- reading at a pace


async def test_readers_together_keep_the_pace() -> None:
    at = 100.0
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal at
        waits.append(seconds)
        at += seconds

    pace = Pace(50.0, clock=lambda: at, sleep=sleep)
    for size in (100, 25):
        await pace.passed(size)
    at += 10.0  # a pause earns no burst
    await pace.passed(50)

    assert waits == [2.0, 0.5, 1.0]


# ---- the page about it


def test_the_page_about_the_audit_tells_every_law_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")

    for law in ALL:
        breach = "is a fault" if law.must else "is worth a look"
        assert f"| `{law.name}` | {law.means} | {breach} | `{law.mend}` |" in page
    told = re.findall(r"^\| `(\w+\.\w+)` \|", page, re.MULTILINE)
    assert told == [law.name for law in ALL]
