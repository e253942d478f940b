"""Ask Replicate about predictions that went silent: the way by which lost webhooks come home."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from services.reconciler.give_up import GiveUp
from services.reconciler.news import fact_of, tell
from services.reconciler.reads import Reads
from services.reconciler.rounds import some_at_once
from shared.clock import Clock
from shared.db import predictions
from shared.db.connection import Database
from shared.db.predictions import PredictionRow
from shared.domain.prediction import TERMINAL
from shared.errors import Transient
from shared.replicate_api import Answer, Refused, Replicate

log = structlog.get_logger()

BATCH = 50
AT_ONCE = 8
# Above the deadline of a read; who dies in between leaves the question to the next round.
LEASE = timedelta(seconds=60)
LONGEST_SILENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSilent:
    database: Database
    replicate: Replicate
    reads: Reads
    give_up: GiveUp
    now: Clock

    async def run_once(self) -> dict[str, int]:
        """Ask about everything that is silent for longer than its recipe usually takes."""
        async with self.database.connection() as db:
            silent = await predictions.to_ask(db, limit=BATCH, lease=LEASE)
        if not silent:
            return {}
        outcomes = await some_at_once(AT_ONCE, [partial(self._ask, row) for row in silent])
        return dict(Counter(outcomes))

    async def _ask(self, row: PredictionRow) -> str:
        """One question. What it brings moves nothing here: it goes the way of every webhook."""
        about = {"prediction_id": row.prediction_id, "job_id": str(row.job_id)}
        try:
            async with self.reads.one():
                answer = await self.replicate.get(row.prediction_id or "")
        except Refused as error:
            # Deleted there, or of another account. Its slot's job ends by its deadline.
            log.error("prediction.not_found", **about, asked=row.asked, reason=str(error))
            return await self._ask_later(row, "not_found", in_=_silence(row))
        except Transient as error:
            log.warning("prediction.not_asked", **about, asked=row.asked, reason=str(error))
            return await self._ask_later(
                row, "not_answered", in_=error.retry_after or _silence(row)
            )
        return await self._tell(row, answer)

    async def _tell(self, row: PredictionRow, answer: Answer) -> str:
        prediction = answer.prediction
        if prediction.status not in TERMINAL and prediction.status == row.status:
            if await self.give_up.consider(row):
                return "given_up"
            return await self._ask_later(row, "still_running", in_=_silence(row))
        async with self.database.transaction() as tx:
            fact = fact_of(prediction, answer.body, row, now=self.now())
            told = await tell(tx, fact, row)
            await predictions.ask_in(tx, row, _silence(row))
        log.info(
            fact.type, prediction_id=prediction.id, job_id=str(row.job_id), origin="reconciler"
        )
        return told

    async def _ask_later(self, row: PredictionRow, outcome: str, *, in_: timedelta) -> str:
        async with self.database.connection() as db:
            await predictions.ask_in(db, row, in_)
        return outcome


def _silence(row: PredictionRow) -> timedelta:
    """How long to wait before the next question: a third longer each time, ten times at most."""
    return min(row.ask_every * 1.33 ** min(row.asked, 20), row.ask_every * 10, LONGEST_SILENCE)
