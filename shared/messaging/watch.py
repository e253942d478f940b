"""Look on: every fact of some kinds as it passes, for a live view. Never for work."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Permanent
from shared.messaging.codec import from_message
from shared.messaging.link import GONE, deadline
from shared.messaging.topology import EXCHANGE
from shared.messaging.wire import tolerate_junk

# A viewer that is slower than the flow loses the oldest news; it reads the truth elsewhere.
KEPT = 1000
OPEN_WITHIN_S = 10.0
CLOSE_WITHIN_S = 3.0


@asynccontextmanager
async def watching(amqp_url: str, *, hears: Iterable[str], name: str) -> AsyncIterator["Watch"]:
    """Open an exclusive queue of our own that goes with the connection.

    ``hears`` are routing keys, wildcards allowed. Raises BrokerUnavailable.
    """
    tolerate_junk()
    try:
        async with deadline(OPEN_WITHIN_S, "connecting"):
            connection = await aio_pika.connect(
                amqp_url, heartbeat=10, timeout=5, client_properties={"connection_name": name}
            )
    except GONE as error:
        raise BrokerUnavailable(f"the broker does not answer: {type(error).__name__}") from error
    watch = Watch()
    try:
        await _begin(connection, watch, hears)
        yield watch
    finally:
        with suppress(BrokerUnavailable, *GONE):
            async with deadline(CLOSE_WITHIN_S, "closing"):
                await connection.close()


async def _begin(connection: AbstractConnection, watch: "Watch", hears: Iterable[str]) -> None:
    try:
        async with deadline(OPEN_WITHIN_S, "opening a queue to look on"):
            connection.close_callbacks.add(watch.end)
            watch.held = channel = await connection.channel()
            queue = await channel.declare_queue(
                exclusive=True, auto_delete=True, arguments={"x-max-length": KEPT}
            )
            for key in hears:
                await queue.bind(EXCHANGE, routing_key=key)
            await queue.consume(watch.put, no_ack=True)
    except GONE as error:
        raise BrokerUnavailable(f"the link broke: {type(error).__name__}") from error


class Watch:
    """What passed since we last looked."""

    def __init__(self) -> None:
        self._passed: asyncio.Queue[Envelope] = asyncio.Queue(maxsize=KEPT)
        self.over = False  # the link broke: nothing will pass here any more
        self.held: AbstractChannel | None = None  # the client keeps weak references only

    async def put(self, message: AbstractIncomingMessage) -> None:
        try:
            envelope = from_message(message)
        except Permanent:
            return  # somebody's junk is shown where it is parked, not here
        if self._passed.full():
            self._passed.get_nowait()
        self._passed.put_nowait(envelope)

    def end(self, *_about: object) -> None:
        self.over = True

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
