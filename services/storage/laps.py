"""When one output came to each step of being stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.clock import Clock


class Lap(StrEnum):
    BEGUN = "begun"  # it has its place
    FETCHED = "fetched"
    FINISHED = "finished"  # looked at, and what is derived from it made
    PUT = "put"  # all of it lies in our bucket


@dataclass(frozen=True, slots=True)
class Laps:
    """The times of one output, by ``now``, as far as it came."""

    now: Clock
    at: dict[Lap, datetime]

    @classmethod
    def by(cls, now: Clock) -> "Laps":
        return cls(now, {})

    def reached(self, lap: Lap) -> None:
        self.at[lap] = self.now()

    def ended(self) -> None:
        """It goes no further: what it did last took until now, and the rest nothing."""
        ended_at = self.now()
        for lap in Lap:
            self.at.setdefault(lap, ended_at)
