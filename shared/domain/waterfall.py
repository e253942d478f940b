"""Where each second of a slot went: pure, from the moments that were written down of it.

A slot's time from its order to its count is cut at these moments. What lies between two that belong
together has a name; whatever else there is, a hole or a time that two names claim, is ``other`` and
counts as unnamed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from uuid import UUID

from shared.domain.clocks import Clock, shifts
from shared.domain.slot import SlotState
from shared.domain.times import (
    JobTimes,
    Mark,
    Moment,
    SlotTimes,
    known_beside,
    marks,
    one_after_another,
)

# What two clocks differ by at least, before it is worth a word.
WORTH_A_WORD_S = 0.05


class Stage(StrEnum):
    """What a slot's time goes into, in the order in which it usually does."""

    ORDER = "order"  # the order on its way to whoever plans it
    PLAN = "plan"  # original fetched, what is needed first prepared or copied, slots entered
    REUSE = "reuse"  # taken over as it is stored, from the job that this one does again
    QUEUE = "queue"  # due, and not bought yet
    TURNED_AWAY = "turned_away"  # creates that were not taken, or never got there
    DOUBT = "doubt"  # a create whose outcome nobody knew
    LOST_ATTEMPT = "lost_attempt"  # a purchase of which nothing was taken, as a whole
    AGAIN = "again"  # between it and the next one
    CREATE = "create"
    PROVIDER_QUEUE = "provider_queue"
    RUN = "run"
    PROVIDER = "provider"  # queue and run, where nobody told when it started
    WEBHOOK_AGAIN = "webhook_again"  # made, until the webhook was sent that got through
    SILENCE = "silence"  # made, until it was found by asking: no webhook came
    TRANSIT = "webhook_transit"
    ACK = "ack"  # read, believed, handed to the broker
    BROKER = "broker"
    HELD = "held"  # in our hands while our database was away
    REPEATED = "repeated"  # begun by somebody who did not end it
    TRIED = "tried"  # a try that did not work out
    PARKED = "parked"  # waits for its next try
    TURN = "turn"  # written down, and waits for a place among the downloads
    DOWNLOAD = "download"
    FINISH = "finish"
    UPLOAD = "upload"
    STORE = "store"  # the four before it, where they are not told apart
    RECORD = "record"  # done, until that is committed
    COUNT = "count"
    REPORT = "report"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a slot's time, in seconds since its job was ordered. ``attempt`` is the purchase
    that it belongs to; None: it belongs to none."""

    stage: Stage
    begins: float
    ends: float
    attempt: int | None = None

    @property
    def seconds(self) -> float:
        return self.ends - self.begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One slot: ``segments`` follow each other without a gap, from its order to its count, or to
    now where it is not counted. ``shifts`` are the seconds that were added to the times of a clock,
    since they contradicted the database's; None: no shift makes sense of them, and the times that
    contradict each other are unnamed. ``reused_from`` is the job that it was bought for, where that
    is not its own: it has no time of a provider's."""

    ordinal: int
    state: SlotState
    attempts: int
    segments: tuple[Segment, ...]
    shifts: Mapping[Clock, float] | None = field(default_factory=dict)
    reused_from: UUID | None = None

    @property
    def begins(self) -> float:
        return self.segments[0].begins if self.segments else 0.0

    @property
    def ends(self) -> float:
        return self.segments[-1].ends if self.segments else 0.0

    @property
    def seconds(self) -> float:
        return self.ends - self.begins

    @property
    def unnamed_seconds(self) -> float:
        return sum(one.seconds for one in self.segments if one.stage is Stage.OTHER)

    @property
    def named(self) -> float:
        """The share of its time that has a name, 0 to 1."""
        return _share_named(self.seconds, self.unnamed_seconds)

    def by_stage(self) -> dict[Stage, float]:
        """Seconds that each stage took, in the order of ``Stage``."""
        taken = dict.fromkeys(Stage, 0.0)
        for segment in self.segments:
            taken[segment.stage] += segment.seconds
        return {stage: seconds for stage, seconds in taken.items() if seconds > 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """One job; seconds are since ``began_at``. ``report`` is the time from its end to its report,
    None where there is none yet."""

    job_id: UUID
    began_at: datetime
    lanes: tuple[Lane, ...]
    report: Segment | None = None

    @property
    def named(self) -> float:
        """The share of all slots' time that has a name, 0 to 1."""
        return _share_named(
            sum(lane.seconds for lane in self.lanes),
            sum(lane.unnamed_seconds for lane in self.lanes),
        )

    @property
    def last(self) -> Lane | None:
        """The slot that the job waited for."""
        return max(self.lanes, key=lambda lane: lane.ends, default=None)


def waterfall(job: JobTimes) -> Waterfall:
    """Where the time of every slot of ``job`` went."""
    lanes = [_lane(job, slot) for slot in job.slots]
    # The order's own time may be another machine's, and then it was shifted.
    first = min((lane.begins for lane in lanes), default=0.0)
    report = None
    if job.ended_at and job.reported_at and job.reported_at >= job.ended_at:
        begins, ends = (
            (at - job.ordered_at).total_seconds() for at in (job.ended_at, job.reported_at)
        )
        report = Segment(stage=Stage.REPORT, begins=begins, ends=ends)
    return Waterfall(
        job_id=job.job_id,
        began_at=job.ordered_at + timedelta(seconds=first),
        lanes=tuple(
            replace(lane, segments=tuple(_since(first, one) for one in lane.segments))
            for lane in lanes
        ),
        report=None if report is None else _since(first, report),
    )


def _since(first: float, segment: Segment) -> Segment:
    if not first:
        return segment
    begins, ends = round(segment.begins - first, 6), round(segment.ends - first, 6)
    return replace(segment, begins=begins, ends=ends)


def _share_named(seconds: float, unnamed: float) -> float:
    return 1.0 if seconds <= 0 else min(max(1.0 - unnamed / seconds, 0.0), 1.0)


_M = Moment
_BOUGHT_AT = (_M.FIRST_TRIED, _M.INTENDED, _M.LOST_INTENDED, _M.NEVER_MADE)
_INTENTS = _BOUGHT_AT[1:]

# What lies between two moments that follow each other; what is not in it has no name.
_BETWEEN: Mapping[tuple[Moment, Moment], Stage] = {
    (_M.ORDERED, _M.ORDER_TAKEN): Stage.ORDER,
    (_M.ORDERED, _M.PLANNED): Stage.ORDER,
    (_M.ORDERED, _M.PARKED): Stage.ORDER,
    (_M.BROUGHT, _M.ORDER_TAKEN): Stage.BROKER,
    (_M.BROUGHT, _M.PLANNED): Stage.ORDER,
    (_M.ORDER_TAKEN, _M.PLANNED): Stage.PLAN,
    (_M.PLANNED, _M.REUSED): Stage.REUSE,
    **{(_M.PLANNED, begun): Stage.QUEUE for begun in _BOUGHT_AT},
    **{(_M.LOST, begun): Stage.AGAIN for begun in _BOUGHT_AT},
    **{(_M.FIRST_TRIED, intent): Stage.TURNED_AWAY for intent in _INTENTS},
    **{(_M.NEVER_MADE, begun): Stage.DOUBT for begun in _BOUGHT_AT},
    **{(_M.LOST_INTENDED, begun): Stage.LOST_ATTEMPT for begun in _BOUGHT_AT},
    (_M.LOST_INTENDED, _M.LOST): Stage.LOST_ATTEMPT,
    (_M.INTENDED, _M.CREATED): Stage.CREATE,
    (_M.INTENDED, _M.ANSWERED): Stage.CREATE,
    (_M.ANSWERED, _M.CLOSED): Stage.RECORD,
    (_M.CREATED, _M.STARTED): Stage.PROVIDER_QUEUE,
    (_M.ANSWERED, _M.STARTED): Stage.PROVIDER_QUEUE,
    (_M.CREATED, _M.COMPLETED): Stage.PROVIDER,
    (_M.ANSWERED, _M.COMPLETED): Stage.PROVIDER,
    (_M.STARTED, _M.COMPLETED): Stage.RUN,
    (_M.COMPLETED, _M.SENT): Stage.WEBHOOK_AGAIN,
    (_M.COMPLETED, _M.RECEIVED): Stage.TRANSIT,
    (_M.SENT, _M.RECEIVED): Stage.TRANSIT,
    (_M.COMPLETED, _M.FOUND): Stage.SILENCE,
    (_M.RECEIVED, _M.HANDED): Stage.ACK,
    (_M.HANDED, _M.HEARD): Stage.BROKER,
    (_M.HANDED, _M.HELD): Stage.BROKER,
    (_M.HANDED, _M.TAKEN): Stage.BROKER,
    (_M.HANDED, _M.CLOSED): Stage.BROKER,
    (_M.HANDED, _M.PARKED): Stage.TRIED,
    (_M.FOUND, _M.HELD): Stage.BROKER,
    (_M.FOUND, _M.TAKEN): Stage.BROKER,
    (_M.FOUND, _M.CLOSED): Stage.BROKER,
    (_M.FOUND, _M.KEPT): Stage.STORE,
    (_M.FOUND, _M.PARKED): Stage.TRIED,
    (_M.HEARD, _M.PARKED): Stage.TRIED,
    (_M.HEARD, _M.HELD): Stage.REPEATED,
    (_M.HEARD, _M.TAKEN): Stage.REPEATED,
    (_M.HEARD, _M.KEPT): Stage.STORE,
    (_M.PARKED, _M.BROUGHT): Stage.PARKED,
    (_M.BROUGHT, _M.PARKED): Stage.TRIED,
    (_M.BROUGHT, _M.HEARD): Stage.BROKER,
    (_M.BROUGHT, _M.HELD): Stage.BROKER,
    (_M.BROUGHT, _M.TAKEN): Stage.BROKER,
    (_M.BROUGHT, _M.CLOSED): Stage.BROKER,
    (_M.BROUGHT, _M.KEPT): Stage.STORE,
    (_M.HELD, _M.TAKEN): Stage.HELD,
    (_M.TAKEN, _M.BEGUN): Stage.TURN,
    (_M.BEGUN, _M.FETCHED): Stage.DOWNLOAD,
    (_M.FETCHED, _M.FINISHED): Stage.FINISH,
    (_M.FINISHED, _M.PUT): Stage.UPLOAD,
    (_M.PUT, _M.KEPT): Stage.RECORD,
    (_M.KEPT, _M.PARKED): Stage.TRIED,
    (_M.CLOSED, _M.PARKED): Stage.TRIED,
    (_M.REUSED, _M.PARKED): Stage.TRIED,
    (_M.BROUGHT, _M.COUNTED): Stage.COUNT,
    (_M.KEPT, _M.COUNTED): Stage.COUNT,
    (_M.CLOSED, _M.COUNTED): Stage.COUNT,
    (_M.REUSED, _M.COUNTED): Stage.COUNT,
}
# What is under way after a moment, while nothing else is known, or until the job's end cut it off.
_AFTER: Mapping[Moment, Stage] = {
    _M.PLANNED: Stage.QUEUE,
    _M.FIRST_TRIED: Stage.TURNED_AWAY,
    _M.INTENDED: Stage.CREATE,
    _M.LOST_INTENDED: Stage.LOST_ATTEMPT,
    _M.NEVER_MADE: Stage.DOUBT,
    _M.LOST: Stage.AGAIN,
    _M.ANSWERED: Stage.PROVIDER_QUEUE,
    _M.CREATED: Stage.PROVIDER_QUEUE,
    _M.STARTED: Stage.RUN,
    _M.COMPLETED: Stage.TRANSIT,
    _M.RECEIVED: Stage.ACK,
    _M.HANDED: Stage.BROKER,
    _M.FOUND: Stage.BROKER,
    _M.HEARD: Stage.STORE,
    _M.PARKED: Stage.PARKED,
    _M.BROUGHT: Stage.BROKER,
    _M.KEPT: Stage.COUNT,
    _M.CLOSED: Stage.COUNT,
    _M.REUSED: Stage.COUNT,
}


def _lane(job: JobTimes, slot: SlotTimes) -> Lane:
    known = list(marks(job, slot))
    cut_off = slot.state is SlotState.CANCELED
    # The end of its job cuts a slot off wherever it is: it follows from nothing before it.
    led = known[:-1] if cut_off else known
    added = shifts([*one_after_another(led), *known_beside(slot)])
    shifted = [
        replace(mark, at=round(mark.at + (added or {}).get(mark.clock, 0.0), 6)) for mark in known
    ]
    ends = shifted[-1].at
    if cut_off:
        # What the provider did after that is no part of it.
        shifted = [mark for mark in shifted if mark.at <= ends or mark.moment is _M.ORDERED]
    spans = [
        Segment(stage=_named(slot, a, b), begins=a.at, ends=b.at, attempt=a.attempt)
        for a, b in pairwise(shifted)
    ]
    return Lane(
        ordinal=slot.ordinal,
        state=slot.state,
        attempts=sum(not one.never_made for one in slot.bought),
        segments=tuple(_cut(spans, min(shifted[0].at, ends), ends)),
        shifts=None
        if added is None
        else {clock: by for clock, by in added.items() if abs(by) >= WORTH_A_WORD_S},
        reused_from=slot.reused_from,
    )


def _named(slot: SlotTimes, a: Mark, b: Mark) -> Stage:
    if b.moment is not _M.NOW and not (slot.state is SlotState.CANCELED and b.moment is _M.CLOSED):
        return _BETWEEN.get((a.moment, b.moment), Stage.OTHER)
    if a.moment is _M.INTENDED:
        bought = next((one for one in slot.bought if one.attempt == a.attempt), None)
        if bought is not None and bought.not_taken:
            return Stage.TURNED_AWAY
        if slot.state is SlotState.IN_DOUBT or (bought is not None and bought.never_made):
            return Stage.DOUBT
    return _AFTER.get(a.moment, Stage.OTHER)


# ---- one name for each second


def _cut(spans: Iterable[Segment], begins: float, ends: float) -> Iterator[Segment]:
    """``begins`` to ``ends`` without a gap: a time that exactly one span claims has its name, what
    none or several claim has none."""
    claims = [span for span in spans if span.ends > span.begins]
    edges = {begins, ends, *(edge for one in claims for edge in (one.begins, one.ends))}
    inside = sorted(edge for edge in edges if begins <= edge <= ends)
    open_now: Segment | None = None
    for a, b in pairwise(inside):
        over = [one for one in claims if one.begins <= a and b <= one.ends]
        stage, attempt = (over[0].stage, over[0].attempt) if len(over) == 1 else (Stage.OTHER, None)
        if open_now and (open_now.stage, open_now.attempt) == (stage, attempt):
            open_now = Segment(stage=stage, begins=open_now.begins, ends=b, attempt=attempt)
            continue
        if open_now:
            yield open_now
        open_now = Segment(stage=stage, begins=a, ends=b, attempt=attempt)
    if open_now:
        yield open_now
