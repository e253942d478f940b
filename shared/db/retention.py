"""SQL for what is kept so long and no longer: files, bodies, whole jobs. Bounded, and repeatable.

Whoever deletes a file deletes the object first and says so here afterwards: who dies in between
does it once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.db.connection import Connection, Row

Kind = Literal["original", "prepared", "generated", "derived", "report"]
KINDS: tuple[Kind, ...] = ("original", "prepared", "generated", "derived", "report")

# How far something got; the rows that the marks stand on.
BODIES, STRANGERS, ORPHANS = "bodies", "strangers", "orphans"

# What opens something, or proves a body that is no longer there.
SECRET_HEADERS = ("darkroom-slot", "webhook-signature")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a job in its own folder of the bucket."""

    job_id: UUID
    key: str


# ---- files


async def files_past(tx: Connection, kind: Kind, *, before: datetime, limit: int) -> list[File]:
    """The oldest files of that kind whose jobs ended ``before``, and are not waiting for their
    report. Never one in a folder that the job shares with others."""
    rows = await tx.fetch(
        """
        SELECT artifact.job_id, artifact.key
          FROM artifact
          JOIN job ON job.id = artifact.job_id
         WHERE artifact.kind = $1
           AND artifact.created_at < $2
           AND artifact.deleted_at IS NULL
           AND starts_with(artifact.key, 'jobs/' || artifact.job_id || '/')
           AND job.ended_at < $2
           AND NOT (job.state = 'completed' AND job.report = 'pending')
      ORDER BY artifact.created_at
         LIMIT $3
        """,
        kind,
        before,
        limit,
    )
    return [File(row["job_id"], row["key"]) for row in rows]


async def mark_deleted(tx: Connection, files: Sequence[File]) -> int:
    return await tx.execute(
        """
        UPDATE artifact
           SET deleted_at = now()
          FROM unnest($1::uuid[], $2::text[]) AS gone (job_id, key)
         WHERE artifact.job_id = gone.job_id
           AND artifact.key = gone.key
           AND artifact.deleted_at IS NULL
        """,
        [file.job_id for file in files],
        [file.key for file in files],
    )


async def orphans_among(tx: Connection, files: Sequence[File]) -> list[File]:
    """Those that no row has and that no job which is still open may be about to enter."""
    rows = await tx.fetch(
        """
        SELECT there.job_id, there.key
          FROM unnest($1::uuid[], $2::text[]) AS there (job_id, key)
         WHERE NOT EXISTS (SELECT FROM artifact
                            WHERE artifact.job_id = there.job_id
                              AND artifact.key = there.key
                              AND artifact.deleted_at IS NULL)
           AND NOT EXISTS (SELECT FROM job
                            WHERE job.id = there.job_id
                              AND job.ended_at IS NULL)
        """,
        [file.job_id for file in files],
        [file.key for file in files],
    )
    return [File(row["job_id"], row["key"]) for row in rows]


# ---- the journal


async def clear_bodies(tx: Connection, *, before: datetime, limit: int) -> int | None:
    """Take the bodies off the next rows that were recorded ``before``: how many; None: there are no
    more, or somebody else is at it. Never of a fact that is still owed, nor past one."""
    return await _onwards(
        tx,
        BODIES,
        before=before,
        limit=limit,
        sql="""
        UPDATE journal
           SET body = NULL, headers = headers - $3::text[]
         WHERE id > $1
           AND id <= $2
           AND body IS NOT NULL
        """,
        more=(list(SECRET_HEADERS),),
    )


async def forget_strangers(tx: Connection, *, before: datetime, limit: int) -> int | None:
    """Drop the next rows that were recorded ``before`` and belong to no job that is kept; the rest
    as ``clear_bodies``."""
    return await _onwards(
        tx,
        STRANGERS,
        before=before,
        limit=limit,
        sql="""
        DELETE FROM journal
         WHERE id > $1
           AND id <= $2
           AND NOT EXISTS (SELECT FROM job WHERE job.id = journal.job_id)
        """,
    )


async def _onwards(
    tx: Connection,
    what: str,
    *,
    before: datetime,
    limit: int,
    sql: str,
    more: tuple[object, ...] = (),
) -> int | None:
    """Do ``sql`` to the next ids, as far as they are old enough, and move the mark."""
    mark = await _mark(tx, what)
    if mark is None:
        return None
    up_to = int(mark or 0)
    rows = await tx.fetch(
        """
        SELECT id, recorded_at < $2 AND published_at IS NOT NULL AS past
          FROM journal
         WHERE id > $1
      ORDER BY id
         LIMIT $3
        """,
        up_to,
        before,
        limit,
    )
    past = _as_long_as(rows, lambda row: bool(row["past"]))
    if not past:
        return None
    done = await tx.execute(sql, up_to, past[-1]["id"], *more)
    await set_mark(tx, what, str(past[-1]["id"]))
    return done


