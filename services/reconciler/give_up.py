"""Give up a slot whose prediction brings no end: longer than any run of its recipe can take."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from shared.clock import Clock
from shared.db import jobs, predictions, slots
from shared.db.connection import Database
from shared.db.predictions import PredictionRow
from shared.db.record import fail
from shared.domain.slot import FailureCode, News, Stale, decide
from shared.recipes.recipe import Recipe

log = structlog.get_logger()

# For a recipe that this installation no longer knows.
TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    database: Database
    recipes: Mapping[str, Recipe]
    now: Clock

    async def consider(self, row: PredictionRow) -> bool:
        """Fail the slot of a prediction that Replicate has just said still runs (or that it does
        not know), if it had its time; what runs is canceled. False: it has time left, or its slot
        waits for another."""
        age = self.now() - (row.answered_at or row.intended_at)
        if age < min((recipe.timeout for recipe in self.recipes.values()), default=TIMEOUT):
            return False  # whatever its recipe
        async with self.database.transaction() as tx:
            job = await jobs.get(tx, row.job_id)
            recipe = self.recipes.get(job.recipe) if job else None
            timeout = recipe.timeout if recipe else TIMEOUT
            if age < timeout:
                return False
            slot = await slots.lock(tx, row.job_id, row.ordinal)
            if slot is None or slot.attempt != row.attempt:
                return False
            to = decide(slot.state, News.FAILED)
            if isinstance(to, Stale):
                return False
            minutes = round(timeout.total_seconds() / 60)
            await fail(
                tx,
                slot,
                to,
                attempt=row.attempt,
                code=FailureCode.PROVIDER,
                detail=f"the provider brought no end within {minutes} minutes",
                source="reconciler",
                now=self.now(),
            )
            await predictions.want_cancel_losers(tx, row.job_id, row.ordinal, winner=None)
        log.error(
            "slot.given_up",
            job_id=str(row.job_id),
            ordinal=row.ordinal,
            prediction_id=row.prediction_id,
        )
        return True
