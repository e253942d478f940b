"""What the provider's own log says was bought, and what came of it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ENDS = frozenset({"succeeded", "failed", "canceled", "aborted"})

# Faults after which a file may be of no use to us, by their names in the log.
SPOILS = frozenset(
    {
        *("nsfw", "output", "other_format", "silent", "empty_sound", "empty_file", "wrong_file"),
        *("missing_file", "early_expiry", "failing_file", "truncated_file", "short_file"),
        *("slow_file", "wrong_content_type", "not_an_image", "redirected_file"),
    }
)

# The address that a purchase asks news to: ?slot=<job>.<ordinal>.<attempt>.<token>
_SLOT = re.compile(r"([0-9a-f-]{36})\.([0-9]+)\.([0-9]+)\.(.+)")


@dataclass(frozen=True, slots=True)
class For:
    """Whom a purchase was for, as its webhook's address says."""

    job: str
    ordinal: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.job}.{self.ordinal}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class File:
    """One file that an output named."""

    bytes: int
    sha256: str


@dataclass(slots=True)
class Bought:
    """One purchase. ``ended`` is the status that it ended with, None while it runs; ``files`` are
    what its output named, in order. ``spoiled``: the provider did something to its files, by a fault
    or because their time was over."""

    prediction: str
    bought_at: datetime
    bought_for: For | None
    ended: str | None = None
    files: tuple[File, ...] = ()
    spoiled: bool = False


@dataclass(slots=True)
class Log:
    """All purchases by their prediction's id, how many webhooks were sent and heard, which faults
    the purchases met, and how often the emulator itself broke (then it is no witness)."""

    bought: dict[str, Bought] = field(default_factory=dict)
    deliveries: int = 0
    heard: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    broke: int = 0


def read_log(path: Path) -> Log:
    """Read it whole; a line that a kill has torn is no line."""
    log = Log()
    for entry in _entries(path):
        match entry["kind"]:
            case "purchase":
                log.bought[entry["prediction"]] = Bought(
                    prediction=entry["prediction"],
                    bought_at=datetime.fromisoformat(entry["at"]),
                    bought_for=_bought_for(entry.get("webhook")),
                    spoiled=not SPOILS.isdisjoint(entry.get("faults", ())),
                )
                log.faults.update(entry.get("faults", ()))
            case "crash":
                log.broke += 1
            case "ended":
                one = log.bought.get(entry["prediction"])
                if one is not None:
                    one.ended = str(entry["status"])
                    one.files = tuple(
                        File(int(file["bytes"]), str(file["sha256"]))
                        for file in entry.get("files", ())
                    )
            case "data_removed":
                one = log.bought.get(entry["prediction"])
                if one is not None:
                    one.spoiled = True
            case "delivery":
                log.deliveries += 1
                log.heard += bool(entry["heard"])
            case _:
                pass
    return log


_READ = tuple(
    f'"kind": "{kind}"'.encode()
    for kind in ("purchase", "ended", "data_removed", "delivery", "crash")
)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for line in lines:
            # Most lines are requests and fetches; only what is read here is worth its parsing.
            if not any(kind in line for kind in _READ):
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "kind" in entry:
                yield entry


def _bought_for(webhook: str | None) -> For | None:
    named = parse_qs(urlsplit(webhook or "").query).get("slot", [])
    found = _SLOT.fullmatch(named[0]) if len(named) == 1 else None
    return None if found is None else For(found[1], int(found[2]), int(found[3]))
