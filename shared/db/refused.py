"""SQL for ``refused_webhook``: what the ingress did not take, kept for a look."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from uuid import UUID

from shared.db.connection import Connection, Row
from shared.domain.refusal import RefusedWebhook


async def keep(tx: Connection, refused: RefusedWebhook) -> bool:
    """False: it is kept already, so this delivery is a duplicate."""
    kept = await tx.execute(
        """
        INSERT INTO refused_webhook (id, received_at, outcome, status, reason, sender, query,
                                     headers, body, body_bytes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (id) DO NOTHING
        """,
        refused.id,
        refused.received_at,
        refused.outcome,
        refused.status,
        refused.reason,
        refused.sender,
        refused.query,
        [list(header) for header in refused.headers],
        refused.body,
        refused.body_bytes,
    )
    return kept == 1


async def listing(
    tx: Connection, *, since: datetime | None, outcomes: Sequence[str] | None, limit: int
) -> list[RefusedWebhook]:
    """The latest first; ``outcomes`` None: whatever was wrong with them."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM refused_webhook
         WHERE ($1::timestamptz IS NULL OR received_at >= $1)
           AND ($2::text[] IS NULL OR outcome = ANY($2))
      ORDER BY received_at DESC, id
         LIMIT $3
        """,
        since,
        None if outcomes is None else list(outcomes),
        limit,
    )
    return [_refused(row) for row in rows]


async def get(tx: Connection, refused_id: UUID) -> RefusedWebhook | None:
    row = await tx.fetchrow("SELECT * FROM refused_webhook WHERE id = $1", refused_id)
    return None if row is None else _refused(row)


async def forget(tx: Connection, *, older_than: timedelta, but_at_most: int) -> int:
    """Drop what nobody looked at for so long, and what is more than ``but_at_most``, oldest first."""
    return await tx.execute(
        """
        DELETE FROM refused_webhook
         WHERE received_at < now() - $1::interval
            OR id IN (SELECT id
                        FROM refused_webhook
                    ORDER BY received_at DESC, id
                      OFFSET $2)
        """,
        older_than,
        but_at_most,
    )


_COLUMNS = tuple(column.name for column in fields(RefusedWebhook))


def _refused(row: Row) -> RefusedWebhook:
    values = {name: row[name] for name in _COLUMNS}
    values["headers"] = tuple((name, value) for name, value in values["headers"])
    return RefusedWebhook(**values)
