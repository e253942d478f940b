"""What the journal owes goes out: whatever stands in the way, and however many relays there are."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import aio_pika
from structlog.testing import capture_logs

from shared.db import journal
from shared.db.connection import Database, open_database
from shared.envelope import FROM_RECONCILER, FROM_WEBHOOK, ORIGIN, Envelope
from shared.messaging import topology
from shared.messaging.apply import apply
from shared.messaging.publisher import Publisher, open_publisher
from shared.messaging.relay import BATCH, relay, relay_once
from shared.runtime import run
from tests.support.consuming import HEARD, SLOTS, UNHEARD, an_event
from tests.support.proxy import proxied
from tests.support.waiting import eventually


async def say(database: Database, *facts: Envelope) -> None:
    async with database.transaction() as tx:
        for fact in facts:
            assert await journal.say(tx, fact)


async def owed(database: Database) -> int:
    async with database.connection() as tx:
        return (await journal.owed(tx)).count


async def taken_out(amqp_url: str, queue: str = SLOTS.name) -> list[aio_pika.abc.AbstractMessage]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        source = await channel.get_queue(queue, ensure=False)
        found: list[aio_pika.abc.AbstractMessage] = []
        while (message := await source.get(no_ack=True, fail=False)) is not None:
            found.append(message)
        return found


def ids(messages: list[aio_pika.abc.AbstractMessage]) -> list[str]:
    return [str(message.headers["cloudEvents:id"]) for message in messages]


@asynccontextmanager
async def relaying_with(
    database: Database, *publishers: Publisher, poll_s: float = 0.5
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """A relay for each publisher, stopped at the end; each must have lived until then."""
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(relay(database, publisher, poll_s=poll_s)(stop))
        for publisher in publishers
    ]
    try:
        yield tasks
        assert not any(task.done() for task in tasks)
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def test_what_was_stated_goes_out_at_once_byte_for_byte_with_its_label(
    database: Database, amqp_url: str
) -> None:
    fact = an_event("fact", body=b'{"a": "\xed\x95\x9c"}  ')
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        relaying_with(database, publisher, poll_s=60.0),  # so that only the bell can have woken it
    ):
        await eventually("nothing is owed", lambda: owed(database), holds=lambda n: n == 0)
        await say(database, fact)
        await eventually("it went out", lambda: owed(database), holds=lambda n: n == 0, within=5)
    [message] = await taken_out(amqp_url)

    assert message.body == fact.body
    assert message.headers["cloudEvents:subject"] == fact.subject
    assert ids([message]) == ["fact"]


async def test_what_another_process_stated_goes_out_without_a_bell(
    database: Database, database_url: str, amqp_url: str
) -> None:
    async with open_publisher(amqp_url, name="t") as publisher, relaying_with(database, publisher):
        async with open_database(database_url, name="other") as other:
            await say(other, an_event("theirs"))
        await eventually("it went out", lambda: owed(database), holds=lambda n: n == 0, within=5)
    assert ids(await taken_out(amqp_url)) == ["theirs"]


async def test_several_relays_send_every_fact_once(
    database: Database, database_url: str, amqp_url: str
) -> None:
    facts = [an_event() for _ in range(5 * BATCH)]
    async with (
        open_database(database_url, name="two") as two,
        open_database(database_url, name="three") as three,
        open_publisher(amqp_url, name="a") as a,
        open_publisher(amqp_url, name="b") as b,
        open_publisher(amqp_url, name="c") as c,
        relaying_with(database, a),
        relaying_with(two, b),
        relaying_with(three, c),
    ):
        await asyncio.gather(*(say(database, *facts[n::4]) for n in range(4)))
        await eventually("all went out", lambda: owed(database), holds=lambda n: n == 0)
    sent = Counter(ids(await taken_out(amqp_url)))

    assert set(sent) == {fact.id for fact in facts}
    assert set(sent.values()) == {1}


async def test_a_relay_that_is_killed_between_confirm_and_commit_says_its_facts_again(
    database: Database, amqp_url: str
) -> None:
    await say(database, an_event("one"), an_event("two"))
    confirmed = asyncio.Event()

    class Dying(Publisher):
        """Confirms, and never lets its caller go on."""

        def __init__(self, inner: Publisher) -> None:
            self.inner = inner

        async def ping(self) -> None:
            await self.inner.ping()

        async def publish(self, envelope: Envelope, **more: Any) -> None:
            await self.inner.publish(envelope, **more)
            confirmed.set()
            await asyncio.Event().wait()

    async with open_publisher(amqp_url, name="t") as publisher:
        dying = asyncio.create_task(relay_once(database, Dying(publisher)))
        await asyncio.wait_for(confirmed.wait(), 10)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        assert await owed(database) == 2
        assert (await relay_once(database, publisher)).settled == 2
    assert set(ids(await taken_out(amqp_url))) == {"one", "two"}


async def test_facts_that_no_queue_takes_hold_nobody_not_even_whole_batches_of_them(
    database: Database, amqp_url: str
) -> None:
    await unbound(amqp_url, HEARD)
    unheard = [an_event() for _ in range(2 * BATCH + 7)]
    with capture_logs() as logs:
        async with (
            open_publisher(amqp_url, name="t") as publisher,
            relaying_with(database, publisher),
        ):
            await say(database, *unheard)
            await say(database, an_event("behind", kind="slot.failed"))

            async def left() -> int:
                return await owed(database)

            await eventually(
                "the one behind went out", left, holds=lambda n: n == len(unheard), within=10
            )
            assert ids(await taken_out(amqp_url)) == ["behind"]
            told = [line for line in logs if line["event"] == "relay.unroutable"]
            assert told
            assert "topology apply" in told[0]["mend"]

            await apply(amqp_url)
            await eventually("they all go in the end", left, holds=lambda n: n == 0, within=10)
    assert set(ids(await taken_out(amqp_url))) == {fact.id for fact in unheard}


async def test_a_fact_too_large_for_the_broker_takes_none_of_its_neighbours_along(
    database: Database, own_stack: Callable[..., Any]
) -> None:
    stack = own_stack()
    amqp_url = stack.environment()["AMQP_URL"]
    await apply(amqp_url)
    await asyncio.to_thread(
        stack.rabbitmq.ctl, "eval", "application:set_env(rabbit, max_message_size, 9999)."
    )
    small = [an_event(f"small-{number}") for number in range(20)]
    large = an_event("large", body=json.dumps("x" * 20_000).encode())
    await say(database, *small[:10], large, *small[10:])

    async with open_publisher(amqp_url, name="t") as publisher, relaying_with(database, publisher):
        await eventually(
            "only the large one is left", lambda: owed(database), holds=lambda n: n == 1, within=15
        )
    assert set(ids(await taken_out(amqp_url))) == {fact.id for fact in small}


async def test_a_fact_that_no_frame_can_carry_is_told_and_holds_nobody(
    database: Database, amqp_url: str
) -> None:
    await say(database, an_event("unfit", kind="t" * 300), an_event("fit"))
    with capture_logs() as logs:
        async with open_publisher(amqp_url, name="t") as publisher:
            done = await relay_once(database, publisher)
    assert (done.taken, done.settled) == (2, 1)
    assert ids(await taken_out(amqp_url)) == ["fit"]
    assert [line["event_id"] for line in logs if line["event"] == "relay.unfit"] == ["unfit"]


async def test_a_relay_outlives_a_broker_that_is_away(database: Database, amqp_url: str) -> None:
    async with (
        proxied(amqp_url) as (proxy, through),
        open_publisher(through, name="t") as publisher,
        relaying_with(database, publisher),
    ):
        await say(database, an_event("before"))
        await eventually("it went out", lambda: owed(database), holds=lambda n: n == 0)
        await proxy.cut()
        with capture_logs() as logs:
            await say(database, *(an_event(f"during-{number}") for number in range(5)))

            async def waited() -> bool:
                return any(line["event"] == "relay.waiting" for line in logs)

            await eventually("it waits", waited)
        assert await owed(database) == 5
        proxy.speak()
        await eventually("they went out", lambda: owed(database), holds=lambda n: n == 0)
    assert set(ids(await taken_out(amqp_url))) >= {f"during-{number}" for number in range(5)}


async def test_what_was_stated_last_goes_out_before_the_relay_ends(
    database: Database, amqp_url: str
) -> None:
    stop = asyncio.Event()
    stop.set()
    await say(database, an_event("last", kind=UNHEARD), an_event(str(uuid4())))
    async with open_publisher(amqp_url, name="t") as publisher:
        await relay(database, publisher)(stop)

    assert await owed(database) == 0


async def test_what_is_finished_while_a_service_leaves_is_published_before_its_end(
    database: Database, amqp_url: str
) -> None:
    stop, finished = asyncio.Event(), asyncio.Event()

    async def finishing(stop: asyncio.Event) -> None:
        await stop.wait()
        asyncio.get_running_loop().call_later(0.5, finished.set)
        await finished.wait()
        await say(database, an_event("in hand"))

    async with open_publisher(amqp_url, name="t") as publisher:
        stop.set()
        await run(finishing, relay(database, publisher), grace_s=10, stop=stop)

    assert await owed(database) == 0


async def unbound(amqp_url: str, routing_key: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(SLOTS.name, ensure=False)
        await queue.unbind("darkroom", routing_key=routing_key)


async def test_a_success_that_was_found_by_asking_goes_out_by_the_urgent_queue(
    database: Database, amqp_url: str
) -> None:
    success = "prediction.succeeded"
    by_webhook = told(an_event("heard", kind=success), FROM_WEBHOOK)
    by_asking = told(an_event("asked", kind=success), FROM_RECONCILER)
    failure = told(an_event("failed", kind="prediction.failed"), FROM_RECONCILER)
    async with open_publisher(amqp_url, name="t") as publisher:
        await say(database, by_webhook, by_asking, failure)
        await relay_once(database, publisher)

    assert ids(await taken_out(amqp_url, topology.STORAGE_URGENT.name)) == ["asked"]
    assert ids(await taken_out(amqp_url, topology.STORAGE_OUTPUTS.name)) == ["heard"]
    assert ids(await taken_out(amqp_url, topology.GENERATOR_VERDICTS.name)) == ["failed"]


def told(fact: Envelope, origin: str) -> Envelope:
    return replace(fact, extensions={ORIGIN: origin})
