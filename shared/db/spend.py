"""SQL for the spend ledger: what was bought, and what became of the money.

Every row of ``prediction`` has exactly one fate, so that the fates add up to the ledger.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from shared.db.connection import Connection
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
               sum(cost_micros)::bigint AS cost_micros
          FROM prediction
         WHERE job_id = $1
        """,
        job_id,
    )
    if row is None:
        raise LookupError("an aggregate has a row")
    return JobSpend(**row)
