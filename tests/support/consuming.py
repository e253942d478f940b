"""Events to publish, workers that consume them, and strangers that publish what they like."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pika

from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.messaging import topology
from shared.messaging.consumer import Subscriptions, TooManyDead
from shared.messaging.handling import Parking
from tests.support.parking import Remembered
from tests.support.waiting import eventually

SLOTS = topology.AGGREGATOR_SLOTS
HEARD = "artifacts.stored"
UNHEARD = "report.published"


def an_event(event_id: str = "", *, kind: str = HEARD, body: bytes = b"{}") -> Envelope:
    return Envelope(
        id=event_id or uuid4().hex,
        type=kind,
        source="test",
        time=datetime(2026, 11, 21, 4, 0, tzinfo=UTC),
        body=body,
        subject=str(uuid4()),
    )


@asynccontextmanager
async def working(
    subscriptions: Subscriptions,
    handle: Callable[[Envelope], Coroutine[Any, Any, None]],
    *,
    parking: Parking | None = None,
    queue: topology.Queue | tuple[topology.Queue, ...] = SLOTS,
    concurrency: int = 4,
    **more: Any,
) -> AsyncIterator[asyncio.Event]:
    """A worker that runs, subscribed; the event stops it. Its end is awaited."""
    stop = asyncio.Event()
    worker = subscriptions.worker(
        queue, handle, parking=parking or Remembered(), concurrency=concurrency, **more
    )
    task = asyncio.create_task(worker(stop))

    async def subscribed() -> bool:
        try:
            await subscriptions.ping()
        except BrokerUnavailable:
            return False
        except (DatabaseUnavailable, TooManyDead):
            return True  # it holds something already, or has had enough
        return True

    try:
        await eventually("the worker is subscribed", subscribed, within=20)
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def not_subscribed(subscriptions: Subscriptions) -> bool:
    """Whether a worker takes nothing more, be it that it stops or that its link is gone."""
    try:
        await subscriptions.ping()
    except BrokerUnavailable:
        return True
    return False


class Seen:
    """Remembers what a handler got."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def __call__(self, envelope: Envelope) -> None:
        self.ids.append(envelope.id)

    async def count(self) -> int:
        return len(set(self.ids))


async def depth(amqp_url: str, queue: str = SLOTS.name) -> int:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


def published_by_a_stranger(
    amqp_url: str, body: bytes = b"{}", *, routing_key: str = HEARD, **properties: Any
) -> None:
    """A plain message from a client that is not ours, with the properties that it likes."""
    told = pika.BasicProperties(**properties)
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().basic_publish(topology.EXCHANGE, routing_key, body, told)
