"""The order in which a worker leaves."""

from typing import cast

from aiormq.abc import AbstractChannel as UnderlayChannel

from shared.envelope import Envelope
from shared.messaging import topology
from shared.messaging.consumer import QueueWorker, Subscriptions
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


async def test_nothing_is_acknowledged_while_the_consumers_are_being_cancelled() -> None:
    async def handle(_envelope: Envelope) -> None: ...

    underlay = Underlay()
    made = Subscriptions(cast(Link, None)).worker(
        topology.AGGREGATOR_SLOTS, handle, parking=Remembered(), concurrency=1
    )
    underlay.worker = worker = cast(QueueWorker, made)

    await worker._drain(cast(UnderlayChannel, underlay), ["first", "second"])

    assert underlay.acknowledged_meanwhile == [False, False]
    assert worker._handling.may_acknowledge.is_set()
