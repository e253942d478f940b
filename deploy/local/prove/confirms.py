"""Small messages at a steady pace, into a queue of their own: what is confirmed must come out."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from deploy.local.prove.meters import Broker
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.consumer import Subscriptions
from shared.messaging.publisher import Publisher
from shared.messaging.topology import Queue

QUEUE = Queue(name="darkroom-prove.confirms", delivery_limit=1_000_000)
HANDS = 16
SEEN_TOGETHER = 200
ALL_SEEN_WITHIN_S = 60.0


class Confirms:
    """``declare``, then ``publish`` until cancelled; then ``gone`` tells."""

    def __init__(
        self, publisher: Publisher, parts: Mapping[str, str], *, utc_now: Callable[[], datetime]
    ) -> None:
        self._publisher = publisher
        self._broker = Broker(parts)
        self._utc_now = utc_now
        self._numbers = itertools.count()
        self._owed: set[int] = set()  # confirmed, and not seen yet
        self._early: set[int] = set()  # seen before their confirm was, or never confirmed
        self.confirmed = 0
        self.refused = 0  # they may come out all the same; nothing was promised

    @property
    def gone(self) -> int:
        """What was confirmed and was never seen."""
        return len(self._owed)

    def declare(self) -> None:
        """Raises OSError."""
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": QUEUE.delivery_limit}
        self._broker.ask("PUT", f"/{QUEUE.name}", {"durable": True, "arguments": arguments})

    async def publish(self, subscriptions: Subscriptions, per_second: float) -> None:
        """Publish until cancelled, and see what comes out until all of it has, or for a minute."""
        seeing = subscriptions.worker(
            QUEUE,
            self._see_one,
            parking=_NowhereToPark(),
            concurrency=1,
            handle_many=self._see,
            batch=SEEN_TOGETHER,
        )
        stop = asyncio.Event()
        worker = asyncio.create_task(seeing(stop))
        try:
            async with asyncio.TaskGroup() as hands:
                for _ in range(HANDS):
                    hands.create_task(self._publish(HANDS / per_second))
        finally:
            await self._all_seen()
            stop.set()
            await worker

    async def _publish(self, every_s: float) -> None:
        for number in self._numbers:
            tick = Envelope(
                id=f"tick-{number}",
                type="prove.tick",
                source="prove",
                time=self._utc_now(),
                subject=str(number),
                body=b'{"number": %d}' % number,
            )
            try:
                await self._publisher.publish(tick, to_queue=QUEUE.name)
            except BrokerUnavailable:
                self.refused += 1
            else:
                self.confirmed += 1
                if number in self._early:
                    self._early.discard(number)
                else:
                    self._owed.add(number)
            await asyncio.sleep(every_s)

    async def _see(self, ticks: Sequence[Envelope]) -> None:
        for tick in ticks:
            number = json.loads(tick.body)["number"]
            if number in self._owed:
                self._owed.discard(number)
            else:
                self._early.add(number)

    async def _see_one(self, tick: Envelope) -> None:
        await self._see([tick])

    async def _all_seen(self) -> None:
        """Wait for what is on its way; what does not come is gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ALL_SEEN_WITHIN_S):
                while self._owed:  # noqa: ASYNC110 - it empties from many sides
                    await asyncio.sleep(0.2)


class _NowhereToPark:
    """Seeing a number cannot fail, so that nothing is ever parked."""

    async def park(self, queue: str, envelope: Envelope, *, reason: str, **_more: object) -> None:
        raise RuntimeError(f"{envelope.id} from {queue} could not be seen: {reason}")

    async def note_start(self, queue: str, envelope: Envelope) -> int:  # noqa: ARG002
        """Kills of the broker make suspects of all; none of them kills us."""
        return 1
