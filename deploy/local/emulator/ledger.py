"""The witness: an append-only log of everything asked, bought, delivered and fetched.

It holds no secret of the account: no token, no signature, and links are cut at their query. The one
exception is the webhook address of a purchase and of its deliveries. Its query may carry the
buyer's own token, and it is the evidence by which a purchase is told from its neighbours; entries
that hold one name it in `sensitive`.
"""

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.emulator.clock import Clock

Entry = Mapping[str, Any]

LONGEST_TEXT = 400  # of an input's value, in characters; a data URL can be megabytes


class Ledger:
    """Kept in memory for whoever embeds the emulator, and in a file (JSONL) where one is named.

    In memory are the last ``keeps`` entries (None: all of them); the file has every one.
    """

    def __init__(self, clock: Clock, path: Path | None = None, *, keeps: int | None = None) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=keeps)
        self._next = 1
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._next = _last_number(path) + 1
            # Unbuffered: what is written stays written when the process is killed.
            self._file = path.open("ab", buffering=0)
            if _torn(path):
                self._file.write(b"\n")

    def write(self, kind: str, **facts: Any) -> None:
        """`kind` says what happened; `seq` only grows, also over restarts on the same file."""
        entry = {
            "seq": self._next,
            "t": round(self._clock.now(), 3),
            "at": self._clock.wall().isoformat(timespec="microseconds"),
            "kind": kind,
            **facts,
        }
        self._next += 1
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")

    def entries(self, kind: str | None = None, *, after: int = 0, **facts: Any) -> list[Entry]:
        """What was written since `after` and is kept, oldest first; by kind, and by the facts
        given."""
        return [
            entry
            for entry in self._entries
            if entry["seq"] > after
            and (kind is None or entry["kind"] == kind)
            and all(entry.get(name) == value for name, value in facts.items())
        ]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _last_number(path: Path) -> int:
    """The number of the last whole line; a line torn by a kill does not count."""
    if not path.exists():
        return 0
    last = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                last = int(json.loads(line)["seq"])
            except (ValueError, KeyError, TypeError):
                continue
    return last


def _torn(path: Path) -> bool:
    """Whether a kill left half a line at the end."""
    with path.open("rb") as lines:
        size = lines.seek(0, 2)
        if size == 0:
            return False
        lines.seek(size - 1)
        return lines.read() != b"\n"


def without_secrets(value: Any) -> Any:
    """An input fit to be kept: links without their query, data URLs and long texts cut."""
    match value:
        case str() if value.startswith("data:"):
            return f"{value[:40].split(',', maxsplit=1)[0]},… ({len(value)} characters)"
        case str() if value.startswith(("http://", "https://")):
            return without_query(value)
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:LONGEST_TEXT]}… ({len(value)} characters)"
        case dict():
            return {str(name): without_secrets(item) for name, item in value.items()}
        case list():
            return [without_secrets(item) for item in value]
        case _:
            return value


def without_query(url: str) -> str:
    """A presigned link gives its bearer access by its query: the path says what it was."""
    path, asked, _ = url.partition("?")
    return f"{path}?…" if asked else path
