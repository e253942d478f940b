"""What cannot be written down is held: nothing acknowledged, nothing parked, and readiness says so."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.clock import utc_now
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, DatabaseUnavailable, Permanent, Transient
from shared.messaging.consumer import Subscriptions, open_subscriptions
from shared.messaging.publisher import open_publisher
from tests.support.consuming import SLOTS, Seen, an_event, depth, working
from tests.support.parking import Remembered
from tests.support.proxy import proxied
from tests.support.waiting import eventually


async def holds(subscriptions: Subscriptions) -> bool:
    try:
        await subscriptions.ping()
    except DatabaseUnavailable:
        return True
    except BrokerUnavailable:
        return False
    return False


@pytest.mark.parametrize(
    "fault", [RuntimeError("a bug"), Permanent("refused"), Transient("busy"), OSError("gone")]
)
async def test_what_cannot_be_parked_is_held_until_it_can_and_the_others_are_handled(
    amqp_url: str, fault: Exception
) -> None:
    parking, seen = Remembered(fails_with=fault), Seen()

    async def handle(envelope: Envelope) -> None:
        if envelope.id == "unlucky":
            raise Transient("later")
        await seen(envelope)

    async def parked() -> int:
        return len(parking.spots)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle, parking=parking, concurrency=2),
    ):
        await publisher.publish(an_event("unlucky"))
        await eventually("it is held", lambda: holds(subscriptions), every=0.01)
        await publisher.publish(an_event("lucky"))
        await eventually("the other is handled", seen.count)
        assert await holds(subscriptions)
        parking.fails_with = None
        await eventually("it is parked in the end", parked)
        await eventually("and held no more", lambda: holds(subscriptions), holds=lambda h: not h)
    assert [spot.envelope.id for spot in parking.spots] == ["unlucky"]
    assert await depth(amqp_url) == 0


async def test_what_is_held_when_the_worker_is_stopped_hard_is_delivered_again(
    amqp_url: str,
) -> None:
    async def handle(_envelope: Envelope) -> None:
        raise DatabaseUnavailable("away")

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        await publisher.publish(an_event("held"))
        worker = subscriptions.worker(SLOTS, handle, parking=Remembered(), concurrency=1)
        task = asyncio.create_task(worker(asyncio.Event()))
        await eventually("it is held", lambda: holds(subscriptions), every=0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    seen = Seen()
    async with (
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, seen),
    ):
        await eventually("it comes again", seen.count)
    assert seen.ids == ["held"]


async def test_a_hold_ends_with_the_link_that_its_message_came_on(amqp_url: str) -> None:
    # Somebody else has the message now: a worker with nothing in hand is not one that holds.
    async def handle(_envelope: Envelope) -> None:
        raise DatabaseUnavailable("away")

    seen = Seen()
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        proxied(amqp_url) as (proxy, through),
        open_subscriptions(through, name="t") as subscriptions,
        working(subscriptions, handle, concurrency=1),
    ):
        await publisher.publish(an_event("held"))
        await eventually("it is held", lambda: holds(subscriptions), every=0.01)
        async with open_subscriptions(amqp_url, name="other") as others, working(others, seen):
            await proxy.cut()
            await eventually("somebody else has it", seen.count)

            async def only_unsubscribed() -> bool:
                try:
                    await subscriptions.ping()
                except DatabaseUnavailable:
                    return False
                except BrokerUnavailable:
                    return True
                return True

            await eventually("nothing is held here", only_unsubscribed, within=15)


async def test_a_batch_that_meets_an_absent_database_is_held_and_handled_as_a_batch(
    amqp_url: str,
) -> None:
    parking, alone, sizes, away = Remembered(), Seen(), list[int](), [3]

    async def many(envelopes: Sequence[Envelope]) -> None:
        if away[0]:
            away[0] -= 1
            raise DatabaseUnavailable("away")
        sizes.append(len(envelopes))

    async def handled() -> int:
        return sum(sizes)

    async with open_publisher(amqp_url, name="t") as publisher:
        await asyncio.gather(*(publisher.publish(an_event()) for _ in range(8)))
        async with (
            open_subscriptions(amqp_url, name="t") as subscriptions,
            working(
                subscriptions, alone, parking=parking, concurrency=1, handle_many=many, batch=8
            ),
        ):
            await eventually("all are handled", handled, holds=lambda n: n + len(alone.ids) == 8)
    assert max(sizes) > 1
    assert len(alone.ids) <= 1  # the first may have come before the others
    assert parking.spots == []
    assert away == [0]


async def test_a_handler_is_told_since_when_its_delivery_was_held(amqp_url: str) -> None:
    told: list[Envelope] = []

    async def handle(envelope: Envelope) -> None:
        told.append(envelope)
        if len(told) < 3:
            raise DatabaseUnavailable("away")

    async def tries() -> int:
        return len(told)

    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle),
    ):
        before = utc_now()
        await publisher.publish(an_event("held"))
        await eventually("it is handled", tries, holds=lambda n: n == 3)
    first, second, third = (envelope.held_since for envelope in told)
    assert first is None
    assert second is not None
    assert before < second < utc_now()
    assert second == third


@pytest.mark.parametrize("together", [False, True])
async def test_a_cancellation_that_nobody_asked_for_is_a_bad_day_and_not_the_end(
    amqp_url: str, together: bool
) -> None:
    parking, seen = Remembered(), Seen()

    async def handle(envelope: Envelope) -> None:
        if envelope.id.startswith("cancelled"):
            raise asyncio.CancelledError
        await seen(envelope)

    async def many(envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            await handle(envelope)

    async def parked() -> int:
        return len(parking.spots)

    async with open_publisher(amqp_url, name="t") as publisher:
        for name in ("cancelled", "a", "b"):
            await publisher.publish(an_event(name))
        async with (
            open_subscriptions(amqp_url, name="t") as subscriptions,
            working(
                subscriptions,
                handle,
                parking=parking,
                concurrency=1,
                handle_many=many if together else None,
                batch=5 if together else 1,
            ),
        ):
            await eventually("it is parked", parked)
            await eventually("the others are handled", seen.count, holds=lambda n: n == 2)
    assert parking.spots[0].due_in is not None
    assert "nobody asked" in parking.spots[0].reason
