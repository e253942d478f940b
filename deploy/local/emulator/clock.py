"""Provider time: how long runs take and files live. It can be sped up, and it can jump.

The wall clock stays what it is: timestamps in bodies, signatures, rate limits and network deadlines
are measured by it, because the caller on the other side lives in it too.
"""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Seconds of provider time since the emulator began."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._since = time.monotonic()
        self._passed = 0.0
        self._ago = timedelta(0)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def speed(self) -> float:
        """Provider seconds per second of the wall."""
        return self._speed

    def now(self) -> float:
        return self._passed + (time.monotonic() - self._since) * self._speed

    def wall(self) -> datetime:
        return datetime.now(UTC) - self._ago  # noqa: TID251 - the clock that others are given

    def unix(self) -> int:
        """What a receiver compares a signature's timestamp with."""
        return int(self.wall().timestamp())

    def wall_in(self, seconds: float) -> datetime:
        """When it will be on the wall once so many provider seconds have passed."""
        return self.wall() + timedelta(seconds=seconds / self._speed)

    async def sleep(self, seconds: float) -> None:
        """Until so much provider time has passed, however it passes."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now() + seconds, next(self._order), waker))
        if self._sleepers[0][2] is waker:
            self._set_alarm()
        await waker

    def advance(self, seconds: float) -> None:
        """Let provider time jump ahead: an hour of retention passes in a test's one line."""
        self._passed += seconds
        self._set_alarm()

    def set_wall_back(self, seconds: float) -> None:
        """The wall reads so much earlier from now on (0: as it is), so that a past can be made up
        whose timestamps are those of a past."""
        self._ago = timedelta(seconds=seconds)

    def run_at(self, speed: float) -> None:
        """Change the speed from now on."""
        self._passed, self._since = self.now(), time.monotonic()
        self._speed = speed
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._sleepers:
            wait = max(0.0, self._sleepers[0][0] - self.now()) / self._speed
            self._alarm = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        now = self.now()
        while self._sleepers and self._sleepers[0][0] <= now:
            _, _, waker = heapq.heappop(self._sleepers)
            if not waker.done():
                waker.set_result(None)
        self._set_alarm()
