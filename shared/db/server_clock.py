"""The clock that leases, due times and deadlines are measured with: the database's."""

from datetime import datetime

from shared.db.connection import Connection


async def read(tx: Connection) -> datetime:
    """The instant now, also inside a transaction that began earlier."""
    now: datetime = await tx.fetchval("SELECT clock_timestamp()")
    return now
