"""Too many dead in a row stop a consumer, before the whole river is in the swamp."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from prometheus_client import REGISTRY

from shared.domain.breaker import MOST_DEAD_IN_A_ROW
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Permanent, Transient
from shared.messaging.consumer import Subscriptions, TooManyDead, open_subscriptions
from shared.messaging.publisher import Publisher, open_publisher
from tests.support.consuming import SLOTS, Seen, an_event, depth, working
from tests.support.parking import Remembered
from tests.support.waiting import eventually

RIVER = 60


class Release:
    """A handler of a bad release, until ``mended``."""

    def __init__(self) -> None:
        self.mended = False
        self.seen = Seen()

    async def __call__(self, envelope: Envelope) -> None:
        if not self.mended:
            raise Permanent("cannot be read")
        await self.seen(envelope)

    async def many(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            await self(envelope)


@dataclass
class Bank:
    """Where tests stand: a broker, and what a worker parked."""

    amqp_url: str
    publisher: Publisher
    subscriptions: Subscriptions
    parking: Remembered

    async def pour(self, count: int = RIVER, *, source: str = "darkroom/test") -> None:
        await asyncio.gather(
            *(self.publisher.publish(replace(an_event(), source=source)) for _ in range(count))
        )

    async def is_stopped(self) -> bool:
        try:
            await self.subscriptions.ping()
        except TooManyDead:
            return True
        except BrokerUnavailable:
            return False
        return False

    async def is_ready(self) -> bool:
        try:
            await self.subscriptions.ping()
        except (TooManyDead, BrokerUnavailable):
            return False
        return True

    async def parked(self) -> int:
        return len(self.parking.spots)

    async def lost(self) -> int:
        """How many lie neither in the queue nor among the parked."""
        return RIVER - await depth(self.amqp_url) - len(self.parking.spots)


def told_to_be_stopped() -> float | None:
    return REGISTRY.get_sample_value("darkroom_consumer_stopped", {"queue": SLOTS.name})


@pytest.fixture
async def bank(amqp_url: str) -> AsyncIterator[Bank]:
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        yield Bank(amqp_url, publisher, subscriptions, Remembered())


@asynccontextmanager
async def stopped(bank: Bank, release: Release, *, together: bool) -> AsyncIterator[None]:
    """A worker of a bad release that has stopped itself before a river that is still there."""
    await bank.pour()
    async with working(
        bank.subscriptions,
        release,
        parking=bank.parking,
        concurrency=1 if together else 4,
        handle_many=release.many if together else None,
        batch=RIVER if together else 1,
    ):
        await eventually("it stops itself", bank.is_stopped, every=0.01)
        yield


@pytest.mark.parametrize("together", [False, True])
async def test_a_consumer_that_only_kills_stops_and_leaves_the_river_where_it_is(
    bank: Bank, together: bool
) -> None:
    async with stopped(bank, Release(), together=together):
        await eventually("the rest is given back", bank.lost, holds=lambda n: n == 0, within=5)

        assert MOST_DEAD_IN_A_ROW <= await bank.parked() <= MOST_DEAD_IN_A_ROW + 5
        assert told_to_be_stopped() == 1
        with pytest.raises(TooManyDead, match=f"parked list --dead --queue {SLOTS.name}"):
            await bank.subscriptions.ping()


async def test_it_goes_on_by_itself_once_a_message_goes_well(bank: Bank) -> None:
    release = Release()
    async with stopped(bank, release, together=False):
        release.mended = True
        await eventually("it is ready again", bank.is_ready)
        dead = await bank.parked()
        await eventually(
            "it handles the rest", release.seen.count, holds=lambda n: n == RIVER - dead
        )

        assert told_to_be_stopped() == 0
    assert await bank.lost() == len(release.seen.ids) == RIVER - dead


async def test_each_try_costs_one_message_and_no_more(bank: Bank) -> None:
    async with stopped(bank, Release(), together=False):
        await eventually("the rest is given back", bank.lost, holds=lambda n: n == 0, within=5)
        before = await bank.parked()
        await eventually("one is tried", bank.parked, holds=lambda n: n > before, within=10)

        assert await bank.parked() == before + 1
        assert await bank.is_stopped()


async def test_another_replica_takes_what_a_stopped_one_gave_back(bank: Bank) -> None:
    good = Seen()
    async with stopped(bank, Release(), together=False):
        async with (
            open_subscriptions(bank.amqp_url, name="other") as others,
            working(others, good, parking=bank.parking),
        ):

            async def all_of_them() -> int:
                return len(good.ids) + len(bank.parking.spots)

            await eventually("nothing is left", all_of_them, holds=lambda n: n == RIVER)
    assert len(good.ids) >= RIVER - MOST_DEAD_IN_A_ROW - 6


async def test_the_junk_of_a_stranger_stops_nobody(bank: Bank) -> None:
    await bank.pour(source="another team")
    async with working(bank.subscriptions, Release(), parking=bank.parking):
        await eventually("all of it is parked", bank.parked, holds=lambda n: n == RIVER)

        assert await bank.is_ready()


async def test_what_is_to_be_tried_again_stops_nobody(bank: Bank) -> None:
    async def away(_envelope: Envelope) -> None:
        raise Transient("away")

    await bank.pour()
    async with working(bank.subscriptions, away, parking=bank.parking):
        await eventually("all of it is parked", bank.parked, holds=lambda n: n == RIVER)

        assert await bank.is_ready()


async def test_a_stopped_consumer_ends_at_once_when_it_is_told_to(bank: Bank) -> None:
    async with stopped(bank, Release(), together=False):
        pass  # the end of the worker is awaited here
    assert await bank.lost() == 0
