"""What a worker has in hand: deliveries that wait to be taken, and who may be at work together."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage


@dataclass(slots=True)
class Delivery:
    """One message in our hands, and the channel that it must be acknowledged on. ``held_since``:
    since then it waits for a database that is away, or waited for it before it was handled."""

    message: AbstractIncomingMessage
    queue: str
    channel: AbstractChannel
    held_since: datetime | None = None

    @property
    def is_stale(self) -> bool:
        """Its channel is gone: the broker delivers it again, and this copy is nobody's."""
        return self.channel.is_closed


class Intake:
    """What is prefetched and not yet taken, by queue in order of importance."""

    def __init__(self, places: int) -> None:
        self._places: list[deque[Delivery]] = [deque() for _ in range(places)]
        self._some = asyncio.Event()
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, delivery: Delivery, place: int) -> None:
        # Counted here and not when it is taken: a drain that begins now must wait for it.
        self._unfinished += 1
        self._idle.clear()
        self._places[place].append(delivery)
        self._some.set()

    async def take(self, most: int) -> list[Delivery]:
        """What lies here of the most important queue that has any, up to ``most``."""
        while True:
            for waiting in self._places:
                if waiting:
                    return [waiting.popleft() for _ in range(min(most, len(waiting)))]
            self._some.clear()
            await self._some.wait()

    def done(self, count: int) -> None:
        self._unfinished -= count
        if self._unfinished == 0:
            self._idle.set()

    @property
    def is_empty(self) -> bool:
        """Whether everything that was put here is done."""
        return not self._unfinished

    async def empty(self) -> None:
        """Return when everything that was put here is done."""
        await self._idle.wait()


class Room:
    """Many may be in it together, or one alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._changed = asyncio.Condition()
        self._taken = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._taken)
            self._inside += 1
        try:
            yield
        finally:
            await self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._taken)
            self._taken = True
            await self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._taken = False
                self._changed.notify_all()

    async def empty(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inside == 0 and not self._taken)

    async def _leave(self) -> None:
        async with self._changed:
            self._inside -= 1
            self._changed.notify_all()
