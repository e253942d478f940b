"""SQL for how webhooks and jobs have fared lately."""

from dataclasses import dataclass
from datetime import datetime

from shared.db.connection import Connection
from shared.domain.overview import Ended, Webhooks

LOOKED_AT = 50_000  # of the latest; on the busiest day more would only be slower to count


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """Both of one span."""

    webhooks: Webhooks
    ended: Ended


async def since(tx: Connection, moment: datetime) -> Fared:
    news = await tx.fetchrow(
        """
        WITH latest AS (
            SELECT origin, type, outcome, occurred_at, recorded_at
              FROM journal
             WHERE origin IN ('webhook', 'reconciler')
               AND recorded_at >= $1
          ORDER BY recorded_at DESC
             LIMIT $2
        )
        SELECT count(*) FILTER (WHERE origin = 'webhook') AS came,
               count(*) FILTER (WHERE origin = 'webhook'
                                  AND outcome IN ('unknown', 'ambiguous')) AS unplaced,
               count(*) FILTER (WHERE origin = 'reconciler'
                                  AND outcome <> 'nothing_new'
                                  AND type IN ('prediction.succeeded', 'prediction.failed',
                                               'prediction.canceled', 'prediction.aborted'))
                   AS asked,
               percentile_cont(0.95) WITHIN GROUP
                   (ORDER BY extract(epoch FROM recorded_at - occurred_at))
                   FILTER (WHERE origin = 'webhook') AS p95
          FROM latest
        """,
        moment,
        LOOKED_AT,
    )
    last_at = await tx.fetchval(
        """
        SELECT recorded_at
          FROM journal
         WHERE origin IN ('webhook', 'reconciler')
           AND origin = 'webhook'
      ORDER BY recorded_at DESC
         LIMIT 1
        """
    )
    refused = await tx.fetch(
        """
        SELECT outcome, count(*) AS count
          FROM refused_webhook
         WHERE received_at >= $1
      GROUP BY outcome
        """,
        moment,
    )
    ended = await tx.fetch(
        """
        SELECT state, count(*) AS count
          FROM job
         WHERE ended_at >= $1
      GROUP BY state
        """,
        moment,
    )
    if news is None:
        raise LookupError("an aggregate has a row")
    by_end = {row["state"]: row["count"] for row in ended}
    return Fared(
        webhooks=Webhooks(
            last_at=last_at,
            taken=news["came"] - news["unplaced"],
            unplaced=news["unplaced"],
            refused={row["outcome"]: row["count"] for row in refused},
            asked=news["asked"],
            to_journal_p95=None if news["p95"] is None else float(news["p95"]),
        ),
        ended=Ended(
            completed=by_end.get("completed", 0),
            failed=by_end.get("failed", 0),
            canceled=by_end.get("canceled", 0),
        ),
    )
