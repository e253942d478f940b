"""How long a message that could not be handled waits before it is tried again."""

from datetime import timedelta

# 8 tries: 1 s, 2 s, 4 s ... 64 s at the most between them, about two minutes together, then dead.
# Downloads end sooner or later by their own expiry, so storage brings its own number.
MAX_ATTEMPTS = 8
FIRST = timedelta(seconds=1)
LONGEST = timedelta(minutes=5)


def wait_before(
    attempt: int, *, chance: float, retry_after: timedelta | None = None
) -> timedelta:
    """The wait after failed attempt number ``attempt`` (1, 2, …): exponential with full jitter.

    ``chance`` is in [0, 1). ``retry_after`` is what the other side asked for, and is a floor.
    """
    ceiling = min(LONGEST, FIRST * 2 ** min(attempt - 1, 16))
    jittered = ceiling * chance
    return max(jittered, retry_after) if retry_after is not None else jittered
