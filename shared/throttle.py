"""How much one sender may ask, before anything of it is looked at."""

from collections import OrderedDict

SENDERS_REMEMBERED = 10_000


class Throttle:
    """A bucket of tokens per sender: ``per_second`` lasting, twice that in a burst; 0 is no limit.

    ``now`` is any clock in seconds that never goes back.
    """

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._burst = max(1.0, 2 * per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def takes(self, sender: str, *, now: float) -> bool:
        """Whether one more from ``sender`` is within its limit; counts it if so."""
        if not self._rate:
            return True
        tokens, then = self._buckets.pop(sender, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        granted = tokens >= 1
        self._buckets[sender] = (tokens - granted, now)
        if len(self._buckets) > SENDERS_REMEMBERED:
            self._buckets.popitem(last=False)  # the one that has been quiet for the longest
        return granted
