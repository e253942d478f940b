"""What must hold of the rows, asked by anti-joins: each law names those that break it.

Laws look at what is older than ``settled``, so that work in progress is no finding, and at jobs and
facts since an instant, so that the past is not read again and again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.db.connection import Connection

MOST = 1000  # findings of one law that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """``sql`` gives ``id`` and ``about`` of what breaks it; $1 is since when, $2 how long things
    may take, $3 how many to tell. ``must``: a breach means that something is lost, stuck or
    counted wrong; else it is something that a person should look at."""

    name: str
    means: str
    sql: str
    must: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One breach of one law: what it is about, by an id that can be searched for."""

    law: str
    id: str
    about: str
    must: bool = True


LAWS = (
    Law(
        name="job.stuck",
        means="an open job has a slot that is open",
        sql="""
        SELECT job.id::text AS id, format('%s of %s slots are closed', count(*), job.n) AS about
          FROM job
          JOIN slot ON slot.job_id = job.id
         WHERE job.created_at >= $1
           AND job.ended_at IS NULL
      GROUP BY job.id
        HAVING count(*) FILTER (WHERE slot.state NOT IN ('stored', 'failed', 'canceled')) = 0
           AND max(slot.moved_at) < now() - $2::interval
      ORDER BY job.created_at
         LIMIT $3
        """,
    ),
    Law(
        name="job.without_slots",
        means="a job has exactly the slots that it waits for",
        sql="""
        SELECT job.id::text AS id, format('%s of %s slots exist', count(slot), job.n) AS about
          FROM job
     LEFT JOIN slot ON slot.job_id = job.id
         WHERE job.created_at >= $1
           AND job.created_at < now() - $2::interval
      GROUP BY job.id
        HAVING count(slot) <> job.n
      ORDER BY job.created_at
         LIMIT $3
        """,
    ),
    Law(
        name="job.miscounted",
        means="an ended job has counted each of its slots once",
        sql="""
        SELECT job.id::text AS id,
               format('%s stored, %s failed, %s canceled of %s; %s slots are stored', job.stored,
                      job.failed, job.canceled, job.n,
                      count(slot) FILTER (WHERE slot.state = 'stored')) AS about
          FROM job
     LEFT JOIN slot ON slot.job_id = job.id
         WHERE job.created_at >= $1
           AND job.ended_at < now() - $2::interval
      GROUP BY job.id
        HAVING job.stored + job.failed + job.canceled <> job.n
            OR job.stored > count(slot) FILTER (WHERE slot.state = 'stored')
            OR job.failed > count(slot) FILTER (WHERE slot.state = 'failed')
      ORDER BY job.created_at
         LIMIT $3
        """,
    ),
    Law(
        name="job.untold",
        means="the end of a job is a fact in the journal, once",
        sql="""
        SELECT job.id::text AS id, format('%s, and nobody was told', job.state) AS about
          FROM job
         WHERE job.created_at >= $1
           AND job.ended_at < now() - $2::interval
           AND NOT EXISTS (SELECT FROM journal
                            WHERE journal.job_id = job.id
                              AND journal.type = 'job.' || job.state
                              AND journal.origin = 'stated')
      ORDER BY job.ended_at
         LIMIT $3
        """,
    ),
    Law(
        name="job.overdue",
        means="a deadline that has passed ends its job",
        sql="""
        SELECT id::text AS id, format('open since its deadline %s', deadline) AS about
          FROM job
         WHERE ended_at IS NULL
           AND created_at >= $1
           AND deadline < now() - $2::interval
      ORDER BY deadline
         LIMIT $3
        """,
    ),
    Law(
        name="job.unreported",
        means="a completed job gets its report",
        sql="""
        SELECT id::text AS id, format('completed %s ago', now() - ended_at) AS about
          FROM job
         WHERE state = 'completed'
           AND report = 'pending'
           AND created_at >= $1
           AND ended_at < now() - $2::interval
      ORDER BY ended_at
         LIMIT $3
        """,
    ),
    Law(
        name="job.report_failed",
        means="no report was given up",
        must=False,
        sql="""
        SELECT id::text AS id, 'its report could not be made' AS about
          FROM job
         WHERE report = 'failed'
           AND created_at >= $1
           AND ended_at < now() - $2::interval
      ORDER BY ended_at
         LIMIT $3
        """,
    ),
    Law(
        name="slot.uncounted",
        means="a closed slot of an open job is counted",
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id, slot.state AS about
          FROM slot
          JOIN job ON job.id = slot.job_id
         WHERE job.created_at >= $1
           AND job.ended_at IS NULL
           AND slot.state IN ('stored', 'failed', 'canceled')
           AND slot.counted_at IS NULL
           AND slot.moved_at < now() - $2::interval
      ORDER BY slot.moved_at
         LIMIT $3
        """,
    ),
    Law(
        name="slot.unsettled",
        means="a purchase in progress or in doubt is settled in time",
        sql="""
        SELECT format('%s.%s', job_id, ordinal) AS id,
               format('%s since %s', state, moved_at) AS about
          FROM slot
         WHERE created_at >= $1
           AND (state = 'creating' AND lease_until < now() - $2::interval
                OR state = 'in_doubt' AND moved_at < now() - $2::interval)
      ORDER BY moved_at
         LIMIT $3
        """,
    ),
    Law(
        name="slot.expired",
        means="files are ours before the provider deletes them, or their slot is closed",
        sql="""
        SELECT format('%s.%s', job_id, ordinal) AS id,
               format('its files were deleted at %s', expires_at) AS about
          FROM slot
         WHERE created_at >= $1
           AND state = 'succeeded'
           AND expires_at < now() - $2::interval
      ORDER BY expires_at
         LIMIT $3
        """,
    ),
    Law(
        name="slot.without_files",
        means="a stored slot has a file of the attempt that won it",
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id,
               format('stored by attempt %s, without any file', slot.winner) AS about
          FROM slot
         WHERE slot.created_at >= $1
           AND slot.state = 'stored'
           AND slot.moved_at < now() - $2::interval
           AND NOT EXISTS (SELECT FROM artifact
                            WHERE artifact.job_id = slot.job_id
                              AND artifact.ordinal = slot.ordinal
                              AND artifact.attempt = slot.winner
                              AND artifact.kind = 'generated')
      ORDER BY slot.moved_at
         LIMIT $3
        """,
    ),
    Law(
        name="slot.without_purchase",
        means="what a slot holds was bought by a purchase that is on record",
        sql="""
        SELECT format('%s.%s', slot.job_id, slot.ordinal) AS id,
               format('%s by attempt %s, which nobody bought', slot.state, slot.winner) AS about
          FROM slot
         WHERE slot.created_at >= $1
           AND slot.winner IS NOT NULL
           AND slot.moved_at < now() - $2::interval
           AND NOT EXISTS (SELECT FROM prediction
                            WHERE prediction.job_id = slot.job_id
                              AND prediction.ordinal = slot.ordinal
                              AND prediction.attempt = slot.winner
                              AND prediction.prediction_id IS NOT NULL)
      ORDER BY slot.moved_at
         LIMIT $3
        """,
    ),
    Law(
        name="prediction.silent",
        means="a prediction that says nothing is asked about",
        sql="""
        SELECT prediction_id AS id, format('to be asked at %s', ask_at) AS about
          FROM prediction
         WHERE intended_at >= $1
           AND ask_at < now() - $2::interval
      ORDER BY ask_at
         LIMIT $3
        """,
    ),
    Law(
        name="prediction.runs_on",
        means="a prediction that nobody needs is stopped",
        sql="""
        SELECT prediction_id AS id, format('unwanted since %s', cancel_wanted_at) AS about
          FROM prediction
         WHERE intended_at >= $1
           AND cancel_wanted_at < now() - $2::interval
           AND prediction_id IS NOT NULL
           AND (status IS NULL OR status IN ('starting', 'processing'))
      ORDER BY cancel_wanted_at
         LIMIT $3
        """,
    ),
    Law(
        name="prediction.bought_twice",
        means="a slot costs one purchase, unless an attempt failed",
        must=False,
        sql="""
        SELECT format('%s.%s', job_id, ordinal) AS id,
               format('%s predictions were accepted: %s', count(*),
                      string_agg(prediction_id, ', ' ORDER BY attempt)) AS about
          FROM prediction
         WHERE intended_at >= $1
           AND prediction_id IS NOT NULL
           AND (status IS NULL OR status IN ('starting', 'processing', 'succeeded'))
           AND intended_at < now() - $2::interval
      GROUP BY job_id, ordinal
        HAVING count(*) > 1
         LIMIT $3
        """,
    ),
    Law(
        name="news.unplaced",
        means="news that was accepted found its purchase, or is parked for a look",
        sql="""
        SELECT event_id AS id, format('%s from %s: %s', type, origin, outcome) AS about
          FROM journal
         WHERE recorded_at >= $1
           AND recorded_at < now() - $2::interval
           AND origin IN ('webhook', 'reconciler')
           AND job_id IS NULL
           AND NOT EXISTS (SELECT FROM parked_message
                            WHERE parked_message.event_id = journal.event_id)
      ORDER BY recorded_at
         LIMIT $3
        """,
    ),
    Law(
        name="journal.owed",
        means="the relay publishes what was stated",
        sql="""
        SELECT event_id AS id, format('%s owed since %s', type, recorded_at) AS about
          FROM journal
         WHERE published_at IS NULL
           AND recorded_at < now() - $2::interval
           AND recorded_at >= $1
      ORDER BY id
         LIMIT $3
        """,
    ),
    Law(
        name="parked.late",
        means="what is parked for its time comes back at that time",
        sql="""
        SELECT event_id AS id, format('%s on %s, due %s', type, queue, due_at) AS about
          FROM parked_message
         WHERE due_at < now() - $2::interval
           AND first_at >= $1
      ORDER BY due_at
         LIMIT $3
        """,
    ),
    Law(
        name="parked.dead",
        means="nothing waits for an operator",
        must=False,
        sql="""
        SELECT event_id AS id, format('%s on %s: %s', type, queue, reason) AS about
          FROM parked_message
         WHERE due_at IS NULL
           AND first_at >= $1
           AND parked_at < now() - $2::interval
      ORDER BY parked_at
         LIMIT $3
        """,
    ),
)


