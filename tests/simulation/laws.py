"""What must hold whatever happens: after each move of a slot, and when the day is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.domain.job import Call, JobState
from shared.domain.prediction import TERMINAL, Status
from shared.domain.slot import CLOSED, FailureCode, Move, News, SlotState

if TYPE_CHECKING:
    from tests.simulation.world import Job, Row, Slot, World

S = SlotState
RANK = {
    S.PENDING: 0,
    S.CREATING: 1,
    S.IN_DOUBT: 2,
    S.SUBMITTED: 3,
    S.RUNNING: 4,
    S.SUCCEEDED: 5,
    **dict.fromkeys(CLOSED, 6),
}
_STATUS_RANK: dict[Status | None, int] = {
    None: 0,
    Status.STARTING: 1,
    Status.PROCESSING: 2,
    **dict.fromkeys(TERMINAL, 3),
}
NOTHING_WAS_BOUGHT = (News.NOT_BOUGHT, News.ACCOUNT_PAUSED)
# All trouble ends within half an hour, so whatever Replicate keeps for one is in time.
NEVER = (FailureCode.EXPIRED, FailureCode.NOT_STORED)


class LawBroken(AssertionError):
    """The sentence says which, and for whom."""


def check(holds: bool, broken: str, *about: object) -> None:
    if not holds:
        raise LawBroken(broken.format(*about))


def check_move(slot: Slot, to: Move, why: News) -> None:
    """States never go back."""
    if slot.state in CLOSED:
        raise LawBroken(f"{_name(slot)} was {slot.state}, and {why} made it {to.to}")
    if to.next_attempt:
        check(to.to is S.PENDING, "{}: another attempt that is not bought", _name(slot))
    elif why in NOTHING_WAS_BOUGHT:
        check(to.to is S.PENDING, "{}: nothing was bought, and it is {}", _name(slot), to.to)
    elif RANK[to.to] <= RANK[slot.state]:
        raise LawBroken(f"{_name(slot)} went back from {slot.state} to {to.to} ({why})")


def check_news(
    row: Row, known: Status | None, state: SlotState, attempt: int, heard: Status | None
) -> None:
    """Who may move what: ``known``, ``state`` and ``attempt`` were before the news."""
    slot = row.slot
    check(
        _STATUS_RANK[row.status] >= _STATUS_RANK[known], "{} went back to {}", row.ref, row.status
    )
    if heard is Status.SUCCEEDED:
        open_for_it = state not in CLOSED and state is not S.SUCCEEDED
        won = slot.winner == row.attempt
        check(won or not open_for_it, "{} took not the first success, {}", _name(slot), row.ref)
    elif row.attempt != attempt:
        unmoved = (slot.state, slot.attempt) == (state, attempt)
        check(unmoved, "{} was moved by news of its attempt {}", _name(slot), row.attempt)


def check_job_end(job: Job, asked: Call) -> None:
    if asked is Call.SLOTS_CLOSED:
        over = all(slot.state in CLOSED for slot in job.slots)
        check(over, "job {} ended before its last slot", job.number)


def check_in_time(slot: Slot, left: float) -> None:
    """What is made is ours at least ten minutes before it is deleted."""
    check(left >= 600, "{} was stored with {:.0f} s left", _name(slot), left)


def check_end(world: World) -> None:
    for job in world.jobs:
        _ended_once(job)
        for slot in job.slots:
            _closed_once(world, slot)
    _files(world)
    _money(world)
    _budget(world)


def _ended_once(job: Job) -> None:
    check(len(job.ends) == 1, "job {} ended {} times", job.number, len(job.ends))
    counted = (job.stored, job.failed, job.canceled)
    check(sum(counted) == job.n, "job {} of {} counted {}", job.number, job.n, counted)
    stored = sum(slot.state is S.STORED for slot in job.slots)
    failed = sum(slot.state is S.FAILED for slot in job.slots)
    check(job.stored <= stored, "job {} counts {} of {} stored", job.number, job.stored, stored)
    check(job.failed <= failed, "job {} counts {} of {} failed", job.number, job.failed, failed)
    if job.state is JobState.COMPLETED:
        done = job.stored > 0 and job.completion.satisfied(stored=job.stored, n=job.n)
        check(done, "job {} is completed with {} of {}", job.number, job.stored, job.n)


def _closed_once(world: World, slot: Slot) -> None:
    check(slot.state in CLOSED, "{} is {} for ever", _name(slot), slot.state)
    told = int(slot.state in (S.STORED, S.FAILED))
    check(slot.closings == told, "{} is {}, told {} times", _name(slot), slot.state, slot.closings)
    check(slot.code not in NEVER, "{} lost what could be had: {}", _name(slot), slot.code)
    if slot.state is S.STORED:
        row = slot.rows[(slot.winner or 0) - 1]
        check(row.status is Status.SUCCEEDED, "{} stored a {}", _name(slot), row.status)
    attempts = slot.job.terms.recipe.attempts
    paid = len(slot.rows) - slot.not_listed
    check(paid <= attempts, "{} cost {} purchases of {}", _name(slot), paid, attempts)


def _files(world: World) -> None:
    """The bucket and our rows hold the same files."""
    kept = {key for job in world.jobs for slot in job.slots for key in slot.kept}
    check(kept <= world.lying, "{} are on record and gone", kept - world.lying)
    check(world.lying <= kept, "{} lie there and on no record", world.lying - kept)


def _money(world: World) -> None:
    """What the provider sold and what our rows say are the same, to the prediction and its cost."""
    rows = {row.ref: row for job in world.jobs for slot in job.slots for row in slot.rows}
    by_id = {row.prediction_id: row for row in rows.values() if row.prediction_id is not None}
    check(len(by_id) <= len(world.sold), "a purchase is in our rows that was never sold")
    for sold in world.sold.values():
        row = by_id.get(sold.id)
        if row is None:
            raise LawBroken(f"{sold.id} was sold for {sold.ref}, and no row knows it")
        check(row.ref == sold.ref, "{} was sold for {}, not {}", sold.id, sold.ref, row.ref)
        check(row.is_final, "{} is still {} to us", sold.id, row.status)
        check(row.status is sold.end, "{} is {}, and we say {}", sold.id, sold.end, row.status)
        check(row.cost == sold.costs, "{} cost {}, not {}", sold.id, sold.costs, row.cost)
        check(
            sold.late or sold.ref not in world.written_off,
            "{} was sold in time, and another one was bought for {}",
            sold.id,
            sold.ref,
        )


def _budget(world: World) -> None:
    """No minute sees more creates than the account may make."""
    limit = world.budget.per_minute
    for first, time in enumerate(world.claims):
        within = sum(time <= other < time + 60 for other in world.claims[first:])
        check(within <= limit, "{} creates in the minute from {:.0f} s", within, time)


def _name(slot: Slot) -> str:
    return f"slot {slot.job.number}.{slot.ordinal}"
