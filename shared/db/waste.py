"""SQL for what storage left behind: files in the bucket without a row, because nobody wanted them any
more when they were there. A closed slot enters no more files, so what has no row by then is waste."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.db.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """A closed slot that may have left files behind; ``kept`` are the keys of those on record."""

    job_id: UUID
    ordinal: int
    since: datetime
    kept: frozenset[str]


async def note(tx: Connection, job_id: UUID, ordinal: int) -> None:
    """Have somebody look for files that the slot left behind, from now on."""
    await tx.execute(
        "UPDATE slot SET waste_since = clock_timestamp() WHERE job_id = $1 AND ordinal = $2",
        job_id,
        ordinal,
    )


async def left_behind(tx: Connection, *, older_than: timedelta, limit: int) -> list[Waste]:
    """Closed slots that may have left files behind so long ago, the oldest first."""
    rows = await tx.fetch(
        """
        SELECT slot.job_id, slot.ordinal, slot.waste_since,
               array(SELECT artifact.key
                       FROM artifact
                      WHERE artifact.job_id = slot.job_id
                        AND artifact.ordinal = slot.ordinal) AS kept
          FROM slot
         WHERE slot.waste_since < now() - $1::interval
           AND slot.state IN ('stored', 'failed', 'canceled')
      ORDER BY slot.waste_since
         LIMIT $2
        """,
        older_than,
        limit,
    )
    return [
        Waste(
            job_id=row["job_id"],
            ordinal=row["ordinal"],
            since=row["waste_since"],
            kept=frozenset(row["kept"]),
        )
        for row in rows
    ]


async def is_gone(tx: Connection, waste: Waste) -> None:
    """Nothing is left of it, unless somebody noted more since it was read."""
    await tx.execute(
        """
        UPDATE slot
           SET waste_since = NULL
         WHERE job_id = $1
           AND ordinal = $2
           AND waste_since = $3
        """,
        waste.job_id,
        waste.ordinal,
        waste.since,
    )
