"""Whose clock is wrong, when a genuine webhook comes out of time."""

from datetime import timedelta

# A webhook is signed when it is sent, and is here within moments; more is somebody's clock.
CLOSE = timedelta(minutes=1)
# So long the sender's clock vouches for ours. Clocks that nobody sets drift by parts in a million.
GOOD_FOR_S = 600.0


class Vouched:
    """Remembers the last genuine webhook whose time was ours.

    It vouches for our clock for a while, unless that has been set to another time since. Without it,
    whoever is out of time may be right: then the fault may be ours, and the sender shall come again.
    """

    def __init__(self) -> None:
        self._at: tuple[float, float] | None = None  # the machine's clock, and one that only runs

    def genuine(self, skew: timedelta, *, wall: float, running: float) -> None:
        """A genuine webhook came, its time ``skew`` from ours. ``wall`` is our clock in Unix
        seconds, ``running`` any clock in seconds that nobody can set."""
        if abs(skew) <= CLOSE:
            self._at = wall, running

    def for_us(self, *, wall: float, running: float) -> bool:
        """Whether our clock is right, as far as anybody has told us."""
        if self._at is None:
            return False
        then, ran = self._at[0], running - self._at[1]
        return ran <= GOOD_FOR_S and abs(wall - then - ran) <= CLOSE.total_seconds()
