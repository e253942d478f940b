"""SQL for ``job``: what somebody ordered. Its state never goes back, and it ends once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.db.connection import Connection, Row
from shared.domain.beginning import span
from shared.domain.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """An order as its planner enters it. ``ordered_at`` is the time that the upload carries;
    ``unread`` are the names of its fields that nobody reads; ``traceparent`` is the step that planned
    it: what nobody else caused goes on from there."""

    id: UUID
    recipe: str
    n: int
    ordered_at: datetime
    external_ref: str | None = None
    source_key: str | None = None
    source_url: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    timezone: str | None = None
    locale: str | None = None
    callback_url: str | None = None
    deadline: datetime | None = None
    retry_of: UUID | None = None
    unread: tuple[str, ...] = ()
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(NewJob):
    """A row of ``job``. ``stored + failed + canceled`` are the slots counted so far, of ``n``.
    ``erased_at``: from then on nothing is here of what its publisher gave, or was made of it."""

    state: JobState
    stored: int
    failed: int
    canceled: int
    reason: str | None
    report: str
    report_key: str | None
    created_at: datetime
    queued_at: datetime | None
    running_at: datetime | None
    ended_at: datetime | None
    erased_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


async def insert(tx: Connection, job: NewJob) -> bool:
    """Enter an order; False: it is there already, so this delivery is a duplicate."""
    inserted = await tx.fetchval(
        """
        INSERT INTO job (id, recipe, n, ordered_at, external_ref, source_key, source_url, params,
                         metadata, timezone, locale, callback_url, deadline, retry_of, unread,
                         traceparent)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                $16)
            ON CONFLICT (id) DO NOTHING
     RETURNING true
        """,
        *(getattr(job, column.name) for column in fields(NewJob)),
    )
    return inserted is True


async def get(tx: Connection, job_id: UUID) -> Job | None:
    return _job(await tx.fetchrow("SELECT * FROM job WHERE id = $1", job_id))


async def several(tx: Connection, job_ids: Sequence[UUID]) -> list[Job]:
    """Those of the jobs that are known here, in the order of ``job_ids``."""
    rows = await tx.fetch(
        """
        SELECT job.*
          FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, place)
          JOIN job USING (id)
      ORDER BY place
        """,
        list(job_ids),
    )
    return _jobs(rows)


async def lock(tx: Connection, job_id: UUID) -> Job | None:
    """The job, locked until the end of the transaction. Always before any of its slots."""
    return _job(await tx.fetchrow("SELECT * FROM job WHERE id = $1 FOR NO KEY UPDATE", job_id))


async def hold_order(tx: Connection, job_id: UUID) -> None:
    """Keep a job that is not there from being entered, or not seen, by others who ask for this,
    until the end of the transaction. Whoever looks for a job to find it missing, and whoever
    enters one, hold it, so that neither overlooks what the other has just written."""
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('order ' || $1::text, 0))", str(job_id)
    )


async def hold_open(tx: Connection, job_id: UUID) -> bool:
    """Keep a job from ending until the end of the transaction; False: it has ended.

    Shared by all who finish parts of it. Before any lock on its slots.
    """
    row = await tx.fetchrow("SELECT ended_at FROM job WHERE id = $1 FOR SHARE", job_id)
    return row is not None and row["ended_at"] is None


async def beginning_with(tx: Connection, digits: str, *, limit: int) -> list[UUID]:
    """The ids that begin with these hexadecimal digits (without hyphens, 32 at most), also of orders
    that nobody has planned yet."""
    rows = await tx.fetch(
        """
        (SELECT id FROM job WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3)
         UNION
        (SELECT DISTINCT job_id
           FROM journal
          WHERE job_id BETWEEN $1 AND $2
            AND type = 'upload.received'
       ORDER BY job_id
          LIMIT $3)
       ORDER BY id
          LIMIT $3
        """,
        *span(digits),
        limit,
    )
    return [row["id"] for row in rows]


async def latest_beginning_with(
    tx: Connection, digits: str, *, open_only: bool, limit: int
) -> list[tuple[UUID, str, JobState]]:
    """Ids, recipes and states of the jobs whose ids begin with these digits, the latest first."""
    rows = await tx.fetch(
        """
        SELECT id, recipe, state
          FROM job
         WHERE id BETWEEN $1 AND $2
           AND (NOT $3 OR ended_at IS NULL)
      ORDER BY created_at DESC
         LIMIT $4
        """,
        *span(digits),
        open_only,
        limit,
    )
    return [(row["id"], row["recipe"], JobState(row["state"])) for row in rows]


async def retries(tx: Connection, job_id: UUID, *, limit: int = 20) -> list[UUID]:
    """The jobs that did this one once more, in the order in which they were taken in."""
    rows = await tx.fetch(
        "SELECT id FROM job WHERE retry_of = $1 ORDER BY created_at, id LIMIT $2", job_id, limit
    )
    return [row["id"] for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which jobs are meant; every field that is given must fit. ``before`` names the job behind
    which the list goes on, ``after`` the one in front of which it ends; never both."""

    state: JobState | None = None
    recipe: str | None = None
    external_ref: str | None = None
    since: datetime | None = None
    before: tuple[datetime, UUID] | None = None
    after: tuple[datetime, UUID] | None = None


