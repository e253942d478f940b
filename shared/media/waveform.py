"""The outline of a sound, for those who look at it."""

import numpy as np

from shared.media.hearing import hear, opened

MOST_POINTS = 10_000


def peaks(data: bytes, *, points: int = 160) -> tuple[float, ...]:
    """How loud the sound is in each of ``points`` equal parts of it: the peak of all channels, 0..1.

    Blocks while it is decoded. Raises UnusableAudio or Transient; ValueError for odd ``points``.
    """
    if not 1 <= points <= MOST_POINTS:
        raise ValueError(f"{points} points cannot be drawn; 1 to {MOST_POINTS} can")
    with opened(data) as sound:
        loudest = hear(sound).loudest
    # A part begins with the moment in which it begins, and holds one at least.
    begins = np.arange(points) * len(loudest) // points
    parts = np.maximum.reduceat(loudest, begins)
    return tuple(round(float(part), 4) for part in parts)
