"""The delivery rules on a real broker: what counts as published, who acknowledges, what comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aio_pika
import pytest

from shared.clock import utc_now
from shared.envelope import Envelope
from shared.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    Misconfigured,
    Permanent,
    Transient,
    Unroutable,
)
from shared.messaging import topology
from shared.messaging.apply import apply, arguments, check
from shared.messaging.consumer import open_subscriptions
from shared.messaging.link import Link, opened
from shared.messaging.publisher import open_publisher
from tests.support.consuming import (
    SLOTS,
    UNHEARD,
    Seen,
    an_event,
    depth,
    not_subscribed,
    published_by_a_stranger,
    working,
)
from tests.support.parking import Remembered
from tests.support.proxy import proxied
from tests.support.waiting import eventually

# ---- publishing


async def test_what_was_published_arrives_byte_for_byte_with_its_label(amqp_url: str) -> None:
    sent = replace(
        an_event(body=b'{"a": "\xed\x95\x9c"}  '),
        causation_id="cause",
        traceparent=f"00-{1:032x}-{2:016x}-01",
        extensions={"webhook-id": "msg_1"},
        attempts=3,
    )
    got: list[Envelope] = []

    async def handle(envelope: Envelope) -> None:
        got.append(envelope)

    async def seen() -> int:
        return len(got)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle),
    ):
        await publisher.publish(sent)
        await eventually("it arrives", seen)

    assert replace(got[0], extensions=dict(got[0].extensions)) == sent


async def test_a_fact_that_must_be_heard_and_is_not_never_counts_as_published(
    bare_amqp_url: str,
) -> None:
    await an_exchange_alone(bare_amqp_url)
    async with open_publisher(bare_amqp_url, name="t") as publisher:
        with pytest.raises(Unroutable, match="topology apply"):
            await publisher.publish(an_event())


async def test_of_two_in_flight_with_one_event_id_the_returned_one_is_told(amqp_url: str) -> None:
    # The client maps returns by message id: with one id for both, the lost one was called stored.
    one = an_event("the-same-event")
    async with open_publisher(amqp_url, name="t") as publisher:
        for _ in range(20):
            lost, stored = await asyncio.gather(
                publisher.publish(one, to_queue="no.such.queue"),
                publisher.publish(one),
                return_exceptions=True,
            )
            assert isinstance(lost, Unroutable)
            assert stored is None
    assert await depth(amqp_url) == 20


async def test_a_fact_that_nobody_must_hear_needs_no_queue(amqp_url: str) -> None:
    async with open_publisher(amqp_url, name="t") as publisher:
        await publisher.publish(an_event(kind=UNHEARD))


async def test_a_full_queue_is_told_as_refused(bare_amqp_url: str) -> None:
    connection = await aio_pika.connect(bare_amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(topology.EXCHANGE, "topic", durable=True)
        await channel.declare_queue(
            "small", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
    async with open_publisher(bare_amqp_url, name="t") as publisher:
        events = [publisher.publish(an_event(), to_queue="small") for _ in range(50)]
        outcomes = await asyncio.gather(*events, return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert refused
    assert all(isinstance(o, BrokerUnavailable) and "refused" in str(o) for o in refused)


async def test_while_the_broker_is_away_publishing_ends_with_a_name_and_in_time() -> None:
    async with open_publisher("amqp://a:b@127.0.0.1:9/none", name="t") as publisher:
        began = asyncio.get_running_loop().time()
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(an_event(), timeout=0.5)
        assert asyncio.get_running_loop().time() - began < 2


# ---- links that die


async def test_a_link_that_dies_silently_is_named_within_40_s_and_consumers_come_back(
    amqp_url: str,
) -> None:
    seen, loop = Seen(), asyncio.get_running_loop()
    async with (
        proxied(amqp_url) as (proxy, through),
        open_publisher(through, name="t") as publisher,
        open_subscriptions(through, name="t") as subscriptions,
        working(subscriptions, seen),
    ):
        await publisher.publish(an_event("before"))
        await eventually("it arrives", seen.count)

        proxy.fall_silent()
        silent_since = loop.time()
        # One that waits longer than the heartbeats: the client would cancel it without a name.
        with pytest.raises(BrokerUnavailable):
            await publisher.publish(an_event(), timeout=60)
        noticed_after = loop.time() - silent_since

        async def unsubscribed() -> bool:
            try:
                await subscriptions.ping()
            except BrokerUnavailable:
                return True
            return False

        await eventually("the consumer noticed too", unsubscribed, within=40 - noticed_after)
        proxy.speak()
        healed_at = loop.time()

        async def published() -> bool:
            try:
                await publisher.publish(an_event("after"), timeout=2)
            except BrokerUnavailable:
                return False
            return True

        await eventually("publishing works again", published, within=10)
        await eventually("and consuming", seen.count, holds=lambda n: n == 2, within=10)
        back_after = loop.time() - healed_at

    assert noticed_after <= 40
    assert back_after <= 10
    print(
        f"silent link named after {noticed_after:.1f} s, all back {back_after:.1f} s after healing"
    )


async def test_a_broker_that_is_killed_under_load_loses_nothing_and_consumers_return(
    own_stack: Callable[..., Any],
) -> None:
    stack = own_stack()
    amqp_url = stack.environment()["AMQP_URL"]
    await apply(amqp_url)
    seen, confirmed, enough = Seen(), set[str](), asyncio.Event()
    loop = asyncio.get_running_loop()

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, seen, concurrency=8),
    ):

        async def load() -> None:
            while not enough.is_set():
                event = an_event()
                while True:  # as the relay does: until it is confirmed
                    try:
                        await publisher.publish(event, timeout=3)
                        break
                    except BrokerUnavailable:
                        continue
                confirmed.add(event.id)

        loads = [asyncio.create_task(load()) for _ in range(8)]

        async def confirmed_count() -> int:
            return len(confirmed)

        await eventually("load flows", confirmed_count, holds=lambda n: n > 200)
        await asyncio.to_thread(stack.rabbitmq.kill)
        await asyncio.to_thread(stack.rabbitmq.start)
        up_at, seen_at_start = loop.time(), await seen.count()
        await eventually(
            "consumers are back", seen.count, holds=lambda n: n > seen_at_start, within=10
        )
        back_after = loop.time() - up_at
        before = len(confirmed)
        await eventually("load flows again", confirmed_count, holds=lambda n: n > before + 200)
        enough.set()
        await asyncio.gather(*loads)

        async def missing() -> set[str]:
            return confirmed - set(seen.ids)

        await eventually("every confirmed event arrives", missing, holds=lambda m: not m, within=30)
    print(f"{len(confirmed)} confirmed, 0 lost, consumers back after {back_after:.1f} s")


async def test_a_memory_alarm_stops_publishing_by_a_deadline_and_not_the_acknowledgements(
    own_stack: Callable[..., Any],
) -> None:
    stack = own_stack()
    amqp_url = stack.environment()["AMQP_URL"]
    await apply(amqp_url)
    go_on, handled = asyncio.Event(), Seen()

    async def handle(envelope: Envelope) -> None:
        await go_on.wait()
        await handled(envelope)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        for _ in range(5):
            await publisher.publish(an_event())
        async with working(subscriptions, handle, concurrency=5):
            await asyncio.to_thread(stack.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.0000001")

            async def blocked() -> bool:
                try:
                    await publisher.publish(an_event("late"), timeout=0.5)
                except BrokerUnavailable:
                    return True
                return False

            await eventually("publishing is blocked", blocked, within=15)
            go_on.set()
            await eventually("all five are handled", handled.count, holds=lambda n: n >= 5)
            # Leaving drains and closes: what was not acknowledged would be delivered again.
        await asyncio.to_thread(stack.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")
    redelivered = []

    async def look(envelope: Envelope) -> None:
        redelivered.append(envelope.id)

    async with open_subscriptions(amqp_url, name="t") as subscriptions:
        async with working(subscriptions, look):
            pass
    assert not set(redelivered) & set(handled.ids) - {"late"}


async def test_a_queue_that_is_deleted_under_its_consumer_is_consumed_again_when_it_is_back(
    amqp_url: str,
) -> None:
    seen = Seen()
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, seen),
    ):
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            channel = await connection.channel()
            await channel.queue_delete(SLOTS.name)
        await apply(amqp_url)
        await publisher.publish(an_event("after"))

        await eventually("it is consumed", seen.count, within=10)


# ---- handling


async def test_a_message_is_acknowledged_after_its_handler_and_not_before(amqp_url: str) -> None:
    started = asyncio.Event()

    async def hang(_envelope: Envelope) -> None:
        started.set()
        await asyncio.Event().wait()

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        await publisher.publish(an_event("precious"))
        stop = asyncio.Event()
        worker = subscriptions.worker(SLOTS, hang, parking=Remembered(), concurrency=1)
        task = asyncio.create_task(worker(stop))
        await asyncio.wait_for(started.wait(), 20)
        task.cancel()  # as when the drain's time is over
        await asyncio.gather(task, return_exceptions=True)
    seen = Seen()
    async with (
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, seen),
    ):
        await eventually("it is delivered again", seen.count)
    assert seen.ids == ["precious"]


async def test_a_drain_finishes_what_is_prefetched_and_gives_nothing_back(amqp_url: str) -> None:
    begun, go_on, handled = asyncio.Event(), asyncio.Event(), Seen()

    async def handle(envelope: Envelope) -> None:
        begun.set()
        await go_on.wait()
        await handled(envelope)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        for _ in range(40):
            await publisher.publish(an_event())
        async with working(subscriptions, handle, concurrency=2) as stop:
            await asyncio.wait_for(begun.wait(), 20)
            stop.set()
            await eventually("it takes nothing more", lambda: not_subscribed(subscriptions))
            go_on.set()
    prefetched = len(handled.ids)
    again: list[bool] = []
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(SLOTS.name, ensure=False)
        while message := await queue.get(fail=False, no_ack=True):
            again.append(bool(message.redelivered))
    assert prefetched + len(again) == 40
    assert prefetched >= 2
    assert not any(again)


@pytest.mark.parametrize(
    ("error", "dead"),
    [(Permanent("no"), True), (Transient("later"), False), (RuntimeError("a bug"), False)],
)
async def test_what_cannot_be_handled_is_parked_with_its_reason_and_acknowledged(
    amqp_url: str, error: Exception, dead: bool
) -> None:
    parking = Remembered()

    async def handle(_envelope: Envelope) -> None:
        raise error

    async def parked() -> int:
        return len(parking.spots)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle, parking=parking),
    ):
        await publisher.publish(an_event())
        await eventually("it is parked", parked)
    [spot] = parking.spots
    assert (spot.due_in is None) is dead
    assert spot.reason == str(error)
    assert spot.attempts == 1
    assert await depth(amqp_url) == 0


async def test_attempts_that_are_used_up_end_among_the_dead(amqp_url: str) -> None:
    parking = Remembered()

    async def handle(_envelope: Envelope) -> None:
        raise Transient("still not")

    async def parked() -> int:
        return len(parking.spots)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle, parking=parking, max_attempts=4),
    ):
        await publisher.publish(replace(an_event(), attempts=3))
        await eventually("it is parked", parked)
    assert parking.spots[0].due_in is None
    assert parking.spots[0].attempts == 4


async def test_what_expires_is_due_again_before_that_whatever_the_other_side_asks(
    amqp_url: str,
) -> None:
    parking = Remembered()
    too_late = utc_now() + timedelta(minutes=10)

    async def handle(_envelope: Envelope) -> None:
        raise Transient("later", retry_after=timedelta(hours=1), expires_at=too_late)

    async def parked() -> int:
        return len(parking.spots)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle, parking=parking),
    ):
        await publisher.publish(an_event())
        await eventually("it is parked", parked)
    [spot] = parking.spots
    assert spot.expires_at == too_late
    assert spot.due_in is not None
    assert spot.due_in <= timedelta(minutes=5)


async def test_while_postgres_is_away_messages_are_held_and_nothing_is_parked(
    amqp_url: str,
) -> None:
    parking, tries, seen = Remembered(), [0], Seen()

    async def handle(envelope: Envelope) -> None:
        tries[0] += 1
        if tries[0] < 4:
            raise DatabaseUnavailable("away")
        await seen(envelope)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle, parking=parking, concurrency=1),
    ):
        await publisher.publish(an_event("held"))

        async def holding() -> bool:
            try:
                await subscriptions.ping()
            except DatabaseUnavailable:
                return True
            return False

        await eventually("readiness says so", holding, every=0.01)
        await eventually("it is handled in the end", seen.count)
        await subscriptions.ping()
    assert parking.spots == []
    assert tries[0] == 4


async def test_a_message_that_keeps_killing_its_process_is_parked_and_innocents_pass(
    amqp_url: str,
) -> None:
    parking, seen = Remembered(), Seen()
    parking.starts["killer"] = 2  # started alone twice, and never came to an end
    async with open_publisher(amqp_url, name="t") as publisher:
        for name in ("killer", "innocent"):
            await publisher.publish(an_event(name))
        await returned_times(amqp_url, 3)
        async with (
            open_subscriptions(amqp_url, name="t") as subscriptions,
            working(subscriptions, seen, parking=parking),
        ):
            await eventually("the innocent is handled", seen.count)

            async def parked() -> int:
                return len(parking.spots)

            await eventually("the killer is parked", parked)
    assert [spot.envelope.id for spot in parking.spots] == ["killer"]
    assert parking.spots[0].due_in is None
    assert seen.ids == ["innocent"]


async def test_what_no_one_can_name_is_parked_as_it_came(amqp_url: str) -> None:
    parking = Remembered()
    # Our own client gives every message an id; a stranger's need not.
    await asyncio.to_thread(published_by_a_stranger, amqp_url, b"\xff\x00junk")

    async def parked() -> int:
        return len(parking.spots)

    async with (
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, Seen(), parking=parking),
    ):
        await eventually("it is parked", parked)
    [spot] = parking.spots
    assert spot.envelope.body == b"\xff\x00junk"
    assert "nothing names this event" in spot.reason
    assert spot.due_in is None


async def test_one_bad_message_in_a_batch_is_found_and_the_others_are_not_held(
    amqp_url: str,
) -> None:
    parking, seen = Remembered(), Seen()

    async def one(envelope: Envelope) -> None:
        if envelope.id == "bad":
            raise Permanent("bad")
        await seen(envelope)

    async def many(envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            if envelope.id == "bad":
                raise Permanent("bad")
        for envelope in envelopes:
            await seen(envelope)

    async with open_publisher(amqp_url, name="t") as publisher:
        for name in ("a", "b", "bad", "c", "d"):
            await publisher.publish(an_event(name))
        async with (
            open_subscriptions(amqp_url, name="t") as subscriptions,
            working(subscriptions, one, parking=parking, concurrency=1, handle_many=many, batch=10),
        ):
            await eventually("the others are handled", seen.count, holds=lambda n: n == 4)

            async def parked() -> int:
                return len(parking.spots)

            await eventually("the bad one is parked", parked)
    assert [spot.envelope.id for spot in parking.spots] == ["bad"]


async def test_the_urgent_queue_is_served_first(amqp_url: str) -> None:
    seen = Seen()
    async with open_publisher(amqp_url, name="t") as publisher:
        for number in range(10):
            await publisher.publish(an_event(f"ordinary-{number}", kind="prediction.succeeded"))
        for number in range(5):
            await publisher.publish(
                an_event(f"urgent-{number}"), to_queue=topology.STORAGE_URGENT.name
            )
        async with (
            open_subscriptions(amqp_url, name="t") as subscriptions,
            working(
                subscriptions,
                seen,
                queue=(topology.STORAGE_URGENT, topology.STORAGE_OUTPUTS),
                concurrency=1,
            ),
        ):
            await eventually("all are handled", seen.count, holds=lambda n: n == 15)
    last_urgent = max(i for i, name in enumerate(seen.ids) if name.startswith("urgent"))
    # Subscribed first and served first; what was prefetched beside it may slip in between.
    assert last_urgent <= 7


# ---- the topology


async def test_applying_the_topology_twice_does_nothing_the_second_time(bare_amqp_url: str) -> None:
    first, second = await apply(bare_amqp_url), await apply(bare_amqp_url)

    assert len(first) == len(topology.QUEUES) + 1
    assert second == []
    assert await check(bare_amqp_url) == []


async def test_each_difference_is_said_in_one_line_and_nothing_is_changed(
    bare_amqp_url: str,
) -> None:
    connection = await aio_pika.connect(bare_amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(topology.EXCHANGE, "fanout", durable=True)
        await channel.declare_queue(
            SLOTS.name, durable=True, arguments=arguments(SLOTS) | {"x-delivery-limit": 5}
        )
        await channel.declare_queue(topology.REPORT_JOBS.name, durable=True)  # a classic one
    with pytest.raises(Misconfigured) as told:
        await apply(bare_amqp_url)

    exchange, slots, report = str(told.value).splitlines()
    assert exchange.startswith("exchange darkroom: type is 'fanout', the table says 'topic'")
    assert slots.startswith(f"queue {SLOTS.name}: x-delivery-limit is '5', the table says '20'")
    assert report.startswith(f"queue {topology.REPORT_JOBS.name}: x-")
    assert all("apply again" in line for line in (exchange, slots, report))
    missing = [line for line in await check(bare_amqp_url) if "missing" in line]
    assert len(missing) == len(topology.QUEUES) - 2


async def test_applying_while_the_broker_is_away_is_told_without_the_password() -> None:
    with pytest.raises(BrokerUnavailable) as told:
        await apply("amqp://user:the-password@127.0.0.1:9/none")

    assert "the-password" not in str(told.value)


async def an_exchange_alone(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(topology.EXCHANGE, "topic", durable=True)


async def returned_times(amqp_url: str, times: int) -> None:
    """Take everything and give it back, so often; each return counts as a delivery."""
    for _ in range(times):
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue(SLOTS.name, ensure=False)
            taken = [message async for message in _all_of(queue)]
            for message in taken:
                await message.nack(requeue=True)


async def _all_of(
    queue: aio_pika.abc.AbstractQueue,
) -> AsyncIterator[aio_pika.abc.AbstractIncomingMessage]:
    while message := await queue.get(fail=False):
        yield message


async def test_an_attempt_to_connect_that_never_ends_is_left_behind_and_another_one_is_made(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []
    released = asyncio.Event()
    connect = aio_pika.connect

    async def deaf(*args: Any, **more: Any) -> Any:
        """The first attempt hears no cancel, as the client's own does in the middle of a close."""
        attempts.append("begun")
        if len(attempts) > 1:
            return await connect(*args, **more)
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()
        return await connect(*args, **more)

    monkeypatch.setattr("shared.messaging.link.aio_pika.connect", deaf)
    monkeypatch.setattr("shared.messaging.link.CONNECT_TIMEOUT_S", 2.0)
    async with opened(amqp_url, name="t") as link:
        try:
            async with asyncio.timeout(20):
                await link.connection()
            assert len(attempts) >= 2
        finally:
            # It comes to its end after all, and the connection that nobody waits for is closed.
            released.set()
        await eventually("what was left behind is gone", left_behind(link), holds=lambda n: n == 0)
        assert link.is_open


async def test_a_link_is_opened_again_after_a_balancer_ended_each_attempt_at_once(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_connection = asyncio.open_connection
    async with proxied(amqp_url) as (proxy, url), opened(url, name="t") as link:

        async def busy(*args: Any, **more: Any) -> Any:
            """A process that has much to do looks at its link only when the end is there already."""
            reader, writer = await open_connection(*args, **more)

            async def ended() -> bool:
                return reader.at_eof()

            if proxy.hangs_up:
                await eventually("the end has arrived", ended, holds=bool)
            return reader, writer

        async def hung_up() -> int:
            return proxy.hung_up

        await asyncio.wait_for(link.connection(), 20)
        monkeypatch.setattr("aiormq.connection.asyncio.open_connection", busy)
        proxy.hangs_up = True
        await proxy.close()
        await eventually("attempts have met such an end", hung_up, holds=lambda n: n >= 3)
        assert not link.is_open
        proxy.hangs_up = False
        await asyncio.wait_for(link.connection(), 20)


def left_behind(link: Link) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return len(link._left_behind) + len(link._closing)

    return count
