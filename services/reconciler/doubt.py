"""Settle purchases in doubt by the provider's list: adopt what it shows, buy anew what it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.reconciler.matching import (
    CLOCKS_DIFFER,
    Doubted,
    Evidence,
    Found,
    NotListed,
    Unclear,
    weigh,
)
from services.reconciler.reads import Reads
from shared.clock import Clock
from shared.db import jobs, journal, predictions, server_clock, slots
from shared.db.connection import Connection, Database
from shared.db.predictions import PredictionRow, Purchase
from shared.db.record import fail
from shared.domain.prediction import Prediction, Status
from shared.domain.slot import FailureCode, News, Stale, decide
from shared.errors import Permanent
from shared.events import PredictionCreated, state
from shared.recipes.recipe import Recipe
from shared.replicate_api import Replicate

log = structlog.get_logger()

# Looked at in one round. Where there are more, an input that fits one of them may fit another too.
BATCH = 2000
# What the first looks did not settle is looked at by the slower round, so that one old doubt does
# not have its whole time listed every few seconds.
FRESH = timedelta(minutes=10)
# An orphan runs, and keeps its files, for about as long.
STRAYS_UNTIL = timedelta(minutes=90)
# For a recipe that this installation no longer knows.
COLD_START = timedelta(minutes=5)
TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a complete list of some time says: ``unexplained`` are the predictions that no purchase
    of ours has; ``began`` is when it was begun, by the database's clock; ``shows_waiting``: it has
    one that has not started, so the provider lists what still boots."""

    unexplained: Sequence[Prediction]
    began: datetime
    shows_waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleDoubt:
    """``grace`` is how long the provider may take to list what it accepted. Where a list shows
    nothing that waits for its model to boot, it may be that it never does: then what it lacks may
    also boot for ``cold_start`` (None: as long as the recipe's model may take)."""

    database: Database
    replicate: Replicate
    reads: Reads
    recipes: Mapping[str, Recipe]
    grace: timedelta
    now: Clock
    cold_start: timedelta | None = None

    async def run_once(self) -> dict[str, int]:
        """Settle what came into doubt a short while ago."""
        counts = {"lease_ran_out": await self._doubt_the_overdue()}
        fresh = await self._doubted(younger_than=FRESH)
        if not fresh:
            return counts
        rivals = (*await self._doubted(), *await self._strays())
        return counts | await self._settle_all(fresh, rivals=rivals)

    async def look_for_strays(self) -> dict[str, int]:
        """Settle what is in doubt for longer, and find purchases for which no slot waits any more:
        they are canceled if they run, and counted."""
        doubted, strays = await self._doubted(), await self._strays()
        looked_at = (*doubted, *strays)
        return await self._settle_all(looked_at, rivals=looked_at)

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

    async def _doubted(self, *, younger_than: timedelta | None = None) -> list[Doubted]:
        async with self.database.connection() as db:
            waiting = await slots.in_doubt(db, limit=BATCH, younger_than=younger_than)
            rows = await predictions.of_attempts(
                db, [(slot.job_id, slot.ordinal, slot.attempt) for slot in waiting]
            )
        return _paired(waiting, rows)

    async def _strays(self) -> list[Doubted]:
        async with self.database.connection() as db:
            rows = await predictions.unexplained(db, younger_than=STRAYS_UNTIL, limit=BATCH)
            found = await slots.several(db, [(row.job_id, row.ordinal) for row in rows])
        return _paired(found, rows)

    async def _settle_all(
        self, doubted: Sequence[Doubted], *, rivals: Sequence[Doubted]
    ) -> dict[str, int]:
        counts: dict[str, int] = {}
        for together in of_one_time(doubted):
            listed = await self._list(together)
            for one, evidence in weigh(
                together, listed.unexplained, rivals=rivals, all_known=len(rivals) < BATCH
            ):
                settled = await self._settle(one, evidence, listed)
                counts[settled] = counts.get(settled, 0) + 1
        return counts

    async def _list(self, doubted: Sequence[Doubted]) -> Listed:
        """The complete list of the time in which these were bought, if they were. Raises Transient
        where it cannot be had: a part of it proves nothing."""
        async with self.database.connection() as db:
            began = await server_clock.read(db)
        pages = self.replicate.list_between(
            min(one.row.intended_at for one in doubted) - CLOCKS_DIFFER,
            max(one.row.create_deadline for one in doubted) + CLOCKS_DIFFER,
        )
        found: list[Prediction] = []
        shows_waiting = False
        async for page in self.reads.paced(pages):
            async with self.database.connection() as db:
                known = await predictions.known(db, [answer.prediction.id for answer in page])
            for answer in page:
                shows_waiting |= answer.prediction.status is Status.STARTING
                if answer.prediction.id not in known:
                    found.append(answer.prediction)
        return Listed(unexplained=found, began=began, shows_waiting=shows_waiting)

    async def _settle(self, one: Doubted, evidence: Evidence, listed: Listed) -> str:
        match evidence:
            case Found(prediction=prediction):
                return await self._found(one, prediction)
            case NotListed():
                return await self._not_listed(one, listed)
            case Unclear(why=why):
                return await self._unclear(one, why)

    async def _found(self, one: Doubted, prediction: Prediction) -> str:
        try:
            async with self.database.transaction() as tx:
                moved = await self._adopt(tx, one, prediction)
        except Permanent as error:
            log.error("purchase.conflicting", **_about(one), reason=str(error))
            return "unclear"
        log.info("purchase.adopted", **_about(one), prediction_id=prediction.id)
        if not one.waits:
            return "stray_adopted"
        return "adopted" if moved else "settled_meanwhile"

    async def _adopt(self, tx: Connection, one: Doubted, prediction: Prediction) -> bool:
        """Enter the prediction as this purchase; a verdict that it has is asked for at once."""
        await jobs.to_queued(tx, one.row.job_id)
        await predictions.fill(
            tx,
            one.row.job_id,
            one.row.ordinal,
            one.row.attempt,
            prediction=prediction,
            adopted=True,
        )
        created = PredictionCreated(
            job_id=one.row.job_id,
            ordinal=one.row.ordinal,
            attempt=one.row.attempt,
            prediction_id=prediction.id,
            model=one.row.model,
        )
        await journal.say(
            tx, state(created, source="reconciler", now=self.now()), ordinal=one.row.ordinal
        )
        slot = await slots.lock(tx, one.row.job_id, one.row.ordinal)
        if slot is None or slot.attempt != one.row.attempt:
            return False
        to = decide(slot.state, News.ACCEPTED)
        return not isinstance(to, Stale) and await slots.move(tx, slot, to) is not None

    async def _not_listed(self, one: Doubted, listed: Listed) -> str:
        if one.row.outcome is Purchase.NOT_LISTED:
            return "not_listed_still"
        if listed.began < one.row.create_deadline + await self._patience(one, listed):
            return "waits_for_evidence"
        async with self.database.transaction() as tx:
            bought_anew = await _buy_anew(tx, one)
        log.warning("purchase.not_listed", **_about(one))
        if not one.waits:
            return "stray_not_listed"
        return "bought_anew" if bought_anew else "settled_meanwhile"

    async def _patience(self, one: Doubted, listed: Listed) -> timedelta:
        """How long after its create's last moment a purchase may be missing from the list."""
        if listed.shows_waiting:
            return self.grace
        if self.cold_start is not None:
            return self.grace + self.cold_start
        recipe = await self._recipe(one)
        return self.grace + (recipe.cold_start if recipe else COLD_START)

    async def _unclear(self, one: Doubted, why: str) -> str:
        """Its own webhook can still tell it, and nobody else may. A slot does not wait for ever."""
        log.error("purchase.unclear", **_about(one), reason=why)
        recipe = await self._recipe(one)
        if self.now() - one.row.intended_at < (recipe.timeout if recipe else TIMEOUT):
            return "unclear"
        async with self.database.transaction() as tx:
            slot = await _still_doubted(tx, one)
            to = decide(slot.state, News.FAILED) if slot is not None else Stale()
            if slot is None or isinstance(to, Stale):
                return "unclear"
            await fail(
                tx,
                slot,
                to,
                attempt=slot.attempt,
                code=FailureCode.PROVIDER,
                detail=f"whether it was bought cannot be told: {why}",
                source="reconciler",
                now=self.now(),
            )
        log.error("slot.given_up", **_about(one))
        return "given_up"

    async def _recipe(self, one: Doubted) -> Recipe | None:
        async with self.database.connection() as db:
            job = await jobs.get(db, one.row.job_id)
        return self.recipes.get(job.recipe) if job else None


