"""SQL for what the end of a job spared: its slots without a success, each with its last purchase."""

from datetime import datetime
from uuid import UUID

from shared.db.connection import Connection
from shared.domain.prediction import Status
from shared.domain.spared import Spared, Typical, Unfinished, spared


async def by_the_end_of(
    tx: Connection, job_id: UUID, *, typical: Typical | None, now: datetime
) -> Spared:
    """Of a job that has ended, or ends in this very transaction.

    The same before and after its slots are closed; the money becomes exact as verdicts come in.
    """
    rows = await tx.fetch(
        """
        SELECT coalesce(p.outcome NOT IN ('refused', 'not_bought'), false) AS bought,
               p.prediction_id IS NOT NULL AS known,
               p.status,
               p.started_at,
               p.cost_micros
          FROM slot s
     LEFT JOIN prediction p ON (p.job_id, p.ordinal, p.attempt) = (s.job_id, s.ordinal, s.attempt)
         WHERE s.job_id = $1
           AND s.winner IS NULL
           AND s.state NOT IN ('stored', 'failed')
        """,
        job_id,
    )
    unfinished = [
        Unfinished(
            bought=row["bought"],
            known=row["known"],
            status=None if row["status"] is None else Status(row["status"]),
            started_at=row["started_at"],
            cost_micros=row["cost_micros"],
        )
        for row in rows
    ]
    return spared(unfinished, typical=typical, now=now)
