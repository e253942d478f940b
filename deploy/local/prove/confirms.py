"""Small messages at a steady pace, into a queue of their own: what is confirmed must be there."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import datetime

from deploy.local.prove.meters import Broker
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.publisher import Publisher

QUEUE = "darkroom-prove.confirms"
HANDS = 16
READ_TOGETHER = 5000


class Confirms:
    """``declare``, then ``publish`` until cancelled; ``collect`` only while nothing is pulled: what
    is read is gone from the queue, also where the answer does not come through."""

    def __init__(
        self, publisher: Publisher, parts: Mapping[str, str], *, utc_now: Callable[[], datetime]
    ) -> None:
        self._publisher = publisher
        self._broker = Broker(parts)
        self._utc_now = utc_now
        self._numbers = itertools.count()
        self._owed: set[int] = set()  # confirmed, and not seen yet
        self._early: set[int] = set()  # seen before their confirm was
        self.confirmed = 0
        self.refused = 0

    @property
    def gone(self) -> int:
        """What was confirmed and is not there, once everything was collected."""
        return len(self._owed)

    def declare(self) -> None:
        """Raises OSError."""
        arguments = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
        self._broker.ask("PUT", f"/{QUEUE}", arguments)

    async def publish(self, per_second: float) -> None:
        async with asyncio.TaskGroup() as hands:
            for _ in range(HANDS):
                hands.create_task(self._publish(HANDS / per_second))

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
                await self._publisher.publish(tick, to_queue=QUEUE)
            except BrokerUnavailable:
                self.refused += 1  # it may be there all the same; nothing was promised
            else:
                self.confirmed += 1
                if number in self._early:
                    self._early.discard(number)
                else:
                    self._owed.add(number)
            await asyncio.sleep(every_s)

    async def collect(self) -> None:
        """Read everything that is there. Raises OSError."""
        body = {"count": READ_TOGETHER, "ackmode": "ack_requeue_false", "encoding": "auto"}
        while True:
            messages = await asyncio.to_thread(self._broker.ask, "POST", f"/{QUEUE}/get", body)
            for message in messages:
                number = json.loads(message["payload"])["number"]
                if number in self._owed:
                    self._owed.discard(number)
                else:
                    self._early.add(number)
            if len(messages) < READ_TOGETHER:
                return