def _as_long_as(rows: Sequence[Row], holds: Callable[[Row], bool]) -> list[Row]:
    taken: list[Row] = []
    for row in rows:
        if not holds(row):
            break
        taken.append(row)
    return taken


async def _mark(tx: Connection, what: str) -> str | None:
    """How far it got, locked for this transaction; None: somebody else has it."""
    await tx.execute(
        "INSERT INTO retention_mark (what, up_to) VALUES ($1, '') ON CONFLICT DO NOTHING", what
    )
    row = await tx.fetchrow(
        "SELECT up_to FROM retention_mark WHERE what = $1 FOR UPDATE SKIP LOCKED", what
    )
    return None if row is None else str(row["up_to"])


async def mark(tx: Connection, what: str) -> str:
    """How far it got; the empty text: it is at the beginning."""
    row = await tx.fetchrow("SELECT up_to FROM retention_mark WHERE what = $1", what)
    return "" if row is None else str(row["up_to"])


async def set_mark(tx: Connection, what: str, up_to: str) -> None:
    await tx.execute(
        """
        INSERT INTO retention_mark (what, up_to)
        VALUES ($1, $2)
            ON CONFLICT (what) DO UPDATE SET up_to = EXCLUDED.up_to
        """,
        what,
        up_to,
    )


# ---- whole jobs


async def jobs_past(tx: Connection, *, before: datetime, limit: int) -> list[UUID]:
    """The jobs that ended longest ago, ``before``, and of which nothing waits any more."""
    rows = await tx.fetch(
        """
        SELECT id
          FROM job
         WHERE ended_at < $1
           AND NOT EXISTS (SELECT FROM journal
                            WHERE journal.job_id = job.id
                              AND journal.published_at IS NULL)
           AND NOT EXISTS (SELECT FROM parked_message
                            WHERE parked_message.subject = job.id::text
                              AND parked_message.due_at IS NOT NULL)
      ORDER BY ended_at
         LIMIT $2
        """,
        before,
        limit,
    )
    return [row["id"] for row in rows]


async def forget_story(tx: Connection, job_id: UUID, *, limit: int) -> int:
    """Drop the next part of a job's timeline; how much."""
    return await tx.execute(
        """
        DELETE FROM journal
         WHERE id IN (SELECT id FROM journal WHERE job_id = $1 LIMIT $2)
        """,
        job_id,
        limit,
    )


async def bury(tx: Connection, job_id: UUID) -> bool:
    """Delete a job that has ended, and leave its tombstone. False: it is not there, or is open."""
    if await tx.fetchval("SELECT true FROM job WHERE id = $1 FOR UPDATE", job_id) is None:
        return False
    left = await tx.execute(
        """
        INSERT INTO tombstone (job_id, recipe, state, n, stored, failed, canceled, purchases,
                               predict_seconds, cost_micros, created_at, ended_at)
        SELECT job.id, job.recipe, job.state, job.n, job.stored, job.failed, job.canceled,
               count(prediction.attempt), coalesce(sum(prediction.predict_seconds), 0),
               sum(prediction.cost_micros), job.created_at, job.ended_at
          FROM job
     LEFT JOIN prediction ON prediction.job_id = job.id
         WHERE job.id = $1
           AND job.ended_at IS NOT NULL
      GROUP BY job.id
        """,
        job_id,
    )
    if not left:
        return False
    await tx.execute("DELETE FROM parked_message WHERE subject = $1::text", str(job_id))
    await tx.execute("DELETE FROM job WHERE id = $1", job_id)
    return True


async def is_buried(tx: Connection, job_id: UUID) -> bool:
    """Whether the job was here, ended, and was deleted after its retention."""
    return await tx.fetchval("SELECT true FROM tombstone WHERE job_id = $1", job_id) is True


# ---- what waits for a person, and what is left of all


async def forget_dead(tx: Connection, *, before: datetime, limit: int) -> int | None:
    """Drop parked messages that have been dead since ``before``: how many; None: there are none."""
    forgotten = await tx.execute(
        """
        DELETE FROM parked_message
         WHERE id IN (SELECT id
                        FROM parked_message
                       WHERE due_at IS NULL
                         AND parked_at < $1
                       LIMIT $2)
        """,
        before,
        limit,
    )
    return forgotten or None


async def forget_tombstones(tx: Connection, *, before: datetime, limit: int) -> int | None:
    """Drop tombstones that were set up ``before``; a duplicate of their orders is a new job then."""
    forgotten = await tx.execute(
        """
        DELETE FROM tombstone
         WHERE job_id IN (SELECT job_id FROM tombstone WHERE deleted_at < $1 LIMIT $2)
        """,
        before,
        limit,
    )
    return forgotten or None
