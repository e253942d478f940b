"""What ``shared.db.rate_limit`` grants, in plain arithmetic.

Its rule is SQL, on the database's clock. This says the same of any clock; a test on a real Postgres
holds the two against each other, answer by answer.
"""

from dataclasses import dataclass

GROWS_BACK_IN = 600.0
SLOWEST = 0.01


@dataclass(slots=True)
class Budget:
    """One bucket of tokens. Times are seconds of a clock that never goes back."""

    per_minute: float
    tokens: float
    refilled_at: float
    slowed_to: float = 1.0
    slowed_at: float | None = None
    paused_until: float | None = None

    @property
    def capacity(self) -> float:
        return max(1.0, self.per_minute / 6)

    @property
    def per_second(self) -> float:
        return max(self.per_minute - self.capacity, self.per_minute / 2) / 60

    def take(self, now: float, *, tokens: int = 1, share: float = 1.0) -> float | None:
        """None: granted; else the seconds to wait before asking again."""
        flow = self.per_second * self._speed(now)
        level = min(self.capacity, self.tokens + max(0.0, now - self.refilled_at) * flow)
        reserve = min((1.0 - share) * self.capacity, self.capacity - 1.0)
        paused = self.paused_until is not None and self.paused_until > now
        if not paused and level >= tokens + reserve:
            self.tokens, self.refilled_at = level - tokens, now
            return None
        wait = max(self.refilled_at - now, 0.0) + (tokens + reserve - level) / flow
        return wait if self.paused_until is None else max(wait, self.paused_until - now)

    def give_back(self, tokens: int) -> None:
        self.tokens = min(self.capacity, self.tokens + tokens)

    def throttled(self, now: float, retry_after: float) -> None:
        """A 429: nothing until then, and half the flow, once per spell of them."""
        if self.refilled_at <= now:
            self.slowed_to = max(SLOWEST, self._speed(now) / 2)
        self.tokens = 0.0
        self.refilled_at = max(self.refilled_at, now + retry_after)
        self.slowed_at = now

    def pause(self, now: float, lasting: float) -> None:
        until = now + lasting
        self.paused_until = until if self.paused_until is None else max(self.paused_until, until)

    def resume(self, now: float) -> None:
        if self.paused_until is not None and self.paused_until > now:
            self.paused_until = None

    def turn_back(self, seconds: float) -> None:
        """As if so much time had passed."""
        self.refilled_at -= seconds
        if self.slowed_at is not None:
            self.slowed_at -= seconds
        if self.paused_until is not None:
            self.paused_until -= seconds

    def _speed(self, now: float) -> float:
        """Of the full flow, as far as it has grown back since it was slowed."""
        grown = 1.0 if self.slowed_at is None else (now - self.slowed_at) / GROWS_BACK_IN
        return min(1.0, self.slowed_to + grown)
