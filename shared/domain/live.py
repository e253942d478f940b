"""What a front end shows of a job at this moment: pure, from the rows as they stand."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from shared.domain.doing import Doing
from shared.domain.job import ENDED, JobState
from shared.domain.prediction import TERMINAL, Status
from shared.domain.slot import CLOSED, FailureCode, SlotState
from shared.domain.telling import Part, Told, of_job, of_slot
from shared.words import Words

# How far a purchase is: taken; at work, from there on as far as it says; made.
TAKEN, AT_WORK, OF_WORK, MADE = 0.05, 0.1, 0.75, 0.9
REPORT = 0.05  # of the whole job

COST_CAP: Final = "cost_cap"


class JobRow(Told, Protocol):
    """What is asked of a job."""

    @property
    def n(self) -> int: ...


class SlotRow(Protocol):
    """What is asked of a slot. ``skipped`` are outputs that could not be used beside others;
    ``reused_from`` is the job that its files were bought for, where that is another one."""

    @property
    def ordinal(self) -> int: ...
    @property
    def state(self) -> SlotState: ...
    @property
    def attempt(self) -> int: ...
    @property
    def winner(self) -> int | None: ...
    @property
    def failure_code(self) -> FailureCode | None: ...
    @property
    def failure_detail(self) -> str | None: ...
    @property
    def skipped(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def reused_from(self) -> UUID | None: ...


class PurchaseRow(Protocol):
    """What is asked of a prediction. ``progress`` is 0 to 1, where its logs tell."""

    @property
    def ordinal(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def prediction_id(self) -> str | None: ...
    @property
    def status(self) -> Status | None: ...
    @property
    def progress(self) -> float | None: ...
    @property
    def last_webhook_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSlot:
    """One slot: as it is told, how far it is (0 to 1), and the prediction that counts."""

    part: Part
    progress: float
    prediction_id: str | None

    @property
    def ordinal(self) -> int:
        return self.part.ordinal

    @property
    def state(self) -> SlotState:
        return self.part.state

    @property
    def attempt(self) -> int:
        return self.part.attempt

    @property
    def waits_for(self) -> str | None:
        """Why it is not bought although it is its turn: ``cost_cap``; None: nothing holds it."""
        return COST_CAP if self.part.doing is Doing.HELD else None

    @property
    def words(self) -> Words:
        """A few of them for people; made when asked for, since a job may have thousands of slots."""
        return of_slot(self.part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """One job.

    ``progress`` (0 to 1) never shrinks; 1 means that nothing more will come. ``replicate_status``
    is the provider's word for what is under way, or for how it went once nothing is; None before
    anything was bought. It never goes back either: where an attempt failed and another one follows,
    it stays ``processing``. ``report`` is ``pending``, ``published`` or ``failed``; None where the job
    ended without being completed, since none is made then. ``stored`` counts slots, of ``n``.
    ``held_until``: slots of it wait because what its recipe may cost a day is spent, and a new day
    begins then; None where none does. ``notes`` are the recipe's, about how the order is carried out.
    """

    state: JobState
    sentence: Words
    progress: float
    replicate_status: Status | None
    last_webhook_received: datetime | None
    report: str | None
    stored: int
    n: int
    notes: tuple[Words, ...]
    slots: tuple[LiveSlot, ...]
    held_until: datetime | None = None

    @property
    def waits_for(self) -> Literal["cost_cap"] | None:
        """``cost_cap`` where that holds something of it up."""
        return None if self.held_until is None else COST_CAP

    @property
    def over(self) -> bool:
        """Ended, and its report is in or given up (only a completed job gets one)."""
        return self.state in ENDED and self.report != "pending"


def live(
    job: JobRow,
    slots: Sequence[SlotRow],
    bought: Iterable[PurchaseRow],
    *,
    says: Mapping[JobState, Words],
    notes: Sequence[Words] = (),
    held_until: datetime | None = None,
) -> Live:
    """How a job stands. ``says`` are its recipe's own sentences for some states; ``held_until`` is
    when the next day begins, if nothing more of its recipe is bought today."""
    by_slot: defaultdict[int, list[PurchaseRow]] = defaultdict(list)
    for row in bought:
        by_slot[row.ordinal].append(row)
    counting = [_counting(slot, by_slot[slot.ordinal]) for slot in slots]
    # A slot that its job's end left open cannot count any more: it is told as canceled, also in the
    # moment before the generator has heard of the end and says so itself.
    over = job.state in ENDED
    parts = [
        _part(slot, row, held=held_until is not None, over=over)
        for slot, row in zip(slots, counting, strict=True)
    ]
    if not any(part.doing is Doing.HELD for part in parts):
        held_until = None
    told = tuple(
        LiveSlot(
            part=part,
            progress=1.0 if over else _slot_progress(slot, by_slot[slot.ordinal]),
            prediction_id=row.prediction_id if row else None,
        )
        for slot, part, row in zip(slots, parts, counting, strict=True)
    )
    report = None if job.state in ENDED - {JobState.COMPLETED} else job.report
    heard = [row.last_webhook_at for rows in by_slot.values() for row in rows]
    return Live(
        state=job.state,
        sentence=(None if held_until else says.get(job.state)) or of_job(job, parts),
        progress=_progress(job.state, report, told),
        replicate_status=_status(slots, by_slot),
        last_webhook_received=max((at for at in heard if at), default=None),
        report=report,
        stored=sum(slot.state is SlotState.STORED for slot in slots),
        n=job.n,
        notes=tuple(notes),
        slots=told,
        held_until=held_until,
    )


def _counting(slot: SlotRow, bought: Sequence[PurchaseRow]) -> PurchaseRow | None:
    """The purchase that the slot stands for: the one that won, else the current attempt."""
    attempt = slot.winner or slot.attempt
    return next((row for row in bought if row.attempt == attempt), None)


def _part(slot: SlotRow, row: PurchaseRow | None, *, held: bool, over: bool) -> Part:
    return Part(
        ordinal=slot.ordinal,
        state=SlotState.CANCELED if over and slot.state not in CLOSED else slot.state,
        attempt=slot.attempt,
        progress=row.progress if row else None,
        code=slot.failure_code,
        detail=slot.failure_detail,
        unusable=len(slot.skipped),
        held=held,
        reused=slot.reused_from is not None,
    )


def _slot_progress(slot: SlotRow, bought: Sequence[PurchaseRow]) -> float:
    if slot.state in CLOSED:
        return 1.0
    # The best of all attempts: another one does not take back what was shown of the first.
    return max(map(_reached, bought), default=0.0)


def _reached(row: PurchaseRow) -> float:
    """How far a purchase came. Its row only goes forward, and so does this."""
    if row.status is Status.SUCCEEDED:
        return MADE
    if row.status in (None, Status.STARTING):
        return TAKEN if row.prediction_id else 0.0
    return AT_WORK + OF_WORK * min(max(row.progress or 0.0, 0.0), 1.0)


def _progress(state: JobState, report: str | None, slots: Sequence[LiveSlot]) -> float:
    if state in ENDED and report != "pending":
        return 1.0
    made = sum(slot.progress for slot in slots) / len(slots) if slots else 0.0
    return round((1 - REPORT) * made, 4)


def _status(slots: Sequence[SlotRow], bought: Mapping[int, Sequence[PurchaseRow]]) -> Status | None:
    """One word for several slots: what is under way, else how it went."""
    words = [(slot, _slot_status(slot, bought.get(slot.ordinal, ()))) for slot in slots]
    known = [word for _, word in words if word is not None]
    if not known:
        return None
    to_come = any(word is None and slot.state not in CLOSED for slot, word in words)
    if not to_come and TERMINAL.issuperset(known):
        return Status.SUCCEEDED if Status.SUCCEEDED in known else known[0]
    return Status.STARTING if set(known) == {Status.STARTING} else Status.PROCESSING


def _slot_status(slot: SlotRow, bought: Sequence[PurchaseRow]) -> Status | None:
    """The word for one slot: its purchase's own, unless that would take an earlier one back."""
    row = _counting(slot, bought)
    if slot.state in CLOSED or (row is not None and row.status is Status.SUCCEEDED):
        return row.status if row else None
    known = {row.status for row in bought if row.status is not None}
    if not known:
        return None
    return Status.STARTING if known == {Status.STARTING} else Status.PROCESSING
