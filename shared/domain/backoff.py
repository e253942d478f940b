"""How long something waits before it is tried again: a message that could not be handled, a question
that brought nothing. Pure."""

from datetime import timedelta

# Waits of at most 1, 2, 4, 8, 16, 32 and 64 s between 8 tries: two minutes at the worst, then dead.
MAX_ATTEMPTS = 8
FIRST = timedelta(seconds=1)
LONGEST = timedelta(minutes=5)
LONGEST_SILENCE = timedelta(minutes=5)


def wait_before(
    attempt: int,
    *,
    chance: float,
    retry_after: timedelta | None = None,
    left: timedelta | None = None,
) -> timedelta:
    """The wait after failed attempt number ``attempt`` (1, 2, …): exponential with full jitter.

    ``chance`` is in [0, 1). ``retry_after`` is what the other side asked for, and is a floor.
    ``left`` is the time until it is too late: half of it at most is waited, so that there is
    always another try before.
    """
    ceiling = min(LONGEST, FIRST * (1 << min(attempt - 1, 16)))
    jittered = ceiling * chance
    wait = max(jittered, retry_after) if retry_after is not None else jittered
    return wait if left is None or left <= FIRST else min(wait, left / 2)


def silence_before(asked: int, *, every: timedelta) -> timedelta:
    """How long a prediction may say nothing before question number ``asked`` + 1, where its runs
    usually take ``every``: a third longer each time, ten times at most."""
    return min(every * 1.33 ** min(asked, 20), every * 10, LONGEST_SILENCE)
