"""A consumer in a process of its own, some of whose messages are poison.

    python -m tests.matrix.victim AMQP_URL DATABASE_URL NOTES WITHIN_S

Appends a line to NOTES for what it starts and what it has done: a word, the event's id, and the
machine's clock in seconds. Runs until it is ended, or a message ends it.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from shared.db import journal
from shared.db.connection import open_database
from shared.db.parked import Parked
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.messaging.consumer import open_subscriptions
from shared.messaging.topology import AGGREGATOR_SLOTS
from shared.observability import configure_logging
from shared.runtime import stop_on_signals

CRASHES, HANGS, MALFORMED = b'{"poison": "crashes"}', b'{"poison": "hangs"}', b'{"poison": '
AT_ONCE = 8


async def consume(amqp_url: str, database_url: str, notes: Path, within_s: float) -> None:
    out = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(word: str, envelope: Envelope) -> None:
        os.write(out, f"{word} {envelope.id} {time.monotonic()}\n".encode())

    async with (
        open_database(database_url, name="victim") as database,
        open_subscriptions(amqp_url, name="victim") as subscriptions,
    ):

        async def handle(envelope: Envelope) -> None:
            note("start", envelope)
            if envelope.body == MALFORMED:
                raise Permanent("its body is not JSON")
            if envelope.body == CRASHES:
                os._exit(9)
            if envelope.body == HANGS:
                await asyncio.Event().wait()
            async with database.transaction() as tx:
                await journal.hear(tx, envelope, outcome="counted")
            note("done", envelope)

        worker = subscriptions.worker(
            AGGREGATOR_SLOTS,
            handle,
            parking=Parked(database),
            concurrency=AT_ONCE,
            within_s=within_s,
        )
        await worker(stop_on_signals(10.0))


if __name__ == "__main__":
    configure_logging("victim", level="ERROR", style="json")
    asyncio.run(consume(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])))
