"""One connection to RabbitMQ that is opened again for ever, and never lies about being open."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelInvalidStateError
from prometheus_client import Counter

from shared.errors import BrokerUnavailable
from shared.messaging.wire import tolerate_junk

log = structlog.get_logger()

# A silently dead link is noticed after about 3.5 heartbeats: 35 s here, 210 s at the default of 60.
HEARTBEAT_S = 10
CONNECT_TIMEOUT_S = 5.0
# Between attempts, with as much again by chance, so that replicas do not come back in step.
RECONNECT_S = 0.5
CLOSE_TIMEOUT_S = 2.0

# What the client raises on a link that is gone. RuntimeError is its word for a connection or
# channel that was closed, StopAsyncIteration for one that ended where it read; nothing of ours runs
# inside these calls that could raise one.
GONE = (*aio_pika.exceptions.CONNECTION_EXCEPTIONS, ChannelInvalidStateError, EOFError)

FOREIGN_CANCELS = Counter(
    "darkroom_foreign_cancel_total",
    "Cancellations that came out of the AMQP client though nobody asked for them",
)
CONNECTS = Counter("darkroom_broker_connects_total", "Connections opened to the broker", ["link"])


class Link:
    """A connection that comes back. ``broken`` tells every user of it when it is gone."""

    def __init__(self, amqp_url: str, *, name: str) -> None:
        self._url = amqp_url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._open = asyncio.Event()
        self._left_behind: set[asyncio.Task[AbstractConnection]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def connection(self) -> AbstractConnection:
        """The connection, once there is one; waits for ever. Put a deadline around it."""
        while True:
            await self._open.wait()
            if self._connection is not None and self._connection.connected.is_set():
                return self._connection
            self._open.clear()

    async def keep(self) -> None:
        """Open the connection whenever it is not; ends only by being cancelled."""
        told = False
        while True:
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001 - nobody else would ever open it again
                if not told:
                    log.warning("broker.unreachable", link=self._name, error=_words(error))
                told = True
                await asyncio.sleep(RECONNECT_S * (1 + random.random()))  # noqa: S311
                continue
            CONNECTS.labels(self._name).inc()
            log.info("broker.connected", link=self._name)
            told = False
            gone = _gone(connection)
            self._connection = connection
            self._open.set()
            try:
                await gone.wait()
            finally:
                self._open.clear()
                self._connection = None
                await self._close(connection)
            log.warning("broker.lost", link=self._name)

    async def _connect(self) -> AbstractConnection:
        """A new connection. Raises BrokerUnavailable after a while, whatever the client does.

        The client may take the end of its deadline for its own affair and wait on, for a socket
        that never tells that it is closed: then its attempt is left behind, and nobody waits for it.
        """
        attempt = asyncio.create_task(self._attempt())
        try:
            await asyncio.wait({attempt}, timeout=CONNECT_TIMEOUT_S)
        finally:
            if not attempt.done():
                attempt.cancel()
                self._left_behind.add(attempt)
                attempt.add_done_callback(self._forget)
        if not attempt.done():
            raise BrokerUnavailable(f"no connection within {CONNECT_TIMEOUT_S:g} s")
        async with deadline(CONNECT_TIMEOUT_S, "connecting"):
            return attempt.result()

    async def _attempt(self) -> AbstractConnection:
        return await aio_pika.connect(
            self._url,
            heartbeat=HEARTBEAT_S,
            client_properties={"connection_name": self._name},
        )

    def _forget(self, attempt: "asyncio.Task[AbstractConnection]") -> None:
        """See off an attempt that was left behind; what it opened after all is closed."""
        self._left_behind.discard(attempt)
        if not attempt.cancelled() and attempt.exception() is None:
            closing = asyncio.create_task(self._close(attempt.result()))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, connection: AbstractConnection) -> None:
        with suppress(BrokerUnavailable, *GONE):
            async with deadline(CLOSE_TIMEOUT_S, "closing"):
                await connection.close()


@asynccontextmanager
async def opened(amqp_url: str, *, name: str) -> AsyncIterator[Link]:
    """A link that is kept open as long as the context lasts; the broker may be away meanwhile."""
    tolerate_junk()
    link = Link(amqp_url, name=name)
    keeping = asyncio.create_task(link.keep())
    try:
        yield link
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@asynccontextmanager
async def deadline(seconds: float, what: str) -> AsyncIterator[None]:
    """Around every call to the client: it ends, and by an error with a name.

    The client hangs where the link is silent or blocked, and on a link that died it raises a
    CancelledError that nobody asked for, which ``except Exception`` misses. Both become
    BrokerUnavailable; a cancellation that somebody did ask for passes.
    """
    task = asyncio.current_task()
    asked_before = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise BrokerUnavailable(
            f"the broker did not answer within {seconds:g} s: {what}"
        ) from error
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling() > asked_before:
            raise
        FOREIGN_CANCELS.inc()
        raise BrokerUnavailable(f"the link to the broker died: {what}") from error


def _gone(connection: AbstractConnection) -> asyncio.Event:
    """Set when the link is gone, whoever ended it.

    The client's own ``closed()`` and ``is_closed`` tell only of a close that we asked for: a broker
    that went away leaves them waiting and false for ever.
    """
    gone = asyncio.Event()
    connection.close_callbacks.add(lambda *_: gone.set())
    if not connection.connected.is_set():  # it went before we could listen
        gone.set()
    return gone


def _words(error: BaseException) -> str:
    # The client's errors may repeat the URL, and with it the password.
    return type(error).__name__
