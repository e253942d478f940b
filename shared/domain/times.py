"""What is on record of a job's time: moments on several clocks, each after what it follows from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from uuid import UUID

from shared.domain.clocks import Bound, Clock
from shared.domain.slot import SlotState

# A webhook's own time is cut to seconds; sent so much later than the end of its run it is not the
# first one, or the provider let it lie.
LATE_TO_SEND_S = 2.0


class Moment(StrEnum):
    """What is known of a slot, in the order in which one leads to the next."""

    ORDERED = "ordered"
    ORDER_TAKEN = "order taken"
    PLANNED = "planned"
    FIRST_TRIED = "first create tried"
    INTENDED = "intended"
    LOST_INTENDED = "intended, and lost"
    NEVER_MADE = "intended, and never made"
    LOST = "lost"
    ANSWERED = "answered"
    CREATED = "created"
    STARTED = "started"
    COMPLETED = "completed"
    SENT = "sent"
    RECEIVED = "received"
    HANDED = "handed on"
    FOUND = "found"
    HEARD = "heard"
    PARKED = "parked"
    BROUGHT = "brought back"
    HELD = "held"
    TAKEN = "taken"
    BEGUN = "begun"
    FETCHED = "fetched"
    FINISHED = "finished"
    PUT = "put"
    KEPT = "kept"  # what the files of a success came to
    REUSED = "taken over"  # from the job that this one does again
    CLOSED = "closed"  # by anything else
    COUNTED = "counted"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that is known; ``at`` is in seconds since the order, by its own clock."""

    moment: Moment
    at: float
    clock: Clock
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A message that was parked; ``brought_at`` None: it still is."""

    parked_at: datetime
    brought_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the end of a prediction was heard. ``recorded_at`` is the database's; where it was
    ``found`` by asking, that is when. ``sent_at`` is the provider's clock, cut to seconds; the other
    two are the ingress's. ``waits`` are its own in the parking."""

    recorded_at: datetime
    found: bool = False
    succeeded: bool = True
    sent_at: datetime | None = None
    received_at: datetime | None = None
    handed_at: datetime | None = None
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """One purchase. ``first_intended_at`` is earlier than ``intended_at`` where creates of it were
    not taken. ``never_made``: there is no prediction of it, as far as anybody knows.
    ``not_taken``: its last create was not taken, and another one follows. ``lost_at``: its files were
    gone."""

    attempt: int
    intended_at: datetime
    first_intended_at: datetime | None = None
    answered_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    run_seconds: float | None = None
    never_made: bool = False
    not_taken: bool = False
    lost_at: datetime | None = None
    verdict: Verdict | None = None

    @property
    def taken_at(self) -> datetime | None:
        """When its create was answered with a prediction; the answer to an earlier create of it, which
        was not taken, is none."""
        if self.not_taken or self.answered_at is None or self.answered_at < self.intended_at:
            return None
        return self.answered_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Storage's own times, those of the file that was ready last. ``heard_before``: the news was
    recorded before this, by somebody who did not end it. ``held_since``: the database was away."""

    taken_at: datetime
    begun_at: datetime
    fetched_at: datetime
    finished_at: datetime
    put_at: datetime
    heard_before: bool = False
    held_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTimes:
    """What is on record of one slot. ``attempt`` is the purchase that counts: the one that won,
    else the current one. ``reused_from`` is the job whose purchase that was, where the slot came
    stored. ``closed_at`` and ``counted_at`` are None while it is open. ``waits`` are those of the
    fact that it closed, in the parking."""

    ordinal: int
    state: SlotState
    attempt: int
    bought: tuple[Bought, ...] = ()
    stored: Stored | None = None
    closed_at: datetime | None = None
    counted_at: datetime | None = None
    waits: tuple[Wait, ...] = ()
    reused_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTimes:
    """What is on record of one job. ``read_at`` is the database's clock when it was read.
    ``ordered_by`` is whose clock ``ordered_at`` was read from; ``taken_at`` is when the generator
    took up the order that it planned."""

    job_id: UUID
    ordered_at: datetime
    planned_at: datetime
    read_at: datetime
    slots: tuple[SlotTimes, ...]
    ordered_by: Clock = Clock.PUBLISHER
    taken_at: datetime | None = None
    waits: tuple[Wait, ...] = ()
    ended_at: datetime | None = None
    reported_at: datetime | None = None

    def mark(
        self,
        moment: Moment,
        when: datetime,
        clock: Clock = Clock.DATABASE,
        *,
        attempt: int | None = None,
    ) -> Mark:
        return Mark(moment, (when - self.ordered_at).total_seconds(), clock, attempt)


_M = Moment


def marks(job: JobTimes, slot: SlotTimes) -> Iterator[Mark]:
    """What is known of the slot, each moment after the one that it follows from."""
    yield job.mark(_M.ORDERED, job.ordered_at, job.ordered_by)
    for wait in job.waits:
        yield from _waited(job, wait, None)
    if job.taken_at:
        yield job.mark(_M.ORDER_TAKEN, job.taken_at, Clock.GENERATOR)
    yield job.mark(_M.PLANNED, job.planned_at)
    for bought in slot.bought:
        if bought.attempt < slot.attempt:
            yield from _lost(job, bought)
        elif bought.attempt == slot.attempt:
            yield from _counting(job, slot, bought)
    if slot.closed_at is None:
        yield job.mark(_M.NOW, job.read_at)
        return
    succeeded = _verdict(slot)
    kept = succeeded is not None and succeeded.succeeded and slot.state is not SlotState.CANCELED
    closed = _M.KEPT if kept else _M.REUSED if slot.reused_from else _M.CLOSED
    yield job.mark(closed, slot.closed_at)
    if slot.state is SlotState.CANCELED:
        return  # counted with its end
    # The time of a count is that of its transaction's begin, which may wait for this closing.
    counted_at = None if slot.counted_at is None else max(slot.counted_at, slot.closed_at)
    for wait in slot.waits:
        # Who counts takes along whatever is closed: what is still parked then is a duplicate.
        if counted_at is None or (wait.brought_at and wait.brought_at <= counted_at):
            yield from _waited(job, wait, None)
    yield job.mark(_M.NOW if counted_at is None else _M.COUNTED, counted_at or job.read_at)


def _verdict(slot: SlotTimes) -> Verdict | None:
    return next((one.verdict for one in slot.bought if one.attempt == slot.attempt), None)


def _waited(job: JobTimes, wait: Wait, attempt: int | None) -> Iterator[Mark]:
    yield job.mark(_M.PARKED, wait.parked_at, attempt=attempt)
    if wait.brought_at is not None:
        yield job.mark(_M.BROUGHT, wait.brought_at, attempt=attempt)


def _lost(job: JobTimes, bought: Bought) -> Iterator[Mark]:
    """A purchase that another one followed: one span, however far it came."""
    intent = _M.NEVER_MADE if bought.never_made else _M.LOST_INTENDED
    yield from _first_tried(job, bought)
    yield job.mark(intent, bought.intended_at, attempt=bought.attempt)
    ends = [bought.lost_at, bought.verdict.recorded_at if bought.verdict else None]
    ended = max((end for end in ends if end is not None), default=None)
    if ended is not None and not bought.never_made:
        yield job.mark(_M.LOST, ended, attempt=bought.attempt)


def _first_tried(job: JobTimes, bought: Bought) -> Iterator[Mark]:
    first = bought.first_intended_at
    if first is not None and first < bought.intended_at:
        yield job.mark(_M.FIRST_TRIED, first, attempt=bought.attempt)


def _counting(job: JobTimes, slot: SlotTimes, bought: Bought) -> Iterator[Mark]:
    """The purchase that the slot stands for, from its intent to its files."""

    answered = None if bought.created_at else bought.taken_at
    started, created = _started(bought), bought.created_at
    if started and created:
        created = min(created, started)  # the provider's two times may cross by milliseconds
    made = [
        (_M.INTENDED, bought.intended_at, Clock.DATABASE),
        (_M.CREATED, created, Clock.PROVIDER),
        (_M.ANSWERED, answered, Clock.DATABASE),
        (_M.STARTED, started, Clock.PROVIDER),
        (_M.COMPLETED, bought.completed_at, Clock.PROVIDER),
    ]
    yield from _first_tried(job, bought)
    yield from _told(job, made, bought.attempt)
    if bought.verdict is not None:
        yield from _heard(job, slot, bought, bought.verdict)


def _heard(job: JobTimes, slot: SlotTimes, bought: Bought, verdict: Verdict) -> Iterator[Mark]:
    """How its end came to us, and what became of the files."""
    found, done = verdict.found, slot.stored
    told: list[tuple[Moment, datetime | None, Clock]] = [
        (_M.FOUND, verdict.recorded_at if found else None, Clock.DATABASE),
        (_M.SENT, verdict.sent_at if _sent_late(bought, verdict) else None, Clock.PROVIDER),
        (_M.RECEIVED, None if found else verdict.received_at, Clock.INGRESS),
        (_M.HANDED, None if found else verdict.handed_at, Clock.INGRESS),
    ]
    tried = [mark for wait in verdict.waits for mark in _waited(job, wait, bought.attempt)]
    if verdict.succeeded and not found and (done is None or done.heard_before):
        tried.append(job.mark(_M.HEARD, verdict.recorded_at, attempt=bought.attempt))
    yield from _told(job, told, bought.attempt)
    yield from sorted(tried, key=lambda mark: mark.at)
    if done is not None:
        kept = [
            (_M.HELD, done.held_since, Clock.STORAGE),
            (_M.TAKEN, done.taken_at, Clock.STORAGE),
            (_M.BEGUN, done.begun_at, Clock.STORAGE),
            (_M.FETCHED, done.fetched_at, Clock.STORAGE),
            (_M.FINISHED, done.finished_at, Clock.STORAGE),
            (_M.PUT, done.put_at, Clock.STORAGE),
        ]
        yield from _told(job, kept, bought.attempt)


def _told(
    job: JobTimes, told: Iterable[tuple[Moment, datetime | None, Clock]], attempt: int
) -> Iterator[Mark]:
    for moment, when, clock in told:
        if when is not None:
            yield job.mark(moment, when, clock, attempt=attempt)


def _started(bought: Bought) -> datetime | None:
    """When the run began: as it was told, else from how long it took."""
    if bought.started_at or not bought.completed_at or bought.run_seconds is None:
        return bought.started_at
    return bought.completed_at - timedelta(seconds=bought.run_seconds)


def _sent_late(bought: Bought, verdict: Verdict) -> bool:
    if verdict.sent_at is None or bought.completed_at is None:
        return False
    late = (verdict.sent_at - bought.completed_at).total_seconds()
    return late >= LATE_TO_SEND_S and not verdict.found


# ---- what must have come before what


def one_after_another(led: Sequence[Mark]) -> Iterator[Bound]:
    for a, b in pairwise(led):
        if a.clock is not b.clock:
            yield a.clock, b.clock, round((b.at - a.at) * 1e6)


def known_beside(slot: SlotTimes) -> Iterator[Bound]:
    """What else must have come one after the other, beside what the time is cut at."""
    bought = next((one for one in slot.bought if one.attempt == slot.attempt), None)
    if bought is None:
        return

    def order(a: datetime | None, of_a: Clock, b: datetime | None, of_b: Clock) -> Iterator[Bound]:
        if a is not None and b is not None:
            yield of_a, of_b, (b - a) // timedelta(microseconds=1)

    yield from order(bought.created_at, Clock.PROVIDER, bought.taken_at, Clock.DATABASE)
    verdict, stored = bought.verdict, slot.stored
    if verdict is None:
        return
    heard = verdict.recorded_at
    yield from order(bought.completed_at, Clock.PROVIDER, heard, Clock.DATABASE)
    if not verdict.found:
        yield from order(verdict.handed_at, Clock.INGRESS, heard, Clock.DATABASE)
        if stored is not None and not stored.heard_before:
            yield from order(stored.taken_at, Clock.STORAGE, heard, Clock.DATABASE)
            yield from order(heard, Clock.DATABASE, stored.begun_at, Clock.STORAGE)
