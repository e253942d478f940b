"""F14: what the broker does with a message besides taking it, and what becomes of its word.

Each of these has made somebody's library call a message published that lay nowhere.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import aio_pika.abc
from prometheus_client import REGISTRY

from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Misconfigured, Transient, Unroutable
from shared.messaging import topology
from shared.messaging.apply import apply, arguments
from shared.messaging.consumer import Subscriptions, open_subscriptions
from shared.messaging.publisher import Publisher, open_publisher
from tests.matrix.ground import Ground
from tests.matrix.promises import Promise, all_of, at_most, none, told
from tests.support.consuming import HEARD, SLOTS, Seen, an_event, not_subscribed, working
from tests.support.cut_link import link_to
from tests.support.waiting import eventually

AT_ONCE = 50
LANES = 6
BACK_WITHIN_S = 10.0
PATIENCE_S = 60.0  # for what is not measured: the machine may be busy


@dataclass
class Words:
    """What became of publishes: ids that were acknowledged, and errors by their name."""

    acknowledged: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def publish(
        self, publisher: Publisher, envelope: Envelope, *, to_queue: str | None = None
    ) -> None:
        try:
            await publisher.publish(envelope, to_queue=to_queue, timeout=PATIENCE_S)
        except Transient as error:
            self.errors[type(error).__name__] += 1
        else:
            self.acknowledged.append(envelope.id)


async def unroutable(ground: Ground, times: int) -> list[Promise]:
    """A fact that somebody must hear, and no queue takes it."""
    words, before = Words(), _counted("returned")
    async with ground.vhost() as amqp_url, _channel(amqp_url) as channel:
        await channel.declare_exchange(topology.EXCHANGE, "topic", durable=True)
        async with open_publisher(amqp_url, name="matrix") as publisher:
            for some in _in_lots(times):
                await asyncio.gather(*(words.publish(publisher, an_event()) for _ in range(some)))
    return [
        all_of("each is a loud error", words.errors[Unroutable.__name__], times),
        none("false ack", words.acknowledged),
        all_of("each is counted as returned", int(_counted("returned") - before), times),
    ]


async def nacked(ground: Ground, times: int) -> list[Promise]:
    """A queue that is full, and refuses."""
    words = Words()
    async with ground.vhost() as amqp_url, _channel(amqp_url) as channel:
        exchange = await channel.declare_exchange(topology.EXCHANGE, "topic", durable=True)
        full = await channel.declare_queue(
            SLOTS.name, durable=True, arguments=arguments(SLOTS) | {"x-max-length": 10}
        )
        await full.bind(exchange, routing_key=HEARD)
        async with open_publisher(amqp_url, name="matrix") as publisher:
            while words.errors.total() < times:
                # A quorum queue notices a little late that it is full.
                some = min(AT_ONCE, times - words.errors.total())
                await asyncio.gather(*(words.publish(publisher, an_event()) for _ in range(some)))
        lying = await _taken(channel, SLOTS.name)
    return [
        all_of("each refusal is a loud error", words.errors[BrokerUnavailable.__name__], times),
        none("false ack", sorted(set(words.acknowledged) - lying)),
        none("message that was refused and lies there", sorted(lying - set(words.acknowledged))),
    ]


async def lost_confirm(ground: Ground, times: int) -> list[Promise]:
    """The broker has it, and the link is cut before it can say so."""
    words, lots = Words(), _in_lots(times)
    slowest = 0.0
    async with ground.rooms() as rooms, _channel(rooms.amqp_url) as channel:
        there = urlsplit(rooms.amqp_url)
        async with link_to(there.hostname or "", there.port or 0) as link:
            through = urlunsplit(
                there._replace(netloc=f"{there.netloc.rpartition('@')[0]}@127.0.0.1:{link.port}")
            )
            async with open_publisher(through, name="matrix") as publisher:
                for some in lots:
                    mark = secrets.token_hex(16).encode()
                    await publisher.publish(an_event(), timeout=PATIENCE_S)  # the link is there
                    link.lose_the_answer_to(mark)
                    began = time.monotonic()
                    await asyncio.gather(
                        *(words.publish(publisher, an_event(body=mark)) for _ in range(some))
                    )
                    slowest = max(slowest, time.monotonic() - began)
                    link.lose_the_answer_to(b"-" + secrets.token_hex(16).encode())
        lying = await _taken(channel, SLOTS.name)
    lost = words.errors[BrokerUnavailable.__name__]
    return [
        all_of("each lost word is a loud error", lost, times),
        none("false ack", sorted(set(words.acknowledged) - lying)),
        at_most("told that it is unknown", BACK_WITHIN_S, slowest),
        told("arrived all the same", max(0, len(lying) - len(words.acknowledged) - len(lots))),
    ]


async def duplicate_in_flight(ground: Ground, times: int) -> list[Promise]:
    """Two publishes of one fact under way at once, one of them to a queue that is not there."""
    heard, unheard = Words(), Words()
    async with ground.rooms() as rooms, _channel(rooms.amqp_url) as channel:
        async with open_publisher(rooms.amqp_url, name="matrix") as publisher:
            for some in _in_lots(times):
                facts = [an_event() for _ in range(some)]
                await asyncio.gather(
                    *(unheard.publish(publisher, fact, to_queue="nowhere") for fact in facts),
                    *(heard.publish(publisher, fact) for fact in facts),
                )
        lying = await _taken(channel, SLOTS.name)
    return [
        all_of("each that nobody hears is a loud error", unheard.errors["Unroutable"], times),
        none("false ack", unheard.acknowledged),
        all_of("each of the others is acknowledged", len(heard.acknowledged), times),
        none("acknowledged one that lies nowhere", sorted(set(heard.acknowledged) - lying)),
    ]


@dataclass
class Lane:
    """Queues that are deleted one after another, and what became of their consumer."""

    took: list[float] = field(default_factory=list)  # seconds until the consumer was back
    quiet: int = 0  # publishes that were acknowledged while there was no queue
    named: int = 0
    changed: int = 0


async def queue_deleted(ground: Ground, times: int) -> list[Promise]:
    """Somebody deletes a queue below its consumer, and the topology is applied again."""

    async def turn(lane: Lane, at: "Place") -> None:
        await at.channel.queue_delete(SLOTS.name)
        words = Words()
        await words.publish(at.publisher, an_event())
        lane.quiet += len(words.acknowledged)
        await apply(at.amqp_url)
        await at.comes_back(lane)

    lanes = await _in_lanes(ground, times, turn)
    return [
        *_back(lanes, times),
        none("false ack while there was no queue", sum(lane.quiet for lane in lanes)),
    ]


async def queue_replaced(ground: Ground, times: int) -> list[Promise]:
    """The queue is deleted and there again at once, so fast that the broker tells nobody."""

    async def turn(lane: Lane, at: "Place") -> None:
        await at.channel.queue_delete(SLOTS.name)
        await _declare(at.channel)
        await at.comes_back(lane, facts=30)  # more than are prefetched

    return _back(await _in_lanes(ground, times, turn), times)


async def argument_drift(ground: Ground, times: int) -> list[Promise]:
    """A queue exists with other arguments than the table says."""

    async def turn(lane: Lane, at: "Place") -> None:
        argument, value = (("x-max-length", 17), ("x-delivery-limit", 3))[len(lane.took) % 2]
        await at.channel.queue_delete(SLOTS.name)
        await eventually(
            "it is noticed", lambda: not_subscribed(at.subscriptions), within=PATIENCE_S
        )
        await _declare(at.channel, **{argument: value})
        told_so = await _refusal(at.amqp_url)
        lane.named += SLOTS.name in told_so and argument in told_so and "\n" not in told_so
        lane.changed += not await _refusal(at.amqp_url)
        await at.comes_back(lane)

    lanes = await _in_lanes(ground, times, turn)
    return [
        all_of(
            "refused in one line with the queue and the argument",
            sum(lane.named for lane in lanes),
            times,
        ),
        none("queue that was changed", sum(lane.changed for lane in lanes)),
        *_back(lanes, times),
    ]


@dataclass
class Place:
    """A virtual host with one consumer."""

    amqp_url: str
    channel: aio_pika.abc.AbstractChannel
    publisher: Publisher
    subscriptions: Subscriptions
    seen: Seen

    async def comes_back(self, lane: Lane, *, facts: int = 1) -> None:
        """Note how long it takes until the consumer has handled what is published now."""
        self.seen.ids.clear()
        began = time.monotonic()
        for _ in range(facts):
            await self.publisher.publish(an_event(), timeout=PATIENCE_S)
        await eventually(
            "the consumer is back",
            self.seen.count,
            holds=lambda count: count == facts,
            within=PATIENCE_S,
        )
        lane.took.append(time.monotonic() - began)


async def _in_lanes(
    ground: Ground, times: int, turn: Callable[[Lane, Place], Awaitable[None]]
) -> list[Lane]:
    """Take so many turns, on several virtual hosts side by side: most of a turn is waiting."""
    shares = [len(range(n, times, LANES)) for n in range(min(LANES, times))]

    async def run(share: int) -> Lane:
        lane, seen = Lane(), Seen()
        async with ground.vhost() as amqp_url, _channel(amqp_url) as channel:
            await apply(amqp_url)
            async with (
                open_publisher(amqp_url, name="matrix") as publisher,
                open_subscriptions(amqp_url, name="matrix") as subscriptions,
                working(subscriptions, seen),
            ):
                at = Place(amqp_url, channel, publisher, subscriptions, seen)
                for _ in range(share):
                    await turn(lane, at)
        return lane

    return list(await asyncio.gather(*map(run, shares)))


def _back(lanes: Sequence[Lane], times: int) -> list[Promise]:
    took = [seconds for lane in lanes for seconds in lane.took]
    return [
        all_of("the consumer came back", len(took), times),
        at_most("consumer back", BACK_WITHIN_S, max(took)),
    ]


# ---- what these share


@asynccontextmanager
async def _channel(amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel of somebody who is not the code under test."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield await connection.channel()


async def _declare(channel: aio_pika.abc.AbstractChannel, **otherwise: int) -> None:
    """The queue as the table has it, but for some of its arguments."""
    queue = await channel.declare_queue(
        SLOTS.name, durable=True, arguments=arguments(SLOTS) | otherwise
    )
    for fact in SLOTS.hears:
        await queue.bind(topology.EXCHANGE, routing_key=fact)


async def _taken(channel: aio_pika.abc.AbstractChannel, queue: str) -> set[str]:
    """The event ids of everything that lies in a queue, which is empty afterwards."""
    source = await channel.get_queue(queue, ensure=False)
    found: set[str] = set()
    while (message := await source.get(no_ack=True, fail=False)) is not None:
        found.add(str(message.headers["cloudEvents:id"]))
    return found


def _in_lots(times: int) -> list[int]:
    return [min(AT_ONCE, times - start) for start in range(0, times, AT_ONCE)]


async def _refusal(amqp_url: str) -> str:
    try:
        await apply(amqp_url)
    except Misconfigured as error:
        return str(error)
    return ""


def _counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("darkroom_publish_total", {"outcome": outcome}) or 0.0
