"""Settle purchases in doubt by the provider's list: adopt what it shows, buy anew what it lacks."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.reconciler.matching import CLOCKS_DIFFER, Doubted, Evidence, Found, NotListed, weigh
from services.reconciler.reads import Reads
from shared.clock import Clock
from shared.db import jobs, journal, predictions, server_clock, slots
from shared.db.connection import Connection, Database
from shared.db.predictions import Purchase
from shared.domain.prediction import Prediction
from shared.domain.slot import News, Stale, decide
from shared.errors import Permanent
from shared.events import PredictionCreated, state
from shared.replicate_api import Replicate

log = structlog.get_logger()

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleDoubt:
    """``grace`` is how long the provider may take to list what it accepted."""

    database: Database
    replicate: Replicate
    reads: Reads
    grace: timedelta
    now: Clock

    async def run_once(self) -> dict[str, int]:
        counts = {"lease_ran_out": await self._doubt_the_overdue()}
        doubted, began = await self._doubted()
        if not doubted:
            return counts
        unexplained = await self._unexplained(
            since=min(one.row.intended_at for one in doubted) - CLOCKS_DIFFER
        )
        for one, evidence in weigh(doubted, unexplained):
            settled = await self._settle(one, evidence, list_began=began)
            counts[settled] = counts.get(settled, 0) + 1
        return counts

    async def _doubt_the_overdue(self) -> int:
        """What a buyer did not come back from may have been bought."""
        async with self.database.transaction() as tx:
            overdue = await slots.leases_run_out(tx, limit=BATCH)
            for slot in overdue:
                to = decide(slot.state, News.UNKNOWN_OUTCOME)
                if isinstance(to, Stale):
                    continue
                await predictions.set_outcome(
                    tx,
                    slot.job_id,
                    slot.ordinal,
                    slot.attempt,
                    Purchase.IN_DOUBT,
                    error="its buyer did not come back",
                )
                await slots.move(tx, slot, to)
        return len(overdue)

    async def _doubted(self) -> tuple[list[Doubted], datetime]:
        """What is in doubt, and the moment by the database's clock, before anything is listed."""
        async with self.database.connection() as db:
            waiting = await slots.in_doubt(db, limit=BATCH)
            if not waiting:
                return [], self.now()
            began = await server_clock.read(db)
            doubted = [
                Doubted(slot, row)
                for slot in waiting
                for row in await predictions.of_slot(db, slot.job_id, slot.ordinal)
                if row.attempt == slot.attempt
            ]
        return doubted, began

    async def _unexplained(self, *, since: datetime) -> list[Prediction]:
        """Every prediction of the account since then that no purchase of ours has."""
        found: list[Prediction] = []
        async with self.reads.one():
            async for page in self.replicate.list_since(since):
                async with self.database.connection() as db:
                    found += [
                        prediction
                        for prediction in page
                        if await predictions.by_prediction_id(db, prediction.id) is None
                    ]
        return found

    async def _settle(self, one: Doubted, evidence: Evidence, *, list_began: datetime) -> str:
        about = {
            "job_id": str(one.slot.job_id),
            "ordinal": one.slot.ordinal,
            "attempt": one.slot.attempt,
        }
        match evidence:
            case Found(prediction=prediction):
                try:
                    async with self.database.transaction() as tx:
                        adopted = await self._adopt(tx, one, prediction)
                except Permanent as error:
                    log.error("purchase.conflicting", **about, reason=str(error))
                    return "unclear"
                log.info("purchase.adopted", **about, prediction_id=prediction.id)
                return "adopted" if adopted else "settled_meanwhile"
            case NotListed():
                if list_began < one.row.create_deadline + self.grace:
                    return "waits_for_evidence"
                async with self.database.transaction() as tx:
                    bought_anew = await _buy_anew(tx, one)
                log.warning("purchase.not_listed", **about)
                return "bought_anew" if bought_anew else "settled_meanwhile"
            case _:
                # Its own webhook can still tell it. Nobody else may.
                log.error("purchase.unclear", **about, reason=evidence.why)
                return "unclear"

    async def _adopt(self, tx: Connection, one: Doubted, prediction: Prediction) -> bool:
        """Enter the prediction as this purchase; a verdict that it has is asked for at once."""
        at = (one.slot.job_id, one.slot.ordinal, one.slot.attempt)
        await jobs.to_queued(tx, one.slot.job_id)
        await predictions.fill(tx, *at, prediction=prediction, adopted=True)
        created = PredictionCreated(
            job_id=one.slot.job_id,
            ordinal=one.slot.ordinal,
            attempt=one.slot.attempt,
            prediction_id=prediction.id,
            model=one.slot.model,
        )
        await journal.say(
            tx,
            state(created, source="reconciler", now=self.now()),
            ordinal=one.slot.ordinal,
        )
        return await _move(tx, one, News.ACCEPTED)


async def _buy_anew(tx: Connection, one: Doubted) -> bool:
    """Another attempt. The old row stays as a possible double purchase, its token stays valid."""
    slot = await slots.lock(tx, one.slot.job_id, one.slot.ordinal)
    if slot is None or (slot.state, slot.attempt) != (one.slot.state, one.slot.attempt):
        return False
    await predictions.set_outcome(
        tx, slot.job_id, slot.ordinal, slot.attempt, Purchase.NOT_LISTED, error="not listed"
    )
    return await _move(tx, one, News.NOT_LISTED)


async def _move(tx: Connection, one: Doubted, news: News) -> bool:
    slot = await slots.lock(tx, one.slot.job_id, one.slot.ordinal)
    if slot is None or slot.attempt != one.slot.attempt:
        return False
    to = decide(slot.state, news)
    if isinstance(to, Stale):
        return False
    return await slots.move(tx, slot, to) is not None