async def page(tx: Connection, wanted: Wanted, *, limit: int) -> list[Job]:
    """The latest of the jobs that are wanted; equals in time by their ids. With ``after``: those
    that come right in front of that one."""
    at, job_id = wanted.before or wanted.after or (None, None)
    beyond, order = (">", "ASC") if wanted.after else ("<", "DESC")
    asked: list[tuple[str, object]] = [
        ("state = ${n}", wanted.state),
        ("recipe = ${n}", wanted.recipe),
        ("external_ref = ${n}", wanted.external_ref),
        ("created_at >= ${n}", wanted.since),
        (f"created_at {beyond}= ${{n}}", at),
    ]
    # Only what is asked for stands in the question, so that each gets the index that it needs.
    given = [(condition, value) for condition, value in asked if value is not None]
    conditions = [condition.format(n=n) for n, (condition, _) in enumerate(given, start=1)]
    args = [value for _, value in given]
    if at is not None:
        args += [at, job_id]
        conditions.append(f"(created_at, id) {beyond} (${len(args) - 1}, ${len(args)})")
    rows = await tx.fetch(
        f"""
        SELECT *
          FROM job
         WHERE {" AND ".join(conditions) or "true"}
      ORDER BY created_at {order}, id {order}
         LIMIT ${len(args) + 1}
        """,  # noqa: S608 - put together from the constants above
        *args,
        limit,
    )
    return _jobs(rows)[:: -1 if wanted.after else 1]


async def to_queued(tx: Connection, job_id: UUID) -> bool:
    """Something was bought. False: it was so already, or further."""
    moved = await tx.execute(
        """
        UPDATE job
           SET state = 'queued', queued_at = now()
         WHERE id = $1
           AND state = 'pending'
        """,
        job_id,
    )
    return moved == 1


async def to_running(tx: Connection, job_id: UUID) -> bool:
    """Replicate works on it. False: it was so already, or it has ended."""
    moved = await tx.execute(
        """
        UPDATE job
           SET state = 'running', queued_at = coalesce(queued_at, now()), running_at = now()
         WHERE id = $1
           AND state IN ('pending', 'queued')
        """,
        job_id,
    )
    return moved == 1


async def add_counts(tx: Connection, job_id: UUID, *, stored: int, failed: int) -> Job:
    """Add slots that were newly counted (``slots.count_closed``), under the job's lock."""
    row = await tx.fetchrow(
        """
        UPDATE job
           SET stored = stored + $2, failed = failed + $3
         WHERE id = $1
     RETURNING *
        """,
        job_id,
        stored,
        failed,
    )
    job = _job(row)
    if job is None:
        raise LookupError(f"job {job_id} is not there to be counted")
    return job


async def end(
    tx: Connection, job_id: UUID, *, state: JobState, canceled: int, reason: str | None
) -> Job | None:
    """End the job once; None: it had ended. ``canceled`` are the slots that its end closed."""
    row = await tx.fetchrow(
        """
        UPDATE job
           SET state = $2, canceled = canceled + $3, reason = $4, ended_at = now()
         WHERE id = $1
           AND ended_at IS NULL
     RETURNING *
        """,
        job_id,
        state,
        canceled,
        reason,
    )
    return _job(row)


async def set_report(tx: Connection, job_id: UUID, *, report: str, key: str | None) -> bool:
    """Note that the report was ``published`` or ``failed``; what is published stays so."""
    noted = await tx.execute(
        """
        UPDATE job
           SET report = $2, report_key = coalesce($3, report_key)
         WHERE id = $1
           AND report <> 'published'
        """,
        job_id,
        report,
        key,
    )
    return noted == 1


async def overdue(tx: Connection, *, limit: int) -> list[UUID]:
    """Open jobs past their deadline of which it is not said yet, the longest past first."""
    rows = await tx.fetch(
        """
        SELECT id
          FROM job
         WHERE ended_at IS NULL
           AND deadline <= now()
           AND NOT EXISTS (SELECT FROM journal
                            WHERE journal.job_id = job.id
                              AND journal.type = 'job.deadline_reached')
      ORDER BY deadline
         LIMIT $1
        """,
        limit,
    )
    return [row["id"] for row in rows]


async def unreported(tx: Connection, *, older_than: timedelta, limit: int) -> list[UUID]:
    """Completed jobs whose report has not come within ``older_than`` of their end, nor since they
    were last said to have completed. The longest unsaid first, so that all get their turn."""
    rows = await tx.fetch(
        """
        SELECT job.id
          FROM job
          JOIN journal ON journal.job_id = job.id
                      AND journal.type = 'job.completed'
                      AND journal.published_at < now() - $1::interval
         WHERE job.state = 'completed'
           AND job.report = 'pending'
           AND job.ended_at < now() - $1::interval
      ORDER BY journal.published_at
         LIMIT $2
        """,
        older_than,
        limit,
    )
    return [row["id"] for row in rows]


_COLUMNS = tuple(column.name for column in fields(Job))


def _job(row: Row | None) -> Job | None:
    if row is None:
        return None
    values = {name: row[name] for name in _COLUMNS}
    values["state"] = JobState(values["state"])
    values["unread"] = tuple(values["unread"])
    return Job(**values)


def _jobs(rows: list[Row]) -> list[Job]:
    return [job for row in rows if (job := _job(row)) is not None]
