"""Waiting until somebody waits: what two transactions do at once, in an order that a test chooses."""

from shared.db.connection import Database
from tests.support.waiting import eventually


async def somebody_waits_for_a_lock(database: Database) -> None:
    async def waiting() -> int:
        async with database.connection() as db:
            count: int = await db.fetchval(
                """
                SELECT count(*)
                  FROM pg_stat_activity
                 WHERE datname = current_database()
                   AND wait_event_type = 'Lock'
                """
            )
            return count

    await eventually("somebody waits for a lock", waiting)
