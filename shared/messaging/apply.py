"""Bring the broker to what the table says: one step, before any service, never by services."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused
from pamqp.common import FieldTable

from shared.errors import BrokerUnavailable, Misconfigured
from shared.messaging.link import GONE, deadline
from shared.messaging.topology import DEAD_LETTERS, EXCHANGE, QUEUES, Queue

APPLY_WITHIN_S = 30.0
EXCHANGE_TYPE = "topic"

_DRIFT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'"
    r".*?received (?P<wanted>.+?) but current is (?P<found>.+?)(?:\"|$)"
)


async def apply(amqp_url: str) -> list[str]:
    """Declare what is missing; the lines say what was done, nothing where all was there.

    Where something exists with other arguments, changes nothing at all and raises Misconfigured:
    one line for each, with the argument and the way to mend it. Misconfigured also where the user
    may not declare. Raises BrokerUnavailable.
    """
    async with _connected(amqp_url) as connection:
        missing, drifted = await _compared(connection)
        if drifted:
            raise Misconfigured("\n".join(drifted))
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, EXCHANGE_TYPE, durable=True)
        for queue in QUEUES:
            declared = await channel.declare_queue(
                queue.name, durable=True, arguments=arguments(queue)
            )
            for fact in queue.hears:
                await declared.bind(exchange, routing_key=fact)
        return [f"declared {name}" for name in missing]


async def check(amqp_url: str) -> list[str]:
    """What ``apply`` would do or refuse, a line each; changes nothing. Raises BrokerUnavailable."""
    async with _connected(amqp_url) as connection:
        missing, drifted = await _compared(connection)
        return [f"{name} is missing" for name in missing] + drifted


async def unheard(amqp_url: str) -> list[str]:
    """The queues that nobody listens to at this moment. Raises BrokerUnavailable."""
    async with _connected(amqp_url) as connection:
        channel = await connection.channel()
        declared = [await channel.declare_queue(queue.name, passive=True) for queue in QUEUES]
        return [queue.name for queue in declared if not queue.declaration_result.consumer_count]


def arguments(queue: Queue) -> FieldTable:
    """The arguments with which ``queue`` is declared."""
    told: FieldTable = {
        "x-queue-type": "quorum",
        "x-delivery-limit": queue.delivery_limit,
        "x-max-length": queue.keeps,
        "x-overflow": "drop-head" if queue.drops_oldest else "reject-publish",
    }
    if queue is DEAD_LETTERS or queue.drops_oldest:
        # The dead have nowhere else to go; what may be dropped is not worth a dead letter.
        return told
    return told | {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD_LETTERS.name,
        # The default loses dead letters when their queue is away; this one needs reject-publish.
        "x-dead-letter-strategy": "at-least-once",
    }


@asynccontextmanager
async def _connected(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    """A connection for one step, the whole of it under one deadline."""
    try:
        async with deadline(APPLY_WITHIN_S, "the topology"):
            async with await aio_pika.connect(
                amqp_url, client_properties={"connection_name": "darkroom-topology"}
            ) as connection:
                yield connection
    except ChannelAccessRefused as error:
        raise Misconfigured(f"the broker lets this user declare nothing: {error}") from error
    except GONE as error:
        # The client's words may repeat the URL, and with it the password.
        raise BrokerUnavailable(f"the broker cannot be reached: {type(error).__name__}") from error


async def _compared(connection: AbstractConnection) -> tuple[list[str], list[str]]:
    """What is missing, and what exists otherwise than the table says."""
    missing: list[str] = []
    drifted: list[str] = []
    # A refused declaration closes its channel, so each gets one of its own.
    if not await _exchange_exists(connection):
        missing.append(f"exchange {EXCHANGE}")
    else:
        drifted += await _drift(connection, None)
    for queue in QUEUES:
        if not await _queue_exists(connection, queue):
            missing.append(f"queue {queue.name}")
        else:
            drifted += await _drift(connection, queue)
    return missing, drifted


async def _exchange_exists(connection: AbstractConnection) -> bool:
    channel = await connection.channel()
    try:
        await channel.declare_exchange(EXCHANGE, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def _queue_exists(connection: AbstractConnection, queue: Queue) -> bool:
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue.name, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def _drift(connection: AbstractConnection, queue: Queue | None) -> list[str]:
    """Declaring what exists changes nothing where it is equal, and says how it differs where not."""
    channel = await connection.channel()
    try:
        if queue is None:
            await channel.declare_exchange(EXCHANGE, EXCHANGE_TYPE, durable=True)
        else:
            await channel.declare_queue(queue.name, durable=True, arguments=arguments(queue))
    except ChannelPreconditionFailed as error:
        return [_told(str(error), queue)]
    await channel.close()
    return []


def _told(error: str, queue: Queue | None) -> str:
    found = _DRIFT.search(error)
    name = f"queue {queue.name}" if queue else f"exchange {EXCHANGE}"
    if found is None:
        return f"{name} differs: {error}"
    return (
        f"{name}: {found['argument']} is {found['found']}, the table says {found['wanted']}; "
        "let its messages drain, delete it, and apply again"
    )
