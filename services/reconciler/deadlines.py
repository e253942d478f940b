"""Say that a job's deadline has passed; the aggregator ends it by its recipe's rule."""

from dataclasses import dataclass
from uuid import UUID

import structlog

from shared.clock import Clock
from shared.db import jobs, journal
from shared.db.connection import Database
from shared.events import JobDeadlineReached, state

log = structlog.get_logger()

BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchDeadlines:
    database: Database
    now: Clock

    async def run_once(self) -> dict[str, int]:
        """State it once for each; a job that is still open then is the aggregator's to end."""
        told = 0
        while True:
            async with self.database.connection() as db:
                overdue = await jobs.overdue(db, limit=BATCH)
            newly = [job_id for job_id in overdue if await self._tell(job_id)]
            told += len(newly)
            if len(overdue) < BATCH or not newly:
                return {"deadline_reached": told}

    async def _tell(self, job_id: UUID) -> bool:
        fact = JobDeadlineReached(job_id=job_id)
        async with self.database.transaction() as tx:
            said = await journal.say(tx, state(fact, source="reconciler", now=self.now()))
        if said:
            log.info(fact.type, job_id=str(job_id))
        return said
