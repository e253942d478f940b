"""How often the account may ask: a bucket for creates, another for everything else.

Counted by the wall clock, whatever the speed of provider time: the caller waits in wall seconds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Throttled:
    """`retry_after` in whole seconds, as the body says it."""

    retry_after: int


class Bucket:
    """Refills steadily. A request that is refused empties it: hammering never gets through."""

    def __init__(self, *, per_minute: float, burst: float, now: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._burst = burst
        self._now = now
        self._level = burst
        self._seen = now()

    def take(self) -> Throttled | None:
        now = self._now()
        refill = (now - self._seen) * self.per_minute / 60
        self._level = min(self._burst, self._level + refill)
        self._seen = now
        if self._level >= 1:
            self._level -= 1
            return None
        self._level = 0.0
        return Throttled(retry_after=max(1, math.ceil(60 / self.per_minute)))

    @property
    def remaining(self) -> int:
        return int(self._level)

    @property
    def reset(self) -> int:
        """Whole seconds until there is one more."""
        return max(1, math.ceil((math.floor(self._level) + 1 - self._level) * 60 / self.per_minute))