def _paired(found: Sequence[slots.Slot], rows: Sequence[PredictionRow]) -> list[Doubted]:
    """Each purchase with its slot, in the order of ``rows``' intents."""
    by_place = {(slot.job_id, slot.ordinal): slot for slot in found}
    return [
        Doubted(by_place[row.job_id, row.ordinal], row)
        for row in sorted(rows, key=lambda row: row.intended_at)
        if (row.job_id, row.ordinal) in by_place
    ]


def of_one_time(doubted: Sequence[Doubted]) -> list[list[Doubted]]:
    """Those whose lists would overlap, together: each list is read once, and none spans the time
    between two doubts that lie far apart."""
    groups: list[list[Doubted]] = []
    end: datetime | None = None
    for one in sorted(doubted, key=lambda one: one.row.intended_at):
        if end is None or one.row.intended_at - CLOCKS_DIFFER > end:
            groups.append([])
            end = None
        groups[-1].append(one)
        until = one.row.create_deadline + CLOCKS_DIFFER
        end = until if end is None else max(end, until)
    return groups


async def _still_doubted(tx: Connection, one: Doubted) -> slots.Slot | None:
    """The slot, locked, if its doubt is still the one that the evidence is about: the fence tells
    a later create of the same attempt, which no list of before can speak of."""
    slot = await slots.lock(tx, one.row.job_id, one.row.ordinal)
    seen = (one.slot.state, one.slot.attempt, one.slot.fence)
    if slot is None or not one.waits or (slot.state, slot.attempt, slot.fence) != seen:
        return None
    return slot


async def _buy_anew(tx: Connection, one: Doubted) -> bool:
    """Another attempt. The old row stays as a possible double purchase, its token stays valid."""
    slot = await _still_doubted(tx, one)
    if slot is None and one.waits:
        return False
    await predictions.set_outcome(
        tx,
        one.row.job_id,
        one.row.ordinal,
        one.row.attempt,
        Purchase.NOT_LISTED,
        error="not listed",
    )
    if slot is None:
        return False
    to = decide(slot.state, News.NOT_LISTED)
    return not isinstance(to, Stale) and await slots.move(tx, slot, to) is not None


def _about(one: Doubted) -> dict[str, object]:
    return {
        "job_id": str(one.row.job_id),
        "ordinal": one.row.ordinal,
        "attempt": one.row.attempt,
    }
