"""What a run looks like from outside while it goes on: what is owed since when, and who grows."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.local.stack import psql
from deploy.local.stack.errors import StackError

PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_ASKED = 5000  # ids in one question
# Younger processes still warm up: their growth says nothing of a leak.
WARM_AFTER_S = 45.0
LONG_ENOUGH_S = 60.0

# Each is the moment of the oldest thing of its kind that would still have to move, as Unix seconds.
OLDEST: Mapping[str, str] = {
    "unpublished": "SELECT min(recorded_at) FROM journal WHERE published_at IS NULL",
    "parked": "SELECT min(first_at) FROM parked_message WHERE due_at IS NOT NULL",
    "due": "SELECT min(due_at) FROM slot WHERE state = 'pending'",
    "creating": "SELECT min(moved_at) FROM slot WHERE state = 'creating'",
    "in_doubt": "SELECT min(moved_at) FROM slot WHERE state = 'in_doubt'",
    "unsaved": "SELECT min(moved_at) FROM slot WHERE state = 'succeeded'",
    # From the open jobs on, each slot by its key: all slots of a long run take half a second to read.
    "uncounted": """
        SELECT min(waits.since)
          FROM job, LATERAL (SELECT min(moved_at) AS since FROM slot
                              WHERE job_id = job.id AND state IN ('stored', 'failed')
                                AND counted_at IS NULL) AS waits
         WHERE job.ended_at IS NULL""",
    "unreported": """
        SELECT min(ended_at) FROM job WHERE state = 'completed' AND report = 'pending'""",
}
NUMBERS: Mapping[str, str] = {
    "open_jobs": "SELECT count(*) FROM job WHERE ended_at IS NULL",
    "jobs": "SELECT count(*) FROM job",
    "dead": "SELECT count(*) FROM parked_message WHERE due_at IS NULL",
}
ENDED = "('succeeded', 'failed', 'canceled', 'aborted')"


@dataclass(slots=True)
class Ledger:
    """The emulator's log, read as it grows. ``unheard``: predictions that have ended and whose end
    no row of ours shows yet, with the moment of their end."""

    path: Path
    kinds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    unheard: dict[str, float] = field(default_factory=dict)
    _read: int = 0
    _rest: bytes = b""

    def read_on(self) -> None:
        """Take in what was written since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        self._read += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line:
                self._take(json.loads(line))

    def _take(self, entry: Mapping[str, Any]) -> None:
        kind = entry["kind"]
        self.kinds[kind] += 1
        match kind:
            case "ended":
                self.ends[entry["status"]] += 1
                self.unheard[entry["prediction"]] = datetime.fromisoformat(entry["at"]).timestamp()
            case "purchase":
                self.faults.update(entry["faults"])
            case "request" if entry.get("fault"):
                self.faults[entry["fault"]] += 1
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Owed:
    """What would still have to move. ``since``: the oldest of each kind, as Unix seconds."""

    since: Mapping[str, float]
    numbers: Mapping[str, int]

    @property
    def oldest(self) -> float | None:
        return min(self.since.values(), default=None)

    @property
    def oldest_kind(self) -> str:
        return min(self.since, key=self.since.__getitem__, default="")

    def nothing_before(self, moment: float) -> bool:
        """Everything that was due at ``moment`` is done."""
        return self.oldest is None or self.oldest > moment


class Watch:
    """Asks Postgres through ``psql``, a second at most: a look must not weigh."""

    def __init__(self, database_url: str, ledger: Path) -> None:
        self._url = database_url
        self.ledger = Ledger(ledger)

    async def look(self, ordered: dict[str, float]) -> Owed | None:
        """What is owed now; None where Postgres does not answer. Takes out of ``ordered`` (job ids
        and when they were ordered) those that have become jobs."""
        await asyncio.to_thread(self.ledger.read_on)
        unheard = _first(self.ledger.unheard)
        waiting = _first(ordered)
        try:
            said = await asyncio.to_thread(psql.ask, self._url, _question(unheard, waiting))
        except StackError:
            return None
        answer = json.loads(said)
        for gone in set(unheard) - set(answer["unheard"]):
            self.ledger.unheard.pop(gone, None)
        for gone in set(waiting) - set(answer["waiting"]):
            ordered.pop(gone, None)
        since = {name: float(at) for name, at in answer["since"].items() if at is not None}
        for name, moments in (("unheard", self.ledger.unheard), ("unplanned", ordered)):
            if moments:
                since[name] = min(moments.values())
        return Owed(since, answer["numbers"])


