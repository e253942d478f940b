"""The waterfall as bars: pure, from where a job's seconds went to what is drawn of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.slot import SlotState
from shared.domain.slowest import STAGES, about_clocks, sentence, told_span
from shared.domain.waterfall import Lane, Segment, Stage, Waterfall
from shared.words import Words

WIDE = 1000.0  # units of the drawing, for all of the job's time
THIN = 2.0  # what took next to no time is seen all the same
DRAWN = 200  # slots; those that ended last, where a job has more
AT_ONCE = 20  # the rest is folded
PARTS = 4


class Hue(StrEnum):
    """What stages are drawn alike. Each has a name of its own beside its colour."""

    PLAN = "plan"  # until it is bought
    BUY = "buy"
    QUEUE = "queue"  # at the provider
    RUN = "run"
    WEBHOOK = "webhook"  # from its end to our queue
    STORE = "store"
    COUNT = "count"
    TROUBLE = "trouble"  # would not be there on a good day
    UNNAMED = "unnamed"


_S = Stage
HUES: Mapping[Stage, Hue] = {
    **dict.fromkeys((_S.ORDER, _S.PLAN, _S.QUEUE), Hue.PLAN),
    _S.CREATE: Hue.BUY,
    _S.PROVIDER_QUEUE: Hue.QUEUE,
    **dict.fromkeys((_S.RUN, _S.PROVIDER), Hue.RUN),
    **dict.fromkeys((_S.TRANSIT, _S.ACK, _S.BROKER), Hue.WEBHOOK),
    **dict.fromkeys(
        (_S.TURN, _S.DOWNLOAD, _S.FINISH, _S.UPLOAD, _S.STORE, _S.REUSE, _S.RECORD), Hue.STORE
    ),
    **dict.fromkeys((_S.COUNT, _S.REPORT), Hue.COUNT),
    **dict.fromkeys(
        (
            *(_S.TURNED_AWAY, _S.DOUBT, _S.LOST_ATTEMPT, _S.AGAIN, _S.WEBHOOK_AGAIN),
            *(_S.SILENCE, _S.HELD, _S.REPEATED, _S.TRIED, _S.PARKED),
        ),
        Hue.TROUBLE,
    ),
    _S.OTHER: Hue.UNNAMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One segment: where it stands in units of the drawing, and what it is."""

    x: float
    width: float
    hue: Hue
    words: Words
    begins: float
    seconds: float
    attempt: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One slot; ``ordinal`` None: the report. ``told`` says where its time went, the longest
    first."""

    ordinal: int | None
    state: SlotState | None
    attempts: int
    seconds: float
    named: float
    bars: tuple[Bar, ...]
    told: Words
    clocks: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """``ticks`` are the seconds at the quarters of the width. ``legend`` has every hue that occurs
    with the seconds of all slots. ``more`` slots are not drawn. ``slowest_at`` is the slot that the
    job waited for; it and ``sentence`` are None until that is known."""

    sentence: Words | None
    named: float
    seconds: float
    ticks: tuple[float, ...]
    rows: tuple[Row, ...]
    folded: tuple[Row, ...]
    report: Row | None
    legend: tuple[tuple[Hue, float], ...]
    more: int
    slowest_at: int | None

    @property
    def drawn(self) -> tuple[Row, ...]:
        return (*self.rows, *self.folded, *(() if self.report is None else (self.report,)))


def drawing(fall: Waterfall, *, over: bool) -> Drawing | None:
    """``over``: its job has ended. None: no time has passed that could be drawn."""
    ends = [lane.ends for lane in fall.lanes]
    if fall.report is not None:
        ends.append(fall.report.ends)
    whole = max(ends, default=0.0)
    if whole <= 0:
        return None
    last = fall.last
    lanes = sorted(fall.lanes, key=lambda lane: -lane.ends)[:DRAWN]
    rows = [_row(lane, whole) for lane in sorted(lanes, key=lambda lane: lane.ordinal)]
    spent = dict.fromkeys(Hue, 0.0)
    for lane in fall.lanes:
        for segment in lane.segments:
            spent[HUES[segment.stage]] += segment.seconds
    if fall.report is not None:
        spent[Hue.COUNT] += fall.report.seconds
    return Drawing(
        sentence=sentence(fall) if over else None,
        named=fall.named,
        seconds=whole,
        ticks=tuple(whole * quarter / PARTS for quarter in range(PARTS + 1)),
        rows=tuple(rows[:AT_ONCE]),
        folded=tuple(rows[AT_ONCE:]),
        report=None if fall.report is None else _report(fall.report, whole),
        legend=tuple((hue, seconds) for hue, seconds in spent.items() if seconds > 0),
        more=len(fall.lanes) - len(rows),
        slowest_at=last.ordinal if over and last is not None and len(fall.lanes) > 1 else None,
    )


def _row(lane: Lane, whole: float) -> Row:
    return Row(
        ordinal=lane.ordinal,
        state=lane.state,
        attempts=lane.attempts,
        seconds=lane.seconds,
        named=lane.named,
        bars=_bars(lane.segments, whole),
        told=_told(lane),
        clocks=about_clocks(lane),
    )


def _report(segment: Segment, whole: float) -> Row:
    return Row(
        ordinal=None,
        state=None,
        attempts=0,
        seconds=segment.seconds,
        named=1.0,
        bars=_bars([segment], whole),
        told=told_span(segment.seconds),
    )


def _bars(segments: Sequence[Segment], whole: float) -> tuple[Bar, ...]:
    return tuple(_bar(segment, whole) for segment in segments)


def _bar(segment: Segment, whole: float) -> Bar:
    width = max(segment.seconds / whole * WIDE, THIN)
    # The last one is thin as well, and is not cut off for it.
    x = min(segment.begins / whole * WIDE, WIDE - width)
    return Bar(
        x=round(max(x, 0.0), 1),
        width=round(width, 1),
        hue=HUES[segment.stage],
        words=STAGES[segment.stage],
        begins=segment.begins,
        seconds=segment.seconds,
        attempt=segment.attempt,
    )


def _told(lane: Lane) -> Words:
    """The three stages that took most, such as "run 4.0 s, the download 0.4 s"."""
    most = sorted(lane.by_stage().items(), key=lambda one: -one[1])[:3]
    return {
        tongue: ", ".join(
            f"{STAGES[stage][tongue]} {told_span(seconds)[tongue]}" for stage, seconds in most
        )
        for tongue in ("en", "ko")
    }
