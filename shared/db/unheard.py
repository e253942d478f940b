"""SQL for facts that were published and had no effect: their queue lost them, or nobody was there.

Each ``…_again`` clears ``published_at`` of those facts, so that the relay says them once more, and
returns their ids. What its receiver has parked, for its time or dead, is on record there, and is
left alone. What was said longest ago comes first, so that nothing is starved by what never works.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.db.connection import Connection
from shared.events import (
    ArtifactsStored,
    JobCanceled,
    JobCancelRequested,
    JobCompleted,
    JobDeadlineReached,
    JobFailed,
    SlotFailed,
    UploadReceived,
)
from shared.messaging.topology import GENERATOR_JOBS, Queue

CLOSINGS = (ArtifactsStored.type, SlotFailed.type)
ENDS = (JobCompleted.type, JobFailed.type, JobCanceled.type)
# What ended longer ago has nothing left to stop or to save: a run and its files last an hour.
ENDS_LATELY = timedelta(hours=2)


async def counted_until(tx: Connection) -> datetime | None:
    """How far the aggregator has come in what it hears: when the latest slot closed of those that it
    has counted. What closed well before and is not counted was lost on the way, not delayed."""
    until: datetime | None = await tx.fetchval(
        """
        SELECT max(slot.moved_at)
          FROM job
          JOIN slot ON slot.job_id = job.id
         WHERE (job.ended_at IS NULL OR job.ended_at > now() - interval '10 minutes')
           AND slot.counted_at IS NOT NULL
           AND slot.state IN ('stored', 'failed')
        """
    )
    return until


async def closings_again(tx: Connection, *, before: datetime, limit: int) -> list[str]:
    """Of slots that closed in open jobs and are not counted; published ``before``."""
    return await _again(
        tx,
        """
        SELECT slot.job_id, slot.ordinal
          FROM job
          JOIN slot ON slot.job_id = job.id
         WHERE job.ended_at IS NULL
           AND slot.state IN ('stored', 'failed')
           AND slot.counted_at IS NULL
           AND slot.moved_at < $1
        """,
        CLOSINGS,
        before,
        limit,
    )


async def ends_again(tx: Connection, *, before: datetime, limit: int) -> list[str]:
    """Of jobs that ended ``before`` and have slots that are open still."""
    return await _again(
        tx,
        f"""
        SELECT job.id AS job_id, NULL::integer AS ordinal
          FROM job
         WHERE job.ended_at < $1
           AND job.ended_at > now() - interval '{ENDS_LATELY.total_seconds():.0f} seconds'
           AND EXISTS (SELECT FROM slot
                        WHERE slot.job_id = job.id
                          AND slot.state NOT IN ('stored', 'failed', 'canceled'))
        """,  # noqa: S608 - a constant of ours
        ENDS,
        before,
        limit,
        by=GENERATOR_JOBS,
    )


async def deadlines_again(tx: Connection, *, before: datetime, limit: int) -> list[str]:
    """Of jobs whose deadline was said to have passed ``before``, and which are open still."""
    return await _again(
        tx,
        """
        SELECT id AS job_id, NULL::integer AS ordinal
          FROM job
         WHERE ended_at IS NULL
           AND deadline < $1
        """,
        (JobDeadlineReached.type,),
        before,
        limit,
    )


async def orders_again(tx: Connection, *, before: datetime, limit: int) -> list[str]:
    """Orders that were stated here, published ``before``, and that nobody has planned or refused."""
    return await _again(
        tx,
        """
        SELECT DISTINCT job_id, ordinal
          FROM journal
         WHERE type IN ('upload.received', 'job.cancel_requested')
           AND type = 'upload.received'
           AND origin = 'stated'
           AND outcome IS NULL
        """,
        (UploadReceived.type,),
        before,
        limit,
    )


async def wishes_again(tx: Connection, *, before: datetime, limit: int) -> list[str]:
    """Wishes that jobs end which were stated here, published ``before``, and that nobody heard."""
    return await _again(
        tx,
        """
        SELECT DISTINCT job_id, ordinal
          FROM journal
         WHERE type IN ('upload.received', 'job.cancel_requested')
           AND type = 'job.cancel_requested'
           AND origin = 'stated'
           AND outcome IS NULL
        """,
        (JobCancelRequested.type,),
        before,
        limit,
    )


async def _again(
    tx: Connection,
    missing: str,
    types: Sequence[str],
    before: datetime,
    limit: int,
    *,
    by: Queue | None = None,
) -> list[str]:
    """``by``: the queue that would have had the effect, where others hear the same fact too: what
    those have parked says nothing of it."""
    rows = await tx.fetch(
        f"""
        WITH missing AS ({missing}),
        unheard AS (
            SELECT journal.id
              FROM missing
              JOIN journal ON journal.job_id = missing.job_id
                          AND journal.ordinal IS NOT DISTINCT FROM missing.ordinal
                          AND journal.type = ANY($2)
             WHERE journal.published_at < $1
               AND journal.body IS NOT NULL
               AND NOT EXISTS (SELECT FROM parked_message
                                WHERE ($4::text IS NULL OR parked_message.queue = $4)
                                  AND parked_message.event_id = journal.event_id)
          ORDER BY journal.published_at
             LIMIT $3
               FOR NO KEY UPDATE OF journal SKIP LOCKED
        )
        UPDATE journal
           SET published_at = NULL
          FROM unheard
         WHERE journal.id = unheard.id
     RETURNING journal.event_id
        """,  # noqa: S608 - put together from the constants above
        before,
        list(types),
        limit,
        None if by is None else by.name,
    )
    if rows:
        tx.owes_facts = True
    return [row["event_id"] for row in rows]