def _first(moments: Mapping[str, float]) -> list[str]:
    return [key for key, _ in zip(moments, range(MOST_ASKED), strict=False)]


def _question(unheard: Iterable[str], waiting: Iterable[str]) -> str:
    since = ", ".join(f"'{name}', extract(epoch FROM ({sql}))" for name, sql in OLDEST.items())
    numbers = ", ".join(f"'{name}', ({sql})" for name, sql in NUMBERS.items())
    # The ids are our own: letters, digits and hyphens.
    return f"""
        SELECT json_build_object(
            'since', json_build_object({since}),
            'numbers', json_build_object({numbers}),
            'unheard', (SELECT coalesce(json_agg(id), '[]')
                          FROM unnest('{{{",".join(unheard)}}}'::text[]) AS id
                         WHERE NOT EXISTS (SELECT FROM prediction
                                            WHERE prediction_id = id AND status IN {ENDED})),
            'waiting', (SELECT coalesce(json_agg(id), '[]')
                          FROM unnest('{{{",".join(waiting)}}}'::uuid[]) AS id
                         WHERE NOT EXISTS (SELECT FROM job WHERE job.id = id.id)))
    """  # noqa: S608


@dataclass(slots=True)
class Growth:
    """The resident memory of one process over its life, in MiB, by its age in seconds."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def peak(self) -> float:
        return max((mib for _, mib in self.samples), default=0.0)

    def slope(self) -> float | None:
        """MiB an hour once warm, by least squares; None where it did not live long enough."""
        warm = [(age, mib) for age, mib in self.samples if age >= WARM_AFTER_S]
        if len(warm) < 10 or warm[-1][0] - warm[0][0] < LONG_ENOUGH_S:
            return None
        mean_x = sum(age for age, _ in warm) / len(warm)
        mean_y = sum(mib for _, mib in warm) / len(warm)
        spread = sum((age - mean_x) ** 2 for age, _ in warm)
        together = sum((age - mean_x) * (mib - mean_y) for age, mib in warm)
        return together / spread * 3600


class Memory:
    """Follows the memory of processes that come and go."""

    def __init__(self) -> None:
        self._lives: dict[tuple[str, int], tuple[float, Growth]] = {}

    def note(self, service: str, pid: int, at: float) -> None:
        """Sample one process now, ``at`` in seconds of any clock that only grows."""
        try:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
        except OSError:
            return  # it died meanwhile, or the kernel has no /proc
        born, growth = self._lives.setdefault((service, pid), (at, Growth()))
        growth.samples.append((at - born, resident))

    def told(self) -> dict[str, dict[str, float | int | None]]:
        """For each service: its peak, and the slope and the age of the life that lasted longest."""
        return {service: _summed(lives) for service, lives in self._by_service()}

    def _by_service(self) -> Iterator[tuple[str, list[Growth]]]:
        for service in sorted({service for service, _ in self._lives}):
            yield service, [g for (s, _), (_, g) in self._lives.items() if s == service]


def _summed(lives: list[Growth]) -> dict[str, float | int | None]:
    longest = max(lives, key=lambda growth: growth.samples[-1][0])
    slope = longest.slope()
    return {
        "lives": len(lives),
        "peak_mib": round(max(growth.peak for growth in lives), 1),
        "longest_life_s": round(longest.samples[-1][0], 1),
        "mib_an_hour": None if slope is None else round(slope, 1),
    }
