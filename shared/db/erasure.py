"""SQL that removes what a job's publisher gave and what was made of it; what was spent stays."""

from uuid import UUID

from shared.db.connection import Connection


async def clear_story(tx: Connection, job_id: UUID, *, limit: int) -> int:
    """Take bodies and headers off the next part of a job's timeline; how much. What the relay still
    owes is left."""
    return await tx.execute(
        """
        UPDATE journal
           SET body = NULL, headers = '{}'
         WHERE id IN (SELECT id
                        FROM journal
                       WHERE job_id = $1
                         AND body IS NOT NULL
                         AND published_at IS NOT NULL
                       LIMIT $2)
        """,
        job_id,
        limit,
    )


async def owes(tx: Connection, job_id: UUID) -> bool:
    """Whether facts about the job still wait for the relay."""
    found = await tx.fetchval(
        "SELECT true FROM journal WHERE job_id = $1 AND published_at IS NULL LIMIT 1", job_id
    )
    return found is True


async def erase(tx: Connection, job_id: UUID) -> bool:
    """Blank the rows of a job that has ended: inputs, words, addresses, messages. False: it is not
    there, is open, or was erased before.

    Counts, times, seeds, sizes, checksums and prices stay: the spend adds up, and no file is
    missed. From here on no body of it is kept either (``journal.hear``).
    """
    erased = await tx.execute(
        """
        UPDATE job
           SET erased_at = now(), params = '{}', metadata = '{}', source_key = NULL,
               source_url = NULL, callback_url = NULL, reason = NULL
         WHERE id = $1
           AND ended_at IS NOT NULL
           AND erased_at IS NULL
        """,
        job_id,
    )
    if not erased:
        return False
    named = str(job_id)
    await tx.execute(
        """
        UPDATE slot
           SET input = '{}', finish = '[]', skipped = '[]', failure_detail = NULL
         WHERE job_id = $1
        """,
        job_id,
    )
    await tx.execute("UPDATE prediction SET error = NULL, url = NULL WHERE job_id = $1", job_id)
    await tx.execute(
        "UPDATE artifact SET deleted_at = now() WHERE job_id = $1 AND deleted_at IS NULL", job_id
    )
    await tx.execute(
        """
        DELETE FROM parked_message
         WHERE subject = $2
            OR event_id IN (SELECT event_id FROM journal WHERE job_id = $1)
        """,
        job_id,
        named,
    )
    await tx.execute("DELETE FROM refused_webhook WHERE position($1 IN query) > 0", named)
    return True
