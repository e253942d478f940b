"""What the database server says of itself, for those who look whether it will do."""

from dataclasses import dataclass
from datetime import datetime

from shared.db.connection import Connection

# Each of them off, and a crash can lose or tear what a commit confirmed.
OF_THE_DISK = ("fsync", "full_page_writes")
KEEPS = (*OF_THE_DISK, "synchronous_commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """``forgets`` are the settings without which it may lose what it
    confirmed. ``free`` connections of
    ``most`` are left for those who are no superusers."""

    forgets: tuple[str, ...]
    most: int
    free: int


async def clock(tx: Connection) -> datetime:
    now: datetime = await tx.fetchval("SELECT clock_timestamp()")
    return now


async def server(tx: Connection) -> Server:
    off = await tx.fetch(
        """
        SELECT name
          FROM pg_settings
         WHERE name = ANY($1::text[])
           AND setting = 'off'
      ORDER BY name
        """,
        list(KEEPS),
    )
    row = await tx.fetchrow(
        """
        SELECT current_setting('max_connections')::integer
                 - current_setting('superuser_reserved_connections')::integer AS most,
               (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
        """
    )
    most, used = (row["most"], row["used"]) if row else (0, 0)
    return Server(forgets=tuple(one["name"] for one in off), most=most, free=max(0, most - used))
