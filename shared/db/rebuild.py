"""What the archive says about a job, held against its rows; and what saying facts again would mend.

Nothing here is kept: a part of the job at a time is set back to its bare purchases, the stored news
is taken in again by ``record`` itself, and the transaction is rolled back. What mends is only ever
a fact that is said again: whoever hears it finds its work done, or does it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from shared.db import jobs, journal, parked, predictions, slots
from shared.db.connection import Connection, Database
from shared.db.jobs import Job
from shared.db.journal import Entry
from shared.db.parked import Which
from shared.db.record import AgainRule, Outcome, record
from shared.db.slots import Slot
from shared.domain import identity
from shared.domain.job import JobState
from shared.domain.prediction import FACT_OF_STATUS, Status, Unreadable, read_prediction
from shared.domain.slot import FailureCode, SlotState
from shared.events import ArtifactsStored, SlotFailed, read

# Of a large job so many slots are looked at under one lock, which others wait for: well below their
# patience, also on a busy machine.
SLOTS_AT_A_TIME = 20

NEWS = tuple(FACT_OF_STATUS.values())
CLOSINGS = (ArtifactsStored.type, SlotFailed.type)
# What nobody could place moves nothing; neither does what is known.
_MOVES = (Outcome.MOVED, Outcome.DATA_REMOVED, Outcome.STALE, Outcome.LOST)

_HOW_FAR: Mapping[SlotState, int] = {
    SlotState.PENDING: 0,
    SlotState.CREATING: 0,
    SlotState.IN_DOUBT: 0,
    SlotState.SUBMITTED: 1,
    SlotState.RUNNING: 2,
    SlotState.SUCCEEDED: 3,
    SlotState.STORED: 4,
    SlotState.FAILED: 4,
    SlotState.CANCELED: 4,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a slot is; ``code`` where it failed."""

    state: SlotState
    code: FailureCode | None = None

    def __str__(self) -> str:
        return f"{self.state} ({self.code})" if self.code else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSay:
    """A fact of the journal that is worth saying again."""

    event_id: str
    type: str
    recorded_at: datetime
    why: str

    @classmethod
    def of(cls, entry: Entry, why: str) -> Self:
        return cls(event_id=entry.event_id, type=entry.type, recorded_at=entry.recorded_at, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCompared:
    """``now`` as it stands, ``archive`` as the stored facts have it, ``then`` as it would stand
    once ``say`` was heard by whoever hears the news."""

    ordinal: int
    now: Standing
    archive: Standing
    then: Standing
    say: tuple[ToSay, ...]

    @property
    def differs(self) -> bool:
        """The archive knows more than the row, or something else. (It may know less: what bodies
        told is gone with them.)"""
        return _differ(self.now, self.archive)

    @property
    def is_mended(self) -> bool:
        """Whether nothing differs any more once ``say`` was heard."""
        return not _differ(self.then, self.archive)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCompared:
    """``slots`` by ordinal; ``say`` are facts about the job itself."""

    job: Job
    slots: tuple[SlotCompared, ...]
    say: tuple[ToSay, ...]

    @property
    def all_to_say(self) -> tuple[ToSay, ...]:
        return (*(fact for slot in self.slots for fact in slot.say), *self.say)


def _differ(row: Standing, archive: Standing) -> bool:
    if _HOW_FAR[row.state] != _HOW_FAR[archive.state]:
        return _HOW_FAR[row.state] < _HOW_FAR[archive.state]
    if _HOW_FAR[row.state] == 0:
        return False  # nobody has told anything yet
    return row != archive


async def compare(
    database: Database, job_id: UUID, *, again: AgainRule, now: datetime
) -> JobCompared | None:
    """Hold a job against the archive; None where there is no such job. Changes nothing.

    Locks a part of the job at a time, for as long as its news takes to be read.
    """
    async with database.connection() as db:
        job = await jobs.get(db, job_id)
        ordinals = [slot.ordinal for slot in await slots.of_job(db, job_id)]
    if job is None:
        return None
    compared: list[SlotCompared] = []
    for start in range(0, len(ordinals), SLOTS_AT_A_TIME):
        async with never_committed(database) as tx:
            part = _Part(tx, ordinals[start : start + SLOTS_AT_A_TIME], again, now)
            compared += await part.compare(job_id)
    async with database.connection() as db:
        say = await _about_the_job(db, job)
    return JobCompared(job=job, slots=tuple(compared), say=say)


async def say_again(database: Database, facts: Sequence[ToSay]) -> int:
    """Have the relay publish them once more, in the order of the journal; how many were still there
    to be said. What lies parked dead of them comes back instead of staying for a look."""
    said = 0
    for fact in facts:
        async with database.transaction() as tx:
            said += await journal.say_again(tx, fact.event_id)
            await parked.bring_back(tx, Which(dead=True, named=(fact.event_id,)))
    return said


async def restless_since(tx: Connection, since: datetime) -> list[UUID]:
    """Jobs with news recorded since then that are not at rest: a slot is open or not counted, an
    end has not done its work, or news could not be placed when it came."""
    rows = await tx.fetch(
        """
        WITH told AS (
            SELECT job_id, bool_or(outcome IS NULL OR outcome IN ('unknown', 'ambiguous')) AS unplaced
              FROM journal
             WHERE origin IN ('webhook', 'reconciler')
               AND recorded_at >= $1
               AND job_id IS NOT NULL
          GROUP BY job_id
        )
        SELECT job.id
          FROM told
          JOIN job ON job.id = told.job_id
         WHERE told.unplaced
            OR job.ended_at IS NULL
            OR (job.state = 'completed' AND job.report = 'pending')
            OR EXISTS (SELECT FROM slot WHERE slot.job_id = job.id AND slot.counted_at IS NULL)
      ORDER BY job.created_at, job.id
        """,
        since,
    )
    return [row["id"] for row in rows]


async def _about_the_job(db: Connection, job: Job) -> tuple[ToSay, ...]:
    """The job's own end, where somebody has not done what follows from it."""
    if job.is_open:
        return ()
    left_open = [slot for slot in await slots.of_job(db, job.id) if not slot.is_closed]
    unreported = job.state is JobState.COMPLETED and job.report == "pending"
    if not left_open and not unreported:
        return ()
    end = await journal.by_event_id(db, identity.job_ended_id(job.id))
    if end is None:
        return ()
    why = "slots are open after the job's end" if left_open else "its report has not come"
    return (ToSay.of(end, why),)


class _Part:
    """Some slots of a job, in a transaction that is rolled back."""

    def __init__(
        self, tx: Connection, ordinals: Sequence[int], again: AgainRule, now: datetime
    ) -> None:
        self._tx = tx
        self._ordinals = list(ordinals)
        self._again = again
        self._now = now

    async def compare(self, job_id: UUID) -> list[SlotCompared]:
        tx = self._tx
        job = await jobs.lock(tx, job_id)
        if job is None:
            return []
        before = await self._slots(job_id)
        facts = await journal.of_slots(tx, job_id, self._ordinals)
        news = _first_of_each([entry for entry in facts if entry.type in NEWS])
        closings = {e.ordinal: e for e in facts if e.type in CLOSINGS and e.ordinal is not None}
        ended = any(entry.event_id == identity.job_ended_id(job_id) for entry in facts)

        async with _undone(tx):
            rebuilt = await self._rebuild(job_id, news)
        moving, then = await self._go_on(job_id, news)
        waiting = await self._not_stored(before)
        return [
            SlotCompared(
                ordinal=ordinal,
                now=_standing(slot),
                archive=_closed_by(
                    closings.get(ordinal),
                    ended,
                    news=_standing(rebuilt[ordinal]),
                    now=_standing(slot),
                ),
                then=_standing(then[ordinal]),
                say=_worth_saying(slot, moving, waiting, closings.get(ordinal)),
            )
            for ordinal, slot in before.items()
        ]

    async def _slots(self, job_id: UUID) -> dict[int, Slot]:
        found = await slots.of_job(self._tx, job_id)
        return {slot.ordinal: slot for slot in found if slot.ordinal in set(self._ordinals)}

    async def _rebuild(self, job_id: UUID, news: Sequence[Entry]) -> dict[int, Slot]:
        """From the bare purchases, by the news alone. (A slot that closes would state its end, and an
        end that is stated already is refused: such a slot is as its closing has it.)"""
        await _set_back(self._tx, job_id, self._ordinals)
        for entry in news:
            async with _unless_it_fails(self._tx):
                await record(self._tx, entry.envelope, again=self._again, now=self._now)
        return await self._slots(job_id)

    async def _go_on(
        self, job_id: UUID, news: Sequence[Entry]
    ) -> tuple[dict[tuple[int, str], Entry], dict[int, Slot]]:
        """From the rows as they stand: the last fact that moved each prediction, by its slot and
        id, and the slots afterwards."""
        moving: dict[tuple[int, str], Entry] = {}
        for entry in news:
            async with _unless_it_fails(self._tx):
                recorded = await record(self._tx, entry.envelope, again=self._again, now=self._now)
                bought = recorded.prediction
                if recorded.outcome in _MOVES and bought is not None:
                    moving[bought.ordinal, bought.prediction_id or ""] = entry
        return moving, await self._slots(job_id)

    async def _not_stored(self, before: Mapping[int, Slot]) -> dict[int, Entry]:
        """The success of each slot whose files are still to be fetched."""
        found = {}
        for slot in before.values():
            if slot.state is not SlotState.SUCCEEDED:
                continue
            for row in await predictions.of_slot(self._tx, slot.job_id, slot.ordinal):
                if row.attempt == slot.winner and row.prediction_id is not None:
                    event_id = identity.verdict_id(row.prediction_id, Status.SUCCEEDED)
                    if await parked.waits(self._tx, event_id):
                        continue  # storage has it, and its time will come
                    entry = await journal.by_event_id(self._tx, event_id)
                    if entry is not None:
                        found[slot.ordinal] = entry
        return found


def _first_of_each(news: Sequence[Entry]) -> list[Entry]:
    """For each prediction the first body with each status: the hundredth that tells of its progress
    moves nothing that the first did not. Without bodies that are gone, or never were a prediction."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in news:
        try:
            told = read_prediction(entry.body or b"")
        except Unreadable:
            continue
        found.setdefault((told.id, told.raw_status), entry)
    return list(found.values())


def _worth_saying(
    slot: Slot,
    moving: Mapping[tuple[int, str], Entry],
    waiting: Mapping[int, Entry],
    closing: Entry | None,
) -> tuple[ToSay, ...]:
    say = [
        ToSay.of(entry, "it would move its prediction or its slot")
        for (ordinal, _), entry in moving.items()
        if ordinal == slot.ordinal
    ]
    if slot.ordinal in waiting and all(
        fact.event_id != waiting[slot.ordinal].event_id for fact in say
    ):
        say.append(ToSay.of(waiting[slot.ordinal], "its files are not stored yet"))
    if closing is not None and slot.is_closed and slot.counted_at is None:
        say.append(ToSay.of(closing, "its slot is closed and not counted"))
    return tuple(say)


def _closed_by(closing: Entry | None, ended: bool, *, news: Standing, now: Standing) -> Standing:
    """Where the archive has the slot: closed by our own fact, by the end of its job, or as far as
    the news goes. A closing without its body says that the slot failed, and no more of what."""
    if closing is not None and closing.type == ArtifactsStored.type:
        return Standing(SlotState.STORED)
    if closing is not None:
        code = read(SlotFailed, closing.envelope).code if closing.body is not None else now.code
        return Standing(SlotState.FAILED, code)
    return Standing(SlotState.CANCELED) if ended else news


async def _set_back(tx: Connection, job_id: UUID, ordinals: Sequence[int]) -> None:
    """The job open, the slots as bought and not heard of. What is not bought stays as it is; and so
    do the attempts that their slot has left behind, such as one whose files expired."""
    await tx.execute(
        """
        UPDATE prediction p
           SET status = NULL
          FROM slot s
         WHERE p.job_id = $1
           AND p.ordinal = ANY($2)
           AND s.job_id = p.job_id
           AND s.ordinal = p.ordinal
           AND (p.attempt IN (s.attempt, s.winner) OR p.status IN ('starting', 'processing'))
        """,
        job_id,
        list(ordinals),
    )
    await tx.execute(
        """
        UPDATE job
           SET state = 'queued', ended_at = NULL, stored = 0, failed = 0, canceled = 0
         WHERE id = $1
        """,
        job_id,
    )
    await tx.execute(
        """
        UPDATE slot s
           SET state = CASE WHEN bought THEN 'submitted' ELSE 'pending' END,
               due_at = CASE WHEN bought THEN NULL ELSE now() END,
               lease_until = NULL, winner = NULL, expires_at = NULL, counted_at = NULL,
               failure_code = NULL, failure_detail = NULL
          FROM (SELECT ordinal,
                       EXISTS (SELECT
                                 FROM prediction p
                                WHERE p.job_id = slot.job_id
                                  AND p.ordinal = slot.ordinal
                                  AND p.attempt = slot.attempt
                                  AND p.prediction_id IS NOT NULL) AS bought
                  FROM slot
                 WHERE job_id = $1) AS of_it
         WHERE s.job_id = $1
           AND s.ordinal = ANY($2)
           AND s.ordinal = of_it.ordinal
           AND s.state NOT IN ('pending', 'creating', 'in_doubt')
           AND s.reused_from IS NULL -- nothing was ever heard of it: it came stored
        """,
        job_id,
        list(ordinals),
    )


def _standing(slot: Slot) -> Standing:
    return Standing(slot.state, slot.failure_code)


class _RolledBack(Exception):
    """The end of a transaction that was for looking only."""


@asynccontextmanager
async def never_committed(database: Database) -> AsyncIterator[Connection]:
    """A transaction for looking what would come of something."""
    try:
        async with database.transaction() as tx:
            yield tx
            raise _RolledBack  # noqa: TRY301 - it ends the transaction, and is caught around it
    except _RolledBack:
        return


@asynccontextmanager
async def _undone(tx: Connection) -> AsyncIterator[None]:
    await tx.execute("SAVEPOINT looked")
    yield
    await tx.execute("ROLLBACK TO SAVEPOINT looked")


@asynccontextmanager
async def _unless_it_fails(tx: Connection) -> AsyncIterator[None]:
    """What one fact does, or nothing of it: its handler would fail in the same way, and then what
    differs is shown as not to be mended so."""
    await tx.execute("SAVEPOINT one_fact")
    try:
        yield
    except RuntimeError:
        await tx.execute("ROLLBACK TO SAVEPOINT one_fact")
    await tx.execute("RELEASE SAVEPOINT one_fact")
