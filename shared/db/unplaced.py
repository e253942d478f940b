"""News in the archive for which no job was found when it came, tried once more.

A purchase may have become known since: adopted, restored, or no longer one of two that look alike.
Nothing here is kept; what finds its place now is worth saying again.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.db.connection import Connection, Database
from shared.db.journal import Entry, entries
from shared.db.rebuild import ToSay, never_committed
from shared.db.record import AgainRule, Outcome, record

MOST = 10_000  # that are looked at together

_NOWHERE = (Outcome.UNKNOWN, Outcome.AMBIGUOUS, Outcome.UNREADABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A fact whose purchase is known by now."""

    job_id: UUID
    ordinal: int
    say: ToSay


@dataclass(frozen=True, slots=True)
class Looked:
    """How many facts have no job, and which of them find theirs now."""

    count: int
    placed: tuple[Placed, ...]


async def look_again(
    database: Database, *, since: datetime | None, again: AgainRule, now: datetime
) -> Looked:
    """Take in, without keeping it, each piece of news recorded from ``since`` on that has no job
    of ours."""
    async with database.connection() as db:
        homeless = await _without_a_job(db, since)
    placed = []
    for entry in homeless:
        found = await _try(database, entry, again, now)
        if found is not None:
            placed.append(found)
    return Looked(len(homeless), tuple(placed))


async def _try(database: Database, entry: Entry, again: AgainRule, now: datetime) -> Placed | None:
    try:
        async with never_committed(database) as tx:
            recorded = await record(tx, entry.envelope, again=again, now=now)
    except RuntimeError:
        return None  # whoever hears it would fail in the same way
    if recorded.outcome in _NOWHERE or recorded.prediction is None:
        return None
    bought = recorded.prediction
    why = f"it is of slot {bought.ordinal} of job {bought.job_id}, and would be {recorded.outcome}"
    return Placed(job_id=bought.job_id, ordinal=bought.ordinal, say=ToSay.of(entry, why))


async def _without_a_job(tx: Connection, since: datetime | None) -> list[Entry]:
    rows = await tx.fetch(
        """
        SELECT *
          FROM journal
         WHERE origin IN ('webhook', 'reconciler')
           AND outcome IN ('unknown', 'ambiguous')
           AND body IS NOT NULL
           AND ($1::timestamptz IS NULL OR recorded_at >= $1)
           AND NOT EXISTS (SELECT FROM job WHERE job.id = journal.job_id)
      ORDER BY id
         LIMIT $2
        """,
        since,
        MOST,
    )
    return entries(rows)
