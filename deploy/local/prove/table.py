"""The table that a run ends with: each fault, how often, what became of it."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deploy.local.prove.plugs import DONE, Pulled
from deploy.local.prove.schedule import ALL_PLUGS, WEATHER, Plug
from deploy.local.prove.verdict import Finding, Verdict

KINDS = ("lost", "duplicated", "unaccounted", "stuck")
NOT_MEASURED = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. ``injected``: times that it really happened. The findings are those of the run
    whose job lived through it; where faults overlap, each of them gets the finding. ``settle``:
    seconds from the plug's being back in until everything that had been due by then was done, of
    the pulls where that was seen. ``matrix``: the row of the fault matrix, done and stated."""

    fault: str
    injected: int
    missed: int = 0  # pulls that found their aim in another's hand, or a point not reached
    lost: int = 0
    duplicated: int = 0
    unaccounted: int = 0
    stuck: int = 0
    settle: tuple[float, ...] = field(default=(), repr=False)
    matrix: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.settle) if self.settle else None

    @property
    def worst(self) -> float | None:
        return max(self.settle, default=None)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"settle_median": self.median, "settle_worst": self.worst}


@dataclass(frozen=True, slots=True)
class Lived:
    """How long the job of a finding lived, in Unix seconds, and what the emulator did to it."""

    began: float
    ended: float
    weather: frozenset[str] = frozenset()


def rows(
    pulled: Sequence[Pulled],
    weather: Mapping[str, int],
    verdict: Verdict,
    lives: Mapping[str, Lived],
    *,
    faults: Sequence[str],
    spoiled: int,
) -> list[Row]:
    """The rows of the faults that were asked for. ``weather``: how often the emulator did what, by
    its own log; ``lives``: of the findings, by their id; ``spoiled``: requests that an ill bucket
    turned away, slowed down or cut."""
    found = [(kind, finding) for kind in KINDS for finding in getattr(verdict, kind)]
    table = [_of_plug(name, pulled, found, lives, spoiled) for name in faults if name in ALL_PLUGS]
    kinds = [(name, rule["fault"]) for name in faults for rule in WEATHER.get(name, ())]
    return table + [
        _of_weather(f"{name}: {fault}", fault, weather, found, lives)
        for name, fault in dict.fromkeys(kinds)
    ]


def _of_plug(
    name: str,
    pulled: Sequence[Pulled],
    found: Sequence[tuple[str, Finding]],
    lives: Mapping[str, Lived],
    spoiled: int,
) -> Row:
    mine = [each for each in pulled if each.pull.plug == name]
    done = [each for each in mine if each.outcome == DONE]
    counts = Counter(
        kind
        for kind, finding in found
        if (life := lives.get(finding.id)) is not None and any(_overlap(p, life) for p in mine)
    )
    plug = ALL_PLUGS[name]
    return Row(
        fault=name,
        injected=len(done),
        missed=len(mine) - len(done),
        settle=tuple(s for each in done if (s := each.settle_s) is not None),
        matrix=_matrix(plug, done, spoiled),
        lost=counts["lost"],
        duplicated=counts["duplicated"],
        unaccounted=counts["unaccounted"],
        stuck=counts["stuck"],
    )


def _matrix(plug: Plug, done: Sequence[Pulled], spoiled: int) -> str:
    """How much of its row of the matrix this run was: a row counts at its stated count only."""
    match plug.name:
        case "crash":
            times = Counter(each.pull.point for each in done)
            least = min(times.values(), default=0)
            return f"{plug.row}: {len(times)} points, {least} of {plug.stated} each"
        case "s3":
            return f"{plug.row}: {spoiled} of {plug.stated} requests"
        case _:
            return f"{plug.row}: {len(done)} of {plug.stated}"


def _of_weather(
    name: str,
    fault: str,
    weather: Mapping[str, int],
    found: Sequence[tuple[str, Finding]],
    lives: Mapping[str, Lived],
) -> Row:
    counts = Counter(
        kind
        for kind, finding in found
        if (life := lives.get(finding.id)) is not None and fault in life.weather
    )
    return Row(
        fault=name,
        injected=weather.get(fault, 0),
        lost=counts["lost"],
        duplicated=counts["duplicated"],
        unaccounted=counts["unaccounted"],
        stuck=counts["stuck"],
    )


def _overlap(pulled: Pulled, life: Lived) -> bool:
    until = pulled.settled_at or pulled.back_at or pulled.out_at
    return pulled.out_at <= life.ended and life.began <= until


def lines(table: Iterable[Row]) -> Iterable[str]:
    """What people read."""
    yield (
        f"{'fault':<34}{'injected':>9}{'missed':>7}{'lost':>6}{'dupl.':>6}{'unacc.':>7}"
        f"{'stuck':>6}{'settle s: median':>18}{'worst':>7}  matrix"
    )
    for row in table:
        yield (
            f"{row.fault:<34}{row.injected:>9}{row.missed:>7}{row.lost:>6}{row.duplicated:>6}"
            f"{row.unaccounted:>7}{row.stuck:>6}{_seconds(row.median):>18}{_seconds(row.worst):>7}"
            f"  {row.matrix}"
        ).rstrip()


def _seconds(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.1f}"
