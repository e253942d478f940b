"""What a row is held against, read when it is over: the provider's ledger and the services' logs."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.local.prove.promises import Delivery, Fate, Handled

DROPPED = frozenset({"drop_webhooks", "drop_terminal"})


def read_ledger(path: Path) -> tuple[list[Delivery], list[Fate]]:
    """Every try of a webhook, and what became of every success."""
    deliveries: list[Delivery] = []
    ended: dict[str, float] = {}
    fetched: dict[str, float] = {}
    dropped: set[str] = set()
    for entry in _lines(path):
        match entry["kind"]:
            case "delivery":
                deliveries.append(_delivery(entry))
            case "ended" if entry["status"] == "succeeded":
                ended[entry["prediction"]] = entry["t"]
            case "file_fetch" if entry["status"] == 200 and entry["prediction"] is not None:
                fetched.setdefault(entry["prediction"], entry["t"])
            case "purchase" if DROPPED & set(entry["faults"]):
                dropped.add(entry["prediction"])
            case _:
                pass
    fates = [
        Fate(
            prediction=prediction,
            fetched_after_s=fetched[prediction] - at if prediction in fetched else None,
            dropped=prediction in dropped,
        )
        for prediction, at in ended.items()
    ]
    return deliveries, fates


def _delivery(entry: dict[str, Any]) -> Delivery:
    # It is written down when it is over.
    at = datetime.fromisoformat(entry["at"]).timestamp() - entry["ms"] / 1000
    return Delivery(
        prediction=entry["prediction"],
        webhook_id=entry["webhook_id"],
        at=at,
        ms=entry["ms"],
        status=entry["status"],
        last=entry["last"],
    )


def read_handled(logs: Iterable[Path]) -> list[Handled]:
    """What the services say that they have handled, by their own logs."""
    return [_handled(entry) for log in logs for entry in _lines(log, only=b'"message.handled"')]


def _handled(entry: dict[str, Any]) -> Handled:
    return Handled(
        queue=entry["queue"],
        event_id=entry["event_id"],
        at=datetime.fromisoformat(entry["timestamp"]).timestamp(),
        redelivered=entry["redelivered"],
        well=entry["outcome"] == "ok",
    )


def _lines(path: Path, *, only: bytes = b"") -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, a line each; what a kill has torn is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if only not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry
