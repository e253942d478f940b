"""The order in which a worker leaves."""

import asyncio
from typing import cast

from aiormq.abc import AbstractChannel as UnderlayChannel

from shared.envelope import Envelope
from shared.messaging import topology
from shared.messaging.consumer import QueueWorker, Subscriptions
from shared.messaging.intake import Delivery
from shared.messaging.link import Link
from tests.support.parking import Remembered


class Underlay:
    """Notes whether anything may be acknowledged while a consumer is being cancelled."""

    def __init__(self) -> None:
        self.worker: QueueWorker | None = None
        self.acknowledged_meanwhile: list[bool] = []

    async def basic_cancel(self, _tag: str) -> None:
        assert self.worker is not None
        self.acknowledged_meanwhile.append(self.worker._handling.may_acknowledge.is_set())


def a_worker(underlay: Underlay) -> QueueWorker:
    async def handle(_envelope: Envelope) -> None: ...

    made = Subscriptions(cast(Link, None)).worker(
        topology.AGGREGATOR_SLOTS, handle, parking=Remembered(), concurrency=1
    )
    underlay.worker = worker = cast(QueueWorker, made)
    return worker


async def test_a_drain_ends_when_what_is_prefetched_is_done_and_not_before() -> None:
    underlay = Underlay()
    worker = a_worker(underlay)
    worker._waiting.put(cast(Delivery, object()), 0)

    draining = asyncio.create_task(worker._drain(cast(UnderlayChannel, underlay), ["tag"]))

    ended, _ = await asyncio.wait({draining}, timeout=0.1)
    assert not ended
    worker._waiting.done(len(await worker._waiting.take(1)))
    async with asyncio.timeout(5):
        await draining


async def test_nothing_is_acknowledged_while_the_consumers_are_being_cancelled() -> None:
    underlay = Underlay()
    worker = a_worker(underlay)

    await worker._drain(cast(UnderlayChannel, underlay), ["first", "second"])

    assert underlay.acknowledged_meanwhile == [False, False]
    assert worker._handling.may_acknowledge.is_set()
