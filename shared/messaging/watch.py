"""Look on: every fact of some kinds as it passes, for a live view. Never for work."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Permanent
from shared.messaging.codec import from_message
from shared.messaging.topology import EXCHANGE
from shared.messaging.wire import tolerate_junk

# A viewer that is slower than the flow loses the oldest news; it reads the truth elsewhere.
KEPT = 1000


@asynccontextmanager
async def watching(amqp_url: str, *, hears: Iterable[str], name: str) -> AsyncIterator["Watch"]:
    """Open an exclusive queue of our own that goes with the connection.

    ``hears`` are routing keys, wildcards allowed. Raises BrokerUnavailable.
    """
    tolerate_junk()
    try:
        connection = await aio_pika.connect(
            amqp_url, heartbeat=10, timeout=5, client_properties={"connection_name": name}
        )
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
        raise BrokerUnavailable(f"the broker does not answer: {type(error).__name__}") from error
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            exclusive=True, auto_delete=True, arguments={"x-max-length": KEPT}
        )
        for key in hears:
            await queue.bind(EXCHANGE, routing_key=key)
        watch = Watch()
        await queue.consume(watch.put, no_ack=True)
        yield watch


class Watch:
    """What passed since we last looked."""

    def __init__(self) -> None:
        self._passed: asyncio.Queue[Envelope] = asyncio.Queue(maxsize=KEPT)

    async def put(self, message: AbstractIncomingMessage) -> None:
        try:
            envelope = from_message(message)
        except Permanent:
            return  # somebody's junk is shown where it is parked, not here
        if self._passed.full():
            self._passed.get_nowait()
        self._passed.put_nowait(envelope)

    async def next(self, timeout: float) -> list[Envelope]:
        """Everything that passed, waiting up to ``timeout`` seconds for the first; or nothing."""
        passed: list[Envelope] = []
        try:
            async with asyncio.timeout(timeout):
                passed.append(await self._passed.get())
        except TimeoutError:
            return passed
        while not self._passed.empty():
            passed.append(self._passed.get_nowait())
        return passed
