"""Find completed jobs whose report never came, and say once more that they completed."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from shared.db import jobs, journal, parked
from shared.db.connection import Database
from shared.domain import identity
from shared.messaging.topology import REPORT_JOBS

log = structlog.get_logger()

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueReports:
    """``patience`` is the time that a report may take; after it, it is asked for each time."""

    database: Database
    patience: timedelta

    async def run_once(self) -> dict[str, int]:
        """Clear `published_at` of their `job.completed`: the report service hears it again, and
        takes a second delivery of one fact as what it is. What waits parked has its time: said anew,
        it would begin to count its attempts from the first."""
        async with self.database.connection() as db:
            waiting = await jobs.unreported(db, older_than=self.patience, limit=BATCH)
        said = 0
        for job_id in waiting:
            async with self.database.transaction() as tx:
                # Others hear the same fact: that they wait with it says nothing of the report.
                if await parked.waits(tx, identity.job_ended_id(job_id), queue=REPORT_JOBS.name):
                    continue
                await journal.say_again(tx, identity.job_ended_id(job_id))
            said += 1
            log.warning("report.overdue", job_id=str(job_id))
        return {"report_overdue": said}