async def breaches(
    tx: Connection, law: Law, *, since: datetime, settled: timedelta
) -> list[Finding]:
    """What breaks ``law`` among what is from ``since`` on and had ``settled`` to come to rest."""
    rows = await tx.fetch(law.sql, since, settled, MOST)
    return [Finding(law=law.name, id=row["id"], about=row["about"], must=law.must) for row in rows]


async def bought(tx: Connection, prediction_ids: list[str]) -> set[str]:
    """Those of ``prediction_ids`` that the ledger knows."""
    rows = await tx.fetch(
        "SELECT prediction_id FROM prediction WHERE prediction_id = ANY($1::text[])",
        prediction_ids,
    )
    return {row["prediction_id"] for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file that a row of ours says we have."""

    job_id: UUID
    key: str
    bytes: int
    sha256: str


async def jobs_since(
    tx: Connection, since: datetime, *, after: UUID | None, settled: timedelta, limit: int
) -> list[UUID]:
    """Jobs that ended (``settled`` ago, or longer) page by page, by id."""
    rows = await tx.fetch(
        """
        SELECT id
          FROM job
         WHERE created_at >= $1
           AND ended_at < now() - $2::interval
           AND ($3::uuid IS NULL OR id > $3)
      ORDER BY id
         LIMIT $4
        """,
        since,
        settled,
        after,
        limit,
    )
    return [row["id"] for row in rows]


async def kept_by(tx: Connection, job_ids: list[UUID]) -> list[Kept]:
    """Every file that these jobs have on record."""
    rows = await tx.fetch(
        """
        SELECT job_id, key, bytes, sha256
          FROM artifact
         WHERE job_id = ANY($1::uuid[])
      ORDER BY job_id, key
        """,
        job_ids,
    )
    return [Kept(**dict(row)) for row in rows]
