"""Rescue outputs that nobody works on: say them again while they last, close them when they are gone.

Storage takes every success from its queue or parks it. This is for what fell out of both: a message
that an operator discarded, a broker that lost a queue, a process that died five times of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from services.reconciler.bring_back import Publish
from shared.clock import Clock
from shared.db import jobs, journal, parked, predictions, slots
from shared.db.connection import Database
from shared.db.journal import Entry
from shared.db.record import FILES_LIVE, AgainRule, fail
from shared.db.slots import Slot
from shared.domain import identity
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, News, SlotState, Stale, decide
from shared.messaging.topology import STORAGE_URGENT

log = structlog.get_logger()

BATCH = 100
# In one round. A line that moves slowly is not made longer by more than this.
MOST_SAID = 1000
# Storage's line may be long, and what is in it is not lost: so long until it is said once more.
HEARD_WITHIN = timedelta(minutes=10)
# Between the hearing of a success and its note in the journal, in one transaction.
SAME_MOMENT = timedelta(seconds=2)
# Storage may still be at work on the last copy of a file when its hour is over: so long after it, as
# a part of the time that files live.
AFTER_EXPIRY = 1 / 12

RESCUED = Counter("darkroom_outputs_rescued_total", "Successes said again to storage")
LOST = Counter("darkroom_outputs_lost_total", "Slots closed because their files were gone")


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueOutputs:
    """``patience``: how long a success may stand without its files, before we look after it;
    ``heard_within``: how long after it was last said, before it is said again; ``files_live``: how
    long the provider keeps files."""

    database: Database
    publish: Publish
    again: AgainRule
    patience: timedelta
    now: Clock
    heard_within: timedelta = HEARD_WITHIN
    files_live: timedelta = FILES_LIVE

    async def run_once(self) -> dict[str, int]:
        """Look at every success that waits too long, soonest expiry first.

        What waits parked has its time. A second delivery of what storage is at work on changes
        nothing. Raises BrokerUnavailable or Unroutable, and goes on the next time.
        """
        rescued = lost = 0
        past: Slot | None = None
        while rescued < MOST_SAID:
            async with self.database.connection() as db:
                waiting = await slots.unsaved(db, older_than=self.patience, limit=BATCH, past=past)
            for slot in waiting:
                if slot.expires_at is not None and self._is_over(slot.expires_at):
                    lost += await self._close(slot)
                else:
                    rescued += await self._say_again(slot)
            if len(waiting) < BATCH:
                break
            # What waits parked keeps its place at the front: further on may be what has none.
            past = waiting[-1]
        return {"outputs_rescued": rescued, "outputs_lost": lost}

    def _is_over(self, expires_at: datetime) -> bool:
        return expires_at + self.files_live * AFTER_EXPIRY < self.now()

    async def _say_again(self, slot: Slot) -> bool:
        event_id = await self._success_of(slot)
        if event_id is None:
            return False
        async with self.database.connection() as db:
            if await parked.waits(db, event_id):
                return False
            entry = await journal.by_event_id(db, event_id)
        if entry is None or entry.body is None or self._is_under_way(slot, entry):
            return False
        await self.publish(entry.envelope, to_queue=STORAGE_URGENT.name)
        async with self.database.connection() as db:
            await journal.note_said(db, event_id)
        RESCUED.inc()
        log.warning("output.said_again", job_id=str(slot.job_id), ordinal=slot.ordinal)
        return True

    def _is_under_way(self, slot: Slot, entry: Entry) -> bool:
        """It is owed by the relay; or was said again since it was first heard, not long ago."""
        said = entry.published_at
        if said is None:
            return True
        return said > slot.moved_at + SAME_MOMENT and self.now() - said < self.heard_within

    async def _close(self, seen: Slot) -> bool:
        """The files are gone: pay again where the recipe does, else fail as expired."""
        event_id = await self._success_of(seen)
        async with self.database.transaction() as tx:
            if event_id is not None and await parked.waits(tx, event_id):
                return False  # storage has the last word on what it holds
            job = await jobs.get(tx, seen.job_id)
            slot = await slots.lock(tx, seen.job_id, seen.ordinal)
            if job is None or slot is None or slot.state is not SlotState.SUCCEEDED:
                return False
            words = "its files were deleted at the provider before they were stored"
            to = decide(
                slot.state, News.EXPIRED, again=self.again(job, slot, FailureCode.EXPIRED, words)
            )
            if isinstance(to, Stale):
                return False
            await fail(
                tx,
                slot,
                to,
                attempt=slot.winner or slot.attempt,
                code=FailureCode.EXPIRED,
                detail=words,
                source="reconciler",
                now=self.now(),
            )
        LOST.inc()
        log.error("output.expired", job_id=str(slot.job_id), ordinal=slot.ordinal)
        return True

    async def _success_of(self, slot: Slot) -> str | None:
        """The id of the fact that made the slot succeed."""
        async with self.database.connection() as db:
            rows = await predictions.of_slot(db, slot.job_id, slot.ordinal)
        won = next((row for row in rows if row.attempt == slot.winner), None)
        if won is None or won.prediction_id is None:
            return None
        return identity.verdict_id(won.prediction_id, Status.SUCCEEDED)
