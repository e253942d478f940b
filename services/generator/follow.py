"""Follow: news of predictions moves them and their slots; the end of a job closes what is open."""

from dataclasses import dataclass, replace
from uuid import UUID

import structlog
from prometheus_client import Counter

from shared.clock import Clock
from shared.db import jobs, journal, slots
from shared.db.connection import Database
from shared.db.record import AgainRule, Outcome, record
from shared.domain.self_test import is_self_test
from shared.envelope import WEBHOOK_ID, Envelope
from shared.errors import Permanent
from shared.events import JobCanceled, JobCompleted, JobFailed, read
from shared.messaging import topology

log = structlog.get_logger()

NEWS = Counter(
    "darkroom_prediction_news_total", "News of predictions by what it did.", ["type", "outcome"]
)
for _type in sorted({*topology.GENERATOR_VERDICTS.hears, *topology.GENERATOR_PROGRESS.hears}):
    for _outcome in Outcome:
        NEWS.labels(_type, _outcome)

# Nothing moved, and only somebody who looks can say why.
TO_LOOK_AT = {
    Outcome.UNKNOWN: "no purchase of ours is meant by it",
    Outcome.AMBIGUOUS: "it cannot be told which purchase is meant by it",
    Outcome.UNREADABLE: "it is no prediction",
}
SELF_TEST = "self_test"
ENDS = {fact.type: fact for fact in (JobCompleted, JobFailed, JobCanceled)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPredictions:
    """Hears ``prediction.started``, ``.progressed``, ``.failed``, ``.canceled``, ``.aborted``."""

    database: Database
    again: AgainRule
    now: Clock

    async def hear(self, envelope: Envelope) -> None:
        if is_self_test(envelope.extensions.get(WEBHOOK_ID)):
            async with self.database.transaction() as tx:
                # That it came is all that it says; its body may be large on purpose.
                await journal.hear(tx, replace(envelope, body=b""), outcome=SELF_TEST)
            return
        async with self.database.transaction() as tx:
            recorded = await record(tx, envelope, again=self.again, now=self.now())
        NEWS.labels(envelope.type, recorded.outcome).inc()
        slot, bought = recorded.slot, recorded.prediction
        log.info(
            envelope.type,
            outcome=recorded.outcome,
            prediction_id=recorded.news.id if recorded.news else None,
            job_id=str(bought.job_id) if bought else None,
            ordinal=bought.ordinal if bought else None,
            attempt=bought.attempt if bought else None,
            progress=bought.progress if bought else None,
            slot_state=slot.state if slot else None,
        )
        if recorded.outcome in TO_LOOK_AT:
            raise Permanent(f"{envelope.type}: {TO_LOOK_AT[recorded.outcome]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseEndedJobs:
    """Hears ``job.completed``, ``.failed``, ``.canceled``: nothing more is bought for the job, and
    what still runs is to be canceled (the row says so; the reconciler sees it through)."""

    database: Database

    async def hear(self, envelope: Envelope) -> None:
        job_id: UUID = read(ENDS[envelope.type], envelope).job_id
        async with self.database.transaction() as tx:
            if await jobs.lock(tx, job_id) is None:
                return  # deleted after its retention
            closed = await slots.cancel_open(tx, job_id)
            await journal.hear(tx, envelope, outcome="closed", job_id=job_id)
        if closed:
            log.info("slots.canceled", job_id=str(job_id), ordinals=[s.ordinal for s in closed])
