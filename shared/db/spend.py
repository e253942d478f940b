"""SQL for the spend ledger: what was bought, and what became of the money.

Every row of ``prediction`` has exactly one fate, so that the fates add up to the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from shared.db.connection import Connection
from shared.domain.cap import Day
from shared.domain.cost import COUNTS, Bill
from shared.domain.prediction import Status


class Fate(StrEnum):
    """What became of one purchase."""

    INTENDED = "intended"  # its create is under way
    IN_DOUBT = "in_doubt"  # whether it was bought is not known yet
    NOT_LISTED = "not_listed"  # a complete list lacked it: bought only if it is ever heard of
    NOT_BOUGHT = "not_bought"  # throttled, turned away, or never sent
    REFUSED = "refused"  # for its input
    RUNNING = "running"
    FAILED = "failed"  # at the provider, or aborted
    CANCELED = "canceled"
    STORED = "stored"  # its files are ours
    TO_STORE = "to_store"  # its files are made, and only at the provider
    UNUSABLE = "unusable"  # none of its files could be used or stored
    LOST = "lost"  # its files were gone before they were ours
    DUPLICATE = "duplicate"  # it succeeded too, and another purchase had won the slot
    UNNEEDED = "unneeded"  # it succeeded, and its job had ended


# Of these the provider has a prediction.
BOUGHT = frozenset(
    {
        Fate.RUNNING,
        Fate.FAILED,
        Fate.CANCELED,
        Fate.STORED,
        Fate.TO_STORE,
        Fate.UNUSABLE,
        Fate.LOST,
        Fate.DUPLICATE,
        Fate.UNNEEDED,
    }
)
# Paid for, perhaps, and nobody has anything of it.
WASTED = frozenset({Fate.LOST, Fate.DUPLICATE, Fate.UNNEEDED, Fate.UNUSABLE, Fate.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """All purchases of one fate. ``adopted``: found by news or list, not by our create's answer;
    ``unwanted``: a cancel was asked for; ``unpriced``: they ended, and their recipe names no price.
    """

    fate: Fate
    count: int
    adopted: int
    unwanted: int
    unpriced: int
    seconds: float
    cost_micros: int


async def by_fate(tx: Connection, *, since: datetime) -> list[Spend]:
    """The ledger of purchases intended ``since``, in the order of ``Fate``."""
    rows = await tx.fetch(
        """
        SELECT CASE
                   WHEN p.outcome <> 'accepted' THEN p.outcome
                   WHEN p.lost_at IS NOT NULL THEN 'lost'
                   WHEN p.status IS NULL OR p.status IN ('starting', 'processing') THEN 'running'
                   WHEN p.status IN ('failed', 'aborted') THEN 'failed'
                   WHEN p.status = 'canceled' THEN 'canceled'
                   WHEN s.winner <> p.attempt THEN 'duplicate'
                   WHEN s.winner IS NULL OR s.state = 'canceled' THEN 'unneeded'
                   WHEN s.state = 'stored' THEN 'stored'
                   WHEN s.state = 'succeeded' THEN 'to_store'
                   ELSE 'unusable'
               END AS fate,
               count(*) AS count,
               count(*) FILTER (WHERE p.adopted) AS adopted,
               count(*) FILTER (WHERE p.cancel_wanted_at IS NOT NULL) AS unwanted,
               count(*) FILTER (WHERE p.status IN ('succeeded', 'failed', 'canceled')
                                  AND p.cost_micros IS NULL) AS unpriced,
               coalesce(sum(p.predict_seconds), 0)::float8 AS seconds,
               coalesce(sum(p.cost_micros), 0)::bigint AS cost_micros
          FROM prediction p
          JOIN slot s ON (s.job_id, s.ordinal) = (p.job_id, p.ordinal)
         WHERE p.intended_at >= $1
      GROUP BY 1
        """,
        since,
    )
    found = {row["fate"]: row for row in rows}
    return [Spend(**{**dict(found[fate]), "fate": fate}) for fate in Fate if str(fate) in found]


class By(StrEnum):
    """What costs are added up by. A job that was deleted after its retention counts on the day on
    which it was planned, since nobody knows any more when its purchases were made."""

    RECIPE = "recipe"
    DAY = "day"
    JOB = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the purchases of one recipe, day (by its date) or job cost; ``seconds`` is how long the
    provider worked on them."""

    name: str
    bill: Bill
    seconds: float


