"""What a row is held against is read from what was written down, and nothing is counted twice."""

import json
import os
from pathlib import Path

from deploy.local.prove.evidence import read_handled, read_ledger
from deploy.local.prove.meters import Counters, Descriptors

PURCHASE = {"kind": "purchase", "prediction": "p1", "faults": ["drop_webhooks"], "t": 1.0}
ENDED = {"kind": "ended", "prediction": "p1", "status": "succeeded", "t": 10.0}


def written(path: Path, *entries: object, rest: str = "") -> Path:
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries) + rest)
    return path


def test_a_success_is_told_with_its_first_whole_fetch_and_with_what_became_of_its_webhooks(
    tmp_path: Path,
) -> None:
    ledger = written(
        tmp_path / "ledger.jsonl",
        PURCHASE,
        ENDED,
        {"kind": "file_fetch", "prediction": "p1", "status": 500, "t": 11.0},
        {"kind": "file_fetch", "prediction": "p1", "status": 200, "t": 12.5},
        {"kind": "file_fetch", "prediction": "p1", "status": 200, "t": 99.0},
        {"kind": "ended", "prediction": "p2", "status": "succeeded", "t": 20.0},
        {"kind": "ended", "prediction": "p3", "status": "failed", "t": 20.0},
    )

    _, fates = read_ledger(ledger)

    assert [(fate.prediction, fate.fetched_after_s, fate.dropped) for fate in fates] == [
        ("p1", 2.5, True),
        ("p2", None, False),
    ]


def test_a_delivery_began_before_it_was_written_down(tmp_path: Path) -> None:
    ledger = written(
        tmp_path / "ledger.jsonl",
        {
            "kind": "delivery",
            "prediction": "p1",
            "webhook_id": "msg_1",
            "at": "2026-01-01T00:00:10.500000+00:00",
            "ms": 500.0,
            "status": 503,
            "last": True,
        },
        rest='{"kind": "deliv',
    )

    [delivery], _ = read_ledger(ledger)

    assert delivery.at == 1767225610.0
    assert not delivery.heard


def test_what_services_have_handled_is_read_from_their_logs_and_foreign_lines_are_passed_over(
    tmp_path: Path,
) -> None:
    log = written(
        tmp_path / "storage.log",
        {
            "event": "message.handled",
            "queue": "q",
            "event_id": "e",
            "outcome": "ok",
            "redelivered": True,
            "timestamp": "2026-01-01T00:00:10Z",
        },
        {"event": "purchase.accepted"},
        rest='Traceback (most recent call last):\n  "message.handled" {torn',
    )

    [handled] = read_handled([log, tmp_path / "none.log"])

    assert (handled.queue, handled.event_id, handled.at) == ("q", "e", 1767225610.0)
    assert handled.redelivered
    assert handled.well


def exposed(confirmed: int, timeouts: int) -> str:
    return (
        "# TYPE darkroom_publish counter\n"
        f'darkroom_publish_total{{outcome="confirmed"}} {confirmed}.0\n'
        f'darkroom_publish_total{{outcome="timeout"}} {timeouts}.0\n'
    )


def test_totals_go_on_over_a_restart_and_a_look_does_not_count_twice() -> None:
    counters = Counters()
    counters.note("storage-a", 100, exposed(5, 9))
    counters.note("storage-a", 100, exposed(7, 9))
    counters.note("storage-a", 200, exposed(2, 0))  # another process, which counts from nothing

    assert counters.totals() == {"confirms": 9}


def test_open_files_are_told_of_processes_that_are_warm(tmp_path: Path) -> None:
    mine, descriptors = os.getpid(), Descriptors()
    descriptors.note("cli", mine, 0.0)
    descriptors.note("cli", mine, 50.0)
    with (tmp_path / "open").open("w"):
        descriptors.note("cli", mine, 60.0)
    descriptors.note("gone", 2**22 + 1, 0.0)

    told = descriptors.told(warm_after_s=45.0)
    first, most = told[f"cli ({mine})"]

    assert most == first + 1
    assert len(told) == 1
