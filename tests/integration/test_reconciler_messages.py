"""The reconciler brings parked messages back to their queues, and keeps what the broker gave up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
import pytest_asyncio

from services.reconciler.bring_back import BATCH, LEASE, NEXT_TRY, BringBack
from services.reconciler.dead_letters import DrainDeadLetters
from shared.clock import utc_now
from shared.db import parked
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging import topology
from shared.messaging.codec import DIED_IN, DIED_OF, from_message
from shared.messaging.consumer import open_subscriptions
from shared.messaging.publisher import Publisher, open_publisher
from tests.support.waiting import eventually

QUEUE = topology.REPORT_JOBS.name
NOW = timedelta(0)


def an_event(event_id: str = "e1", **more: object) -> Envelope:
    return Envelope(
        id=event_id,
        type="job.completed",
        source="test",
        time=utc_now(),
        body=b"{}",
        **more,  # type: ignore[arg-type]
    )


@pytest_asyncio.fixture
async def publisher(amqp_url: str) -> AsyncIterator[Publisher]:
    async with open_publisher(amqp_url, name="test") as opened:
        yield opened


@pytest_asyncio.fixture
async def channel(amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield await connection.channel()


async def lies_in(channel: aio_pika.abc.AbstractChannel, queue: str) -> list[Envelope]:
    """Take everything that lies in a queue."""
    found = []
    source = await channel.get_queue(queue, ensure=False)
    while (message := await source.get(fail=False)) is not None:
        found.append(from_message(message))
        await message.ack()
    return found


async def park(
    database: Database, event: Envelope, *, queue: str = QUEUE, expires_at: datetime | None = None
) -> None:
    await Parked(database).park(
        queue, event, reason="busy", trace=None, attempts=2, due_in=NOW, expires_at=expires_at
    )


async def parked_messages(database: Database) -> list[parked.ParkedMessage]:
    async with database.connection() as db:
        return await parked.listing(db, limit=100)


async def test_a_parked_message_comes_back_to_its_queue_with_what_it_cost_so_far(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    await park(database, an_event(extensions={"darkroom-slot": "x"}))

    counts = await BringBack(database=database, publish=publisher.publish).run_once()

    (back,) = await lies_in(channel, QUEUE)
    assert counts == {"brought_back": 1}
    assert (back.id, back.attempts, back.extensions["darkroom-slot"]) == ("e1", 2, "x")
    assert await parked_messages(database) == []


async def test_two_reconcilers_bring_each_message_back_once(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    for number in range(60):
        await park(database, an_event(f"e{number}"))
    one = BringBack(database=database, publish=publisher.publish)
    other = BringBack(database=database, publish=publisher.publish)

    counts = await asyncio.gather(one.run_once(), other.run_once())

    assert sum(count["brought_back"] for count in counts) == 60
    back = [event.id for event in await lies_in(channel, QUEUE)]
    assert sorted(back) == sorted(f"e{number}" for number in range(60))


async def test_files_on_their_way_out_come_back_by_the_urgent_queue_soonest_expiry_first(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    outputs = topology.STORAGE_OUTPUTS.name
    for event_id, minute in (("late", 50), ("soon", 10), ("middle", 30)):
        expires_at = datetime(2026, 6, 1, 12, minute, tzinfo=UTC)
        await park(database, an_event(event_id), queue=outputs, expires_at=expires_at)

    await BringBack(database=database, publish=publisher.publish).run_once()

    urgent = await lies_in(channel, topology.STORAGE_URGENT.name)
    assert [event.id for event in urgent] == ["soon", "middle", "late"]
    assert await lies_in(channel, outputs) == []


async def test_a_message_that_is_parked_anew_while_it_is_brought_back_stays(
    database: Database, publisher: Publisher
) -> None:
    await park(database, an_event())

    async def handled_badly_at_once(envelope: Envelope, *, to_queue: str | None = None) -> None:
        await publisher.publish(envelope, to_queue=to_queue)
        await Parked(database).park(
            QUEUE, envelope, reason="busy", trace=None, attempts=3, due_in=timedelta(hours=1)
        )

    counts = await BringBack(database=database, publish=handled_badly_at_once).run_once()

    assert counts == {"brought_back": 0}
    (still,) = await parked_messages(database)
    assert (still.attempts, still.generation) == (3, 2)


async def test_a_message_that_the_broker_did_not_confirm_stays_parked(
    database: Database,
) -> None:
    await park(database, an_event())

    async def refuse(_envelope: Envelope, *, to_queue: str | None = None) -> None:
        raise BrokerUnavailable("no confirm")

    counts = await BringBack(database=database, publish=refuse).run_once()

    assert counts == {"brought_back": 0}
    assert len(await parked_messages(database)) == 1


async def test_a_message_whose_queue_is_gone_holds_nobody_else(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    soon = datetime(2026, 6, 1, 12, tzinfo=UTC)  # so it is claimed first
    await park(database, an_event("lost"), queue="darkroom.no.such", expires_at=soon)
    await park(database, an_event("other"))

    counts = await BringBack(database=database, publish=publisher.publish).run_once()

    assert counts == {"brought_back": 1}
    assert [event.id for event in await lies_in(channel, QUEUE)] == ["other"]
    (still,) = await parked_messages(database)
    assert (still.event_id, still.is_dead) == ("lost", False)


async def test_a_message_that_cannot_travel_waits_for_an_operator_and_holds_nobody(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    soon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    await park(database, an_event("unfit"), queue="q" * 300, expires_at=soon)
    await park(database, an_event("other"))

    counts = await BringBack(database=database, publish=publisher.publish).run_once()

    assert counts == {"brought_back": 1}
    (dead,) = await parked_messages(database)
    assert dead.is_dead
    assert "cannot be published" in dead.reason


async def test_a_queue_that_takes_nothing_holds_only_its_own_messages(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    full, tried = topology.AGGREGATOR_SLOTS.name, list[str]()
    soon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    for number in range(150):  # more than are claimed at once
        await park(database, an_event(f"f{number}"), queue=full, expires_at=soon)
    await park(database, an_event("other"))

    async def publish(envelope: Envelope, *, to_queue: str | None = None) -> None:
        tried.append(to_queue or "")
        if to_queue == full:
            raise BrokerUnavailable("the broker refused the message (its queue is full)")
        await publisher.publish(envelope, to_queue=to_queue)

    counts = await BringBack(database=database, publish=publish).run_once()

    assert counts == {"brought_back": 1}
    assert tried.count(full) == 1
    assert [event.id for event in await lies_in(channel, QUEUE)] == ["other"]


async def test_what_was_claimed_and_not_tried_is_due_again_before_its_lease_is_over(
    database: Database,
) -> None:
    for number in range(5):
        await park(database, an_event(f"e{number}"), queue=f"q{number % 2}")

    async def refuse(_envelope: Envelope, *, to_queue: str | None = None) -> None:
        raise BrokerUnavailable("no confirm")

    await BringBack(database=database, publish=refuse).run_once()

    async with database.connection() as tx:
        soon = await tx.fetchval(
            "SELECT count(*) FROM parked_message WHERE due_at < now() + $1::interval",
            NEXT_TRY + timedelta(seconds=2),
        )
    assert soon == 3  # two were tried, one for each queue: whether they arrived is unknown
    assert timedelta(seconds=30) > LEASE


async def test_more_than_one_batch_is_brought_back_in_one_round(
    database: Database, publisher: Publisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    for number in range(BATCH + 20):
        await park(database, an_event(f"e{number}"))

    counts = await BringBack(database=database, publish=publisher.publish).run_once()

    assert counts == {"brought_back": BATCH + 20}


async def test_a_dead_letter_does_not_kill_the_copy_that_waits_for_its_time(
    database: Database,
) -> None:
    await park(database, an_event())
    died = an_event(extensions={DIED_IN: QUEUE, DIED_OF: "delivery_limit"})

    await DrainDeadLetters(database=database).hear(died)

    (still,) = await parked_messages(database)
    assert (still.is_dead, still.reason) == (False, "busy")


async def test_a_dead_message_is_left_to_its_operator(
    database: Database, publisher: Publisher
) -> None:
    await Parked(database).park(
        QUEUE, an_event(), reason="refused", trace=None, attempts=1, due_in=None
    )

    counts = await BringBack(database=database, publish=publisher.publish).run_once()

    assert counts == {"brought_back": 0}


@pytest.mark.parametrize("readable", [True, False])
async def test_what_the_broker_gave_up_is_kept_as_dead_with_its_story(
    database: Database,
    amqp_url: str,
    publisher: Publisher,
    channel: aio_pika.abc.AbstractChannel,
    readable: bool,
) -> None:
    if readable:
        await publisher.publish(an_event(), to_queue=QUEUE)
    else:
        await channel.default_exchange.publish(aio_pika.Message(b"junk"), routing_key=QUEUE)

    await _reject(amqp_url, QUEUE)
    stop = asyncio.Event()
    async with open_subscriptions(amqp_url, name="test") as subscriptions:
        worker = subscriptions.worker(
            topology.DEAD_LETTERS,
            DrainDeadLetters(database=database).hear,
            parking=Parked(database),
            concurrency=1,
        )
        draining = asyncio.ensure_future(worker(stop))
        (dead,) = await eventually("it is kept", lambda: parked_messages(database))
        stop.set()
        await draining

    assert dead.is_dead
    if readable:
        assert (dead.queue, dead.event_id) == (QUEUE, "e1")
        assert dead.reason == "the broker gave it up: rejected"
        assert "darkroom-died-in" not in dead.headers
    else:
        assert dead.body == b"junk"


async def _reject(amqp_url: str, queue: str) -> None:
    """Reject what lies in ``queue``, as no consumer of ours would."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        source = await channel.get_queue(queue, ensure=False)

        async def look() -> aio_pika.abc.AbstractIncomingMessage | None:
            return await source.get(fail=False)

        message = await eventually("the message lies there again", look)
        assert message is not None
        await message.reject(requeue=False)
