"""When a consumer stops by itself: too many messages in a row came to nothing for good.

One message that nobody can help is parked and looked at. Many in a row mean that the fault is ours
(a release that cannot read its own facts), and that whoever goes on empties a river into the swamp.
"""

from datetime import timedelta

# A good consumer never sees so many; a broken one has them within a second.
MOST_DEAD_IN_A_ROW = 20
FIRST_REST = timedelta(seconds=1)
LONGEST_REST = timedelta(seconds=30)


class Breaker:
    """Closed: messages flow. Open: nothing is taken but one message to try, after each ``rest``."""

    def __init__(self, most: int = MOST_DEAD_IN_A_ROW) -> None:
        self._most = most
        self._dead_in_a_row = 0
        self._tried_in_vain = 0
        self.is_open = False
        self.reason = ""

    @property
    def rest(self) -> timedelta:
        """How long nothing is taken before the next try: doubled with each that was in vain."""
        return min(LONGEST_REST, FIRST_REST * (1 << min(self._tried_in_vain, 16)))

    def went_well(self) -> None:
        """A message was handled, and so the next one may be: closed, whatever was before."""
        self._dead_in_a_row = self._tried_in_vain = 0
        self.is_open = False
        self.reason = ""

    def died(self, reason: str) -> None:
        """A message came to nothing for good. What is to be tried again says nothing either way."""
        self._dead_in_a_row += 1
        if self.is_open:
            self._tried_in_vain += 1
        elif self._dead_in_a_row >= self._most:
            self.is_open = True
        self.reason = reason
