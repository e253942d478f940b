"""Questions that an audit asks: which rows break a law, and what the ledger knows of what others have.

All of it only reads. Work in progress is no finding: everything gets ``settled`` to come to rest.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from shared.db.connection import Connection, Database, Row
from shared.db.laws import RowLaw
from shared.domain.audit import Bought, Finding, Kept, of_listed, of_unlisted
from shared.domain.prediction import Prediction, Status

MOST = 1000  # findings of one law that are told


async def breaches(
    tx: Connection, law: RowLaw, *, since: datetime, settled: timedelta
) -> list[Finding]:
    """What breaks ``law``, MOST of it: among all that is open, and what has ended from ``since``.

    In a transaction of its own.
    """
    # A plan for any ``since`` would read whole tables for the last half hour too.
    await tx.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    args = (settled, MOST, since) if law.looks_back else (settled, MOST)
    rows = await tx.fetch(law.question, *args)
    return [law.broken_by(row["id"], row["about"], job=row["job"]) for row in rows]


async def purchases(
    database: Database,
    listed: AsyncIterator[tuple[Prediction, ...]],
    *,
    since: datetime,
    now: datetime,
    settled: timedelta,
) -> AsyncIterator[Finding]:
    """The provider's list, page by page, against the ledger, both ways.

    ``listed`` reaches back to ``since`` and is complete where it ends: what raises in it leaves
    here, before anything is said to be missing from it.
    """
    until = now - settled
    seen: set[str] = set()
    async for page in listed:
        # What is younger is counted as seen and not judged: our row may be on its way.
        seen |= {one.id for one in page}
        closed = [one for one in page if one.created_at and since <= one.created_at <= until]
        async with database.connection() as db:
            ours = await bought(db, (one.id for one in closed))
        for one in closed:
            finding = of_listed(one, ours, now=now, settled=settled)
            if finding is not None:
                yield finding
    async with database.connection() as db:
        accepted = await _accepted_between(db, since, until)
    for ours_only in accepted:
        if ours_only.prediction_id not in seen:
            yield of_unlisted(ours_only)


async def bought(tx: Connection, prediction_ids: Iterable[str]) -> dict[str, Bought]:
    """Those of ``prediction_ids`` that the ledger knows."""
    rows = await tx.fetch(
        """
        SELECT prediction_id, job_id, status
          FROM prediction
         WHERE prediction_id = ANY($1::text[])
        """,
        list(prediction_ids),
    )
    return {row["prediction_id"]: _bought(row) for row in rows}


async def _accepted_between(tx: Connection, since: datetime, until: datetime) -> list[Bought]:
    """Purchases that the provider says it made in that time, by its own clock."""
    rows = await tx.fetch(
        """
        SELECT prediction_id, job_id, status
          FROM prediction
         WHERE created_at > $1
           AND created_at <= $2
           AND prediction_id IS NOT NULL
        """,
        since,
        until,
    )
    return [_bought(row) for row in rows]


async def jobs_since(
    tx: Connection,
    since: datetime,
    *,
    open_too: bool,
    after: UUID | None,
    settled: timedelta,
    limit: int,
) -> dict[UUID, bool]:
    """Jobs that ended from ``since`` on, ``settled`` ago or longer, and those that are open, if
    asked for; page by page, by id. Each with whether it has ended."""
    rows = await tx.fetch(
        """
        SELECT id, ended_at IS NOT NULL AS has_ended
          FROM job
         WHERE (ended_at >= $1 AND ended_at < now() - $2::interval OR $5 AND ended_at IS NULL)
           AND ($3::uuid IS NULL OR id > $3)
      ORDER BY id
         LIMIT $4
        """,
        since,
        settled,
        after,
        limit,
        open_too,
    )
    return {row["id"]: row["has_ended"] for row in rows}


async def kept_by(tx: Connection, job_ids: Sequence[UUID]) -> list[Kept]:
    """Every file that these jobs have on record, but those that were deleted on purpose."""
    rows = await tx.fetch(
        """
        SELECT job_id, key, bytes, sha256
          FROM artifact
         WHERE job_id = ANY($1::uuid[])
           AND deleted_at IS NULL
      ORDER BY job_id, key
        """,
        list(job_ids),
    )
    return [Kept(**dict(row)) for row in rows]


async def without_job(tx: Connection, job_ids: list[UUID]) -> list[UUID]:
    """Those of ``job_ids`` that are no job's."""
    rows = await tx.fetch(
        """
        SELECT named
          FROM unnest($1::uuid[]) AS named
         WHERE NOT EXISTS (SELECT FROM job WHERE job.id = named)
        """,
        job_ids,
    )
    return [row["named"] for row in rows]


def _bought(row: Row) -> Bought:
    status = row["status"]
    return Bought(
        prediction_id=row["prediction_id"],
        job_id=row["job_id"],
        status=None if status is None else Status(status),
    )
