"""Many publishes on one channel of a real broker: each gets its own word, in whatever company."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast
from uuid import uuid4

import aio_pika
import pytest
from aiormq.channel import Channel
from pamqp.commands import Basic

from shared.messaging.pipeline import Pipeline

KEY = "a.key"


@pytest.fixture
async def channel(bare_amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel with confirms on, and a queue named like the routing key."""
    connection = await aio_pika.connect(bare_amqp_url)
    async with connection:
        opened = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await opened.declare_queue(KEY, durable=True, arguments={"x-queue-type": "quorum"})
        yield opened


async def a_pipeline(channel: aio_pika.abc.AbstractChannel) -> Pipeline:
    return Pipeline(cast(Channel, await channel.get_underlay_channel()))


def a_message(body: bytes = b"{}") -> aio_pika.Message:
    return aio_pika.Message(body, message_id=uuid4().hex, delivery_mode=2)


async def bodies(channel: aio_pika.abc.AbstractChannel) -> list[bytes]:
    queue = await channel.get_queue(KEY, ensure=False)
    found = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        found.append(message.body)
    return found


async def test_five_hundred_at_once_of_every_size_are_each_confirmed(
    channel: aio_pika.abc.AbstractChannel,
) -> None:
    pipeline = await a_pipeline(channel)
    sent = [str(n).encode() * (1 if n % 100 else 100_000) for n in range(500)]

    words = await asyncio.gather(
        *(
            pipeline.publish(a_message(body), exchange="", routing_key=KEY, mandatory=True)
            for body in sent
        )
    )

    assert all(isinstance(word, Basic.Ack) for word in words)
    assert sorted(await bodies(channel)) == sorted(sent)


async def test_of_many_in_flight_exactly_those_that_nobody_takes_come_back(
    channel: aio_pika.abc.AbstractChannel,
) -> None:
    pipeline = await a_pipeline(channel)

    words = await asyncio.gather(
        *(
            pipeline.publish(
                a_message(), exchange="", routing_key=KEY if n % 3 else "nobody", mandatory=True
            )
            for n in range(90)
        ),
        return_exceptions=True,
    )

    returned = [isinstance(word, aio_pika.exceptions.PublishError) for word in words]
    assert returned == [n % 3 == 0 for n in range(90)]
    assert len(await bodies(channel)) == 60


async def test_what_its_caller_gave_up_before_it_was_written_is_never_sent(
    channel: aio_pika.abc.AbstractChannel,
) -> None:
    pipeline = await a_pipeline(channel)
    given_up = asyncio.create_task(
        pipeline.publish(a_message(b"late"), exchange="", routing_key=KEY, mandatory=True)
    )
    asyncio.get_running_loop().call_soon(given_up.cancel)  # after it waits, before it is written
    with pytest.raises(asyncio.CancelledError):
        await given_up

    await pipeline.publish(a_message(b"next"), exchange="", routing_key=KEY, mandatory=True)

    assert await bodies(channel) == [b"next"]
