"""A consumer whose process dies of one message: run by a test, again and again.

    python -m tests.support.mortal AMQP_URL DATABASE_URL FILE

Notes in FILE what it starts. Exits 0 once its queue is empty and the killer is parked.
"""

import asyncio
import os
import sys
from pathlib import Path

from shared.db import parked
from shared.db.connection import open_database
from shared.db.parked import Parked, Which
from shared.envelope import Envelope
from shared.messaging.consumer import open_subscriptions
from tests.support.consuming import depth, working
from tests.support.waiting import eventually

KILLER = "killer"


async def consume(amqp_url: str, database_url: str, starts: Path) -> None:
    async def handle(envelope: Envelope) -> None:
        with starts.open("a") as notes:
            notes.write(f"{envelope.id}\n")
        if envelope.id == KILLER:
            os._exit(9)

    async with (
        open_database(database_url, name="mortal") as database,
        open_subscriptions(amqp_url, name="mortal") as subscriptions,
        working(subscriptions, handle, parking=Parked(database), concurrency=2),
    ):

        async def over() -> bool:
            async with database.connection() as tx:
                dead = await parked.listing(tx, Which(dead=True), limit=1)
            return bool(dead) and await depth(amqp_url) == 0

        await eventually("the killer is dead and the queue empty", over, within=40)


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
