"""Cancel at Replicate what nobody needs any more, and see it through to its end."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import Counter as Counts

from services.reconciler.news import fact_of, tell
from services.reconciler.reads import Reads
from services.reconciler.rounds import some_at_once
from shared.clock import Clock
from shared.db import predictions
from shared.db.connection import Database
from shared.db.predictions import PredictionRow
from shared.domain.prediction import TERMINAL
from shared.errors import Transient
from shared.replicate_api import Answer, InDoubt, Refused, Replicate

log = structlog.get_logger()

UNWANTED = Counts(
    "darkroom_unwanted_predictions_total",
    "Predictions that nobody needed any more, by how they ended after all.",
    ["came_to"],
)

BATCH = 50
AT_ONCE = 8
# When a cancel that brought no end is sent again.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelUnwanted:
    database: Database
    replicate: Replicate
    reads: Reads
    now: Clock

    async def run_once(self) -> dict[str, int]:
        async with self.database.connection() as db:
            unwanted = await predictions.to_cancel(db, limit=BATCH, lease=LEASE)
        outcomes = await some_at_once(AT_ONCE, [partial(self._cancel, row) for row in unwanted])
        return dict(Counter(outcomes))

    async def _cancel(self, row: PredictionRow) -> str:
        """One cancel. The row says that it is wanted until a verdict is in, so nothing is lost by
        a failure here; what was paid for it comes with the verdict."""
        about = {"prediction_id": row.prediction_id, "job_id": str(row.job_id)}
        try:
            async with self.reads.one():
                answer = await self._end_of(row.prediction_id or "")
        except (Refused, Transient) as error:
            log.warning("prediction.not_canceled", **about, reason=str(error))
            return "cancel_failed"
        log.info("prediction.cancel_sent", **about, status=answer.prediction.raw_status)
        if answer.prediction.status in TERMINAL:
            # Too late is told from in time: what succeeded all the same was paid in full.
            UNWANTED.labels(answer.prediction.raw_status).inc()
        async with self.database.transaction() as tx:
            if answer.prediction.status in TERMINAL:
                await tell(tx, fact_of(answer.prediction, answer.body, row, now=self.now()), row)
            else:
                await predictions.ask_in(tx, row, LEASE / 2)
        return "canceled"

    async def _end_of(self, prediction_id: str) -> Answer:
        try:
            return await self.replicate.cancel(prediction_id)
        except (Refused, InDoubt):
            # It may have ended just now; how it stands is what counts.
            return await self.replicate.get(prediction_id)
