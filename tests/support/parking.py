"""A parking that remembers, for tests of the consumer alone."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.envelope import Envelope


@dataclass
class Spot:
    """One parked delivery."""

    queue: str
    envelope: Envelope
    reason: str
    trace: str | None
    attempts: int
    due_in: timedelta | None
    expires_at: datetime | None = None


@dataclass
class Remembered:
    """Fulfils ``shared.messaging.handling.Parking`` in memory."""

    spots: list[Spot] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    fails_with: Exception | None = None

    async def park(
        self,
        queue: str,
        envelope: Envelope,
        *,
        reason: str,
        trace: str | None,
        attempts: int,
        due_in: timedelta | None,
        expires_at: datetime | None = None,
    ) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.spots.append(Spot(queue, envelope, reason, trace, attempts, due_in, expires_at))

    async def note_start(self, queue: str, envelope: Envelope) -> int:
        self.starts[envelope.id] += 1
        return self.starts[envelope.id]
