"""What the witness reads out of the provider's log."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.local.emulator.faults import FAULTS
from deploy.local.prove.log import SPOILS, File, For, Log, read_log

JOB = "0a5f7c1e-32b1-4b0e-9f6e-1d9f5b9f2a11"
AT = "2026-11-21T12:00:00.000001+00:00"


def read(tmp_path: Path, *entries: Any) -> Log:
    """The log of these entries; a text is written as it stands."""
    path = tmp_path / "ledger.jsonl"
    lines = [one if isinstance(one, str) else json.dumps({"at": AT} | one) for one in entries]
    path.write_text("\n".join(lines) + "\n")
    return read_log(path)


def bought(webhook: str | None = None, **said: Any) -> dict[str, Any]:
    return {"kind": "purchase", "prediction": "p1", "webhook": webhook, "faults": []} | said


def test_a_purchase_is_followed_to_its_end_and_its_files(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        bought(f"https://us/webhooks/replicate?slot={JOB}.3.2.a-token.with_dots", faults=["fail"]),
        {"kind": "request", "path": "/v1/predictions"},
        {"kind": "delivery", "prediction": "p1", "heard": False},
        {"kind": "delivery", "prediction": "p1", "heard": True},
        {
            "kind": "ended",
            "prediction": "p1",
            "status": "succeeded",
            "files": [{"bytes": 7, "sha256": "a" * 64}],
        },
    )

    one = log.bought["p1"]
    assert one.bought_for == For(JOB, 3, 2)
    assert one.bought_at.isoformat() == AT
    assert (one.ended, one.files) == ("succeeded", (File(7, "a" * 64),))
    assert (log.deliveries, log.heard, log.faults, log.broke) == (2, 1, {"fail": 1}, 0)


@pytest.mark.parametrize(
    ("faults", "removed", "spoiled"),
    [
        ([], False, False),
        (["duplicate", "lose_create_answer"], False, False),
        (["duplicate", "short_file"], False, True),
        ([], True, True),
    ],
)
def test_whether_the_files_of_a_purchase_were_good_is_told_by_its_faults_and_its_time(
    tmp_path: Path, faults: list[str], removed: bool, spoiled: bool
) -> None:
    ended = {"kind": "ended", "prediction": "p1", "status": "succeeded", "files": []}
    gone = [{"kind": "data_removed", "prediction": "p1"}] if removed else []

    log = read(tmp_path, bought(faults=faults), ended, *gone)

    assert log.bought["p1"].spoiled is spoiled


def test_what_spoils_files_are_faults_that_there_are() -> None:
    assert set(FAULTS) >= SPOILS


@pytest.mark.parametrize(
    "webhook",
    [
        None,
        "https://us/webhooks/replicate",
        "https://us/webhooks/replicate?slot=somebody.elses",
        f"https://us/?slot={JOB}.1.1.token&slot={JOB}.2.1.token",
    ],
)
def test_a_purchase_whose_webhook_names_no_slot_is_for_none(
    tmp_path: Path, webhook: str | None
) -> None:
    assert read(tmp_path, bought(webhook)).bought["p1"].bought_for is None


def test_a_line_that_a_kill_has_torn_is_no_line(tmp_path: Path) -> None:
    log = read(tmp_path, '{"seq": 1, "kind": "purchase", "predic', bought(), "")

    assert list(log.bought) == ["p1"]


def test_words_of_a_prompt_are_not_taken_for_an_entry(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        {"kind": "request", "prompt": '"kind": "purchase"'},
        bought(input={"prompt": '"kind": "ended", "status": "succeeded"'}),
    )

    assert log.bought["p1"].ended is None


def test_an_emulator_that_broke_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, {"kind": "crash", "error": "ValueError()"}).broke == 1


def test_an_end_of_what_was_bought_elsewhere_is_passed_by(tmp_path: Path) -> None:
    log = read(tmp_path, {"kind": "ended", "prediction": "p9", "status": "failed"})

    assert log.bought == {}