async def costs(
    tx: Connection, by: By, *, days: Mapping[str, Day], most: int = 1_000
) -> list[Cost]:
    """What was bought on ``days``, each by its name: the dearest ``most`` first, days in turn."""
    rows = await tx.fetch(
        """
        WITH counted AS (
            SELECT p.job_id, p.intended_at AS at, job.recipe, 1 AS purchases, p.cost_micros,
                   p.estimate_micros, p.predict_seconds
              FROM prediction p
              JOIN job ON job.id = p.job_id
             WHERE p.intended_at >= (SELECT min(begins) FROM unnest($3::timestamptz[]) AS begins)
               AND p.outcome = ANY($5::text[])
         UNION ALL
            SELECT job_id, created_at, recipe, purchases, cost_micros, NULL, predict_seconds
              FROM tombstone
        )
        SELECT CASE $1 WHEN 'day' THEN day.name WHEN 'recipe' THEN recipe ELSE job_id::text END
                   AS name,
               coalesce(sum(purchases) FILTER (WHERE cost_micros IS NOT NULL), 0)::bigint AS paid,
               coalesce(sum(cost_micros), 0)::bigint AS paid_micros,
               coalesce(sum(purchases) FILTER (WHERE cost_micros IS NULL), 0)::bigint AS open,
               coalesce(sum(estimate_micros) FILTER (WHERE cost_micros IS NULL), 0)::bigint
                   AS open_micros,
               coalesce(sum(purchases) FILTER (WHERE cost_micros IS NULL
                                                 AND estimate_micros IS NULL), 0)::bigint AS unknown,
               coalesce(sum(predict_seconds), 0)::float8 AS seconds
          FROM counted
          JOIN unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS day (name, begins, ends)
            ON at >= day.begins
           AND at < day.ends
      GROUP BY 1
      ORDER BY CASE $1 WHEN 'day' THEN 0
                       ELSE -(coalesce(sum(cost_micros), 0)
                              + coalesce(sum(estimate_micros) FILTER (WHERE cost_micros IS NULL), 0))
                END,
               name
         LIMIT $6
        """,
        str(by),
        list(days),
        [day.begins for day in days.values()],
        [day.ends for day in days.values()],
        sorted(COUNTS),
        most,
    )
    return [
        Cost(
            name=row["name"],
            bill=Bill(
                paid=row["paid"],
                paid_micros=row["paid_micros"],
                open=row["open"],
                open_micros=row["open_micros"],
                unknown=row["unknown"],
            ),
            seconds=row["seconds"],
        )
        for row in rows
    ]


async def of_jobs(tx: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Bill]:
    """What the purchases of each of these jobs cost; one for which nothing was bought is left out."""
    rows = await tx.fetch(
        """
        SELECT job_id,
               count(*) FILTER (WHERE cost_micros IS NOT NULL) AS paid,
               coalesce(sum(cost_micros), 0)::bigint AS paid_micros,
               count(*) FILTER (WHERE cost_micros IS NULL) AS open,
               coalesce(sum(estimate_micros) FILTER (WHERE cost_micros IS NULL), 0)::bigint
                   AS open_micros,
               count(*) FILTER (WHERE cost_micros IS NULL AND estimate_micros IS NULL) AS unknown
          FROM prediction
         WHERE job_id = ANY($1::uuid[])
           AND outcome = ANY($2::text[])
      GROUP BY job_id
        """,
        list(job_ids),
        sorted(COUNTS),
    )
    return {
        row["job_id"]: Bill(
            paid=row["paid"],
            paid_micros=row["paid_micros"],
            open=row["open"],
            open_micros=row["open_micros"],
            unknown=row["unknown"],
        )
        for row in rows
    }


async def statuses(tx: Connection, prediction_ids: list[str]) -> dict[str, Status | None]:
    """Those of ``prediction_ids`` that the ledger has, each with the status that we know."""
    rows = await tx.fetch(
        "SELECT prediction_id, status FROM prediction WHERE prediction_id = ANY($1::text[])",
        prediction_ids,
    )
    return {
        row["prediction_id"]: None if row["status"] is None else Status(row["status"])
        for row in rows
    }


async def created_between(
    tx: Connection, since: datetime, until: datetime, *, page: int = 10_000
) -> set[str]:
    """The ids of the predictions that the provider created in that span, as far as we know."""
    found: set[str] = set()
    after = since - timedelta(microseconds=1)
    last = ""
    while True:
        rows = await tx.fetch(
            """
            SELECT prediction_id, created_at
              FROM prediction
             WHERE created_at < $2
               AND (created_at, prediction_id) > ($1, $3)
               AND prediction_id IS NOT NULL
          ORDER BY created_at, prediction_id
             LIMIT $4
            """,
            after,
            until,
            last,
            page,
        )
        found.update(row["prediction_id"] for row in rows)
        if len(rows) < page:
            return found
        after, last = rows[-1]["created_at"], rows[-1]["prediction_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpend:
    """What was bought for one job. ``cost_micros`` None: no price of it is known (yet); ``unpriced``
    purchases have ended without one."""

    purchases: int
    unpriced: int
    seconds: float
    cost_micros: int | None


async def of_job(tx: Connection, job_id: UUID) -> JobSpend:
    row = await tx.fetchrow(
        """
        SELECT count(*) FILTER (WHERE outcome = 'accepted') AS purchases,
               count(*) FILTER (WHERE status IN ('succeeded', 'failed', 'canceled')
                                  AND cost_micros IS NULL) AS unpriced,
               coalesce(sum(predict_seconds), 0)::float8 AS seconds,
               coalesce(sum(cost_micros)::bigint,
                        CASE WHEN count(*) = 0
                              AND EXISTS (SELECT FROM job WHERE id = $1 AND stored > 0)
                             THEN 0 END) AS cost_micros -- all was taken over
          FROM prediction
         WHERE job_id = $1
        """,
        job_id,
    )
    if row is None:
        raise LookupError("an aggregate has a row")
    return JobSpend(**row)


async def bill_of_job(tx: Connection, job_id: UUID) -> Bill:
    """What the purchases of one job cost, and are expected to."""
    row = await tx.fetchrow(
        """
        SELECT count(*) FILTER (WHERE cost_micros IS NOT NULL) AS paid,
               coalesce(sum(cost_micros), 0)::bigint AS paid_micros,
               count(*) FILTER (WHERE cost_micros IS NULL) AS open,
               coalesce(sum(estimate_micros) FILTER (WHERE cost_micros IS NULL), 0)::bigint
                   AS open_micros,
               count(*) FILTER (WHERE cost_micros IS NULL AND estimate_micros IS NULL) AS unknown
          FROM prediction
         WHERE job_id = $1
           AND outcome = ANY($2::text[])
        """,
        job_id,
        sorted(COUNTS),
    )
    return Bill() if row is None else Bill(**row)
