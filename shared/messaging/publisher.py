"""Publishing: done when the broker says that it has the message, and not a moment earlier."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel
from pamqp.commands import Basic
from prometheus_client import Counter, Histogram

from shared import tracing
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Permanent, Unroutable
from shared.messaging.codec import to_message
from shared.messaging.link import GONE, Link, deadline, opened
from shared.messaging.pipeline import Pipeline
from shared.messaging.topology import EXCHANGE, must_be_heard

PUBLISHED = Counter("darkroom_publish_total", "Messages given to the broker", ["outcome"])
CONFIRM_SECONDS = Histogram(
    "darkroom_publish_confirm_seconds",
    "From the publish to the broker's word",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
for outcome in ("confirmed", "returned", "nacked", "timeout", "lost", "unfit"):
    PUBLISHED.labels(outcome)


DEFAULT_EXCHANGE = ""  # leads to the queue that the routing key names


class Publisher:
    """Publishes over a connection of its own, any number of messages in flight.

    Its own, because a broker under memory alarm stops reading from connections that publish: on a
    shared one the acknowledgements would wait behind.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._channel: AbstractChannel | None = None
        self._pipeline: Pipeline | None = None
        self._opening = asyncio.Lock()

    async def publish(
        self, envelope: Envelope, *, to_queue: str | None = None, timeout: float = 5.0
    ) -> None:
        """Publish to whoever hears the fact, or (``to_queue``) straight into one queue.

        Returns after the broker's ack. Raises Unroutable where a message that somebody must hear
        came back, BrokerUnavailable where there was no ack within ``timeout`` seconds; the message
        may then have arrived all the same. Permanent: AMQP has no way to carry it.
        """
        if not tracing.is_on():
            await self._publish(envelope, to_queue=to_queue, timeout=timeout)
            return
        with tracing.step(
            f"send {envelope.type}",
            kind="producer",
            parent=envelope.traceparent,
            attributes={
                "messaging.system": "rabbitmq",
                "messaging.destination.name": to_queue or f"{EXCHANGE}:{envelope.type}",
                "darkroom.event_id": envelope.id,
            },
        ) as step:
            # Whoever hears it comes after this step, so that the time in the queue shows.
            told = replace(envelope, traceparent=step.traceparent)
            await self._publish(told, to_queue=to_queue, timeout=timeout)

    async def _publish(self, envelope: Envelope, *, to_queue: str | None, timeout: float) -> None:
        began = time.monotonic()
        try:
            async with deadline(timeout, "publishing"):
                pipeline = await self._ready()
                word = await pipeline.publish(
                    to_message(envelope),
                    exchange=EXCHANGE if to_queue is None else DEFAULT_EXCHANGE,
                    routing_key=envelope.type if to_queue is None else to_queue,
                    mandatory=to_queue is not None or must_be_heard(envelope.type),
                )
        except BrokerUnavailable:
            PUBLISHED.labels("timeout").inc()
            raise
        except aio_pika.exceptions.PublishError as error:
            PUBLISHED.labels("returned").inc()
            raise Unroutable(
                f"nobody hears {to_queue or envelope.type}: run `darkroom topology apply`"
            ) from error
        except aio_pika.exceptions.DeliveryError as error:
            PUBLISHED.labels("nacked").inc()
            raise BrokerUnavailable("the broker refused the message (its queue is full)") from error
        except GONE as error:
            PUBLISHED.labels("lost").inc()
            # This can come without one await on the way. A caller that tries again at once would
            # keep the loop from ever noticing that the link is gone.
            await asyncio.sleep(0)
            raise BrokerUnavailable(f"the link broke: {type(error).__name__}") from error
        except (ValueError, TypeError) as error:
            PUBLISHED.labels("unfit").inc()
            raise Permanent(f"{envelope.type} cannot be published: {error}") from error
        if not isinstance(word, Basic.Ack):
            PUBLISHED.labels("nacked").inc()
            raise BrokerUnavailable(f"the broker said {type(word).__name__} instead of an ack")
        PUBLISHED.labels("confirmed").inc()
        CONFIRM_SECONDS.observe(time.monotonic() - began)

    async def ping(self) -> None:
        """Raise BrokerUnavailable unless there is a channel to publish on."""
        try:
            async with deadline(2.0, "opening a channel"):
                await self._ready()
        except GONE as error:
            # It went between the look at it and the word on it.
            await asyncio.sleep(0)
            raise BrokerUnavailable(f"the link broke: {type(error).__name__}") from error

    async def _ready(self) -> Pipeline:
        if self._pipeline is not None and not self._pipeline.is_closed and self._link.is_open:
            return self._pipeline
        async with self._opening:
            if self._pipeline is None or self._pipeline.is_closed or not self._link.is_open:
                connection = await self._link.connection()
                # Held here: the client keeps channels by weak references only.
                self._channel = await connection.channel(
                    publisher_confirms=True, on_return_raises=True
                )
                self._pipeline = Pipeline(cast(Channel, await self._channel.get_underlay_channel()))
            return self._pipeline


@asynccontextmanager
async def open_publisher(amqp_url: str, *, name: str) -> AsyncIterator[Publisher]:
    """A publisher that may be used at once; while the broker is away, ``publish`` says so."""
    async with opened(amqp_url, name=f"darkroom-{name}-publish") as link:
        yield Publisher(link)
