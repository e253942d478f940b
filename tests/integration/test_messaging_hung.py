"""A handling that never ends is ended: its place is for the others, and its message is parked."""

import asyncio
from dataclasses import replace

from shared.envelope import Envelope
from shared.messaging.consumer import open_subscriptions
from shared.messaging.publisher import open_publisher
from tests.support.consuming import Seen, an_event, working
from tests.support.parking import Remembered
from tests.support.waiting import eventually

HANGS = "hangs"


class Sometimes(Seen):
    """Handles every message but one, whose handling never ends."""

    async def __call__(self, envelope: Envelope) -> None:
        if envelope.id == HANGS:
            await asyncio.Event().wait()
        await super().__call__(envelope)


async def test_a_handling_that_never_ends_makes_room_for_the_others(amqp_url: str) -> None:
    handled, parking = Sometimes(), Remembered()
    async with (
        open_publisher(amqp_url, name="test") as publisher,
        open_subscriptions(amqp_url, name="test") as subscriptions,
        working(subscriptions, handled, parking=parking, concurrency=1, within_s=0.3),
    ):
        await publisher.publish(an_event(HANGS), timeout=30)
        await publisher.publish(an_event("behind"), timeout=30)
        await eventually("the one behind it is handled", handled.count, within=60)

        (spot,) = parking.spots
        assert (spot.envelope.id, spot.attempts) == (HANGS, 1)
        assert spot.due_in is not None
        assert "did not end within 0.3 s" in spot.reason


async def test_what_hung_five_times_is_parked_dead(amqp_url: str) -> None:
    parking = Remembered()
    fifth = replace(an_event(HANGS), attempts=4)
    async with (
        open_publisher(amqp_url, name="test") as publisher,
        open_subscriptions(amqp_url, name="test") as subscriptions,
        working(subscriptions, Sometimes(), parking=parking, within_s=0.3, max_attempts=28),
    ):
        await publisher.publish(fifth, timeout=30)

        async def parked() -> bool:
            return bool(parking.spots)

        await eventually("it is parked", parked, within=60)

        (spot,) = parking.spots
        assert (spot.attempts, spot.due_in) == (5, None)
