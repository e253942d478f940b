"""The live view: every state that a job or a slot can be in has its look, on a terminal and off."""

import io
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from services.cli.live import SLOTS_DRAWN, JsonLines, Tongue, View, seen, shown
from shared.db.jobs import Job
from shared.db.live import JobNow, PurchaseNow, SlotNow
from shared.domain.job import JobState
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState

JOB = UUID("11111111-2222-4333-8444-555555555555")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARAMS = {"count": 1, "prompt": "x", "strength": 0.5, "seed": None, "at_least": None}


def a_view(
    job_state: JobState,
    *slot_states: SlotState,
    progress: float | None = None,
    slot: dict[str, Any] | None = None,
    **job: Any,
) -> View:
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    fields |= {"id": JOB, "recipe": "variations", "state": job_state, "n": len(slot_states)}
    fields |= {"params": PARAMS, "report": "pending", "unread": (), **job}
    slots = []
    for ordinal, state in enumerate(slot_states, start=1):
        values: dict[str, Any] = dict.fromkeys(SlotNow.__dataclass_fields__)
        values |= {"ordinal": ordinal, "state": state, "attempt": 1, "skipped": [], **(slot or {})}
        slots.append(SlotNow(**values))
    bought = PurchaseNow(
        ordinal=1,
        attempt=1,
        prediction_id="bought-1",
        status=Status.PROCESSING,
        progress=progress,
        last_webhook_at=NOON,
    )
    return seen(JobNow(job=Job(**fields), slots=tuple(slots), bought=(bought,)))


def drawn(*views: View, terminal: bool, tongue: Tongue = Tongue.EN) -> str:
    out = io.StringIO()
    with shown(
        tongue, Console(file=out, force_terminal=terminal, width=140, color_system=None)
    ) as screen:
        for view in views:
            screen.update([view])
    return out.getvalue()


@pytest.mark.parametrize("tongue", list(Tongue))
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
@pytest.mark.parametrize("state", list(JobState))
def test_every_state_of_a_job_is_told_in_its_sentence(
    state: JobState, terminal: bool, tongue: Tongue
) -> None:
    view = a_view(state, SlotState.PENDING)

    assert view.live.sentence[tongue] in drawn(view, terminal=terminal, tongue=tongue)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
@pytest.mark.parametrize("state", list(SlotState))
def test_every_state_of_one_slot_among_several_is_shown_with_words(
    state: SlotState, terminal: bool
) -> None:
    view = a_view(JobState.RUNNING, state, SlotState.PENDING)

    text = drawn(view, terminal=terminal)

    assert view.live.slots[0].words["en"] in text
    assert "bought-1" in text


def test_a_terminal_shows_how_far_each_slot_is() -> None:
    near = drawn(a_view(JobState.RUNNING, SlotState.RUNNING, progress=0.9), terminal=True)
    far = drawn(a_view(JobState.RUNNING, SlotState.RUNNING, progress=0.1), terminal=True)

    assert "(90 %)" in near
    assert near.count("━") > 2 * far.count("━")


def test_a_log_tells_every_quarter_and_not_every_percent() -> None:
    views = [
        a_view(JobState.RUNNING, SlotState.RUNNING, progress=done / 100) for done in range(100)
    ]

    assert drawn(*views, terminal=False).count("\n") == 4


def test_a_terminal_shows_only_so_many_slots_of_one_job() -> None:
    text = drawn(a_view(JobState.RUNNING, *[SlotState.RUNNING] * 40), terminal=True)

    assert f"… {40 - SLOTS_DRAWN} more" in text


def test_what_a_slot_failed_of_is_shown_to_the_operator() -> None:
    failed = {"failure_code": FailureCode.PROVIDER, "failure_detail": "CUDA [out]\nof memory"}

    text = drawn(a_view(JobState.FAILED, SlotState.FAILED, slot=failed), terminal=True)

    assert "CUDA [out] of memory" in text


def test_programs_get_one_json_object_per_change(capsys: pytest.CaptureFixture[str]) -> None:
    running = a_view(JobState.RUNNING, SlotState.RUNNING, progress=0.5)
    done = a_view(JobState.COMPLETED, SlotState.STORED, report="published")

    with JsonLines() as show:
        for view in (running, running, done):
            show.update([view])

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["state"] for each in told] == ["running", "completed"]
    assert told[0]["job_id"] == str(JOB)
    assert told[0]["sentence"]["ko"] == "만들고 있습니다(50%)."
    assert told[0]["replicate_status"] == "processing"
    assert told[0]["last_webhook_received"].startswith("2026-11-21")
    assert set(told[0]) == {
        *("job_id", "state", "sentence", "progress", "replicate_status"),
        *("last_webhook_received", "report", "stored", "n", "notes", "waits_for", "held_until"),
    }
    assert told[1]["progress"] == 1


def test_a_job_succeeded_when_it_is_completed_and_its_report_is_in() -> None:
    for state in JobState:
        for report in ("pending", "published", "failed"):
            view = a_view(state, SlotState.STORED, report=report)
            wanted = state is JobState.COMPLETED and report == "published"
            assert view.succeeded is wanted
