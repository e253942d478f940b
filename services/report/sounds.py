"""Copies of sounds for a page: small enough to travel in it, and drawn for those who only look."""

from collections.abc import Callable, Sequence
from typing import Protocol

from services.report.view import Sound
from shared.media.made import Made

# A minute of music at the bit rate of the copy, with room; base64 adds a third to it.
COPY_MAX_BYTES = 1_500_000
KBPS = 96

PEAKS = 160  # two pixels each on a phone


class Peaks(Protocol):
    """The outline of a sound in ``points`` steps, each 0 to 1."""

    def __call__(self, data: bytes, /, *, points: int) -> Sequence[float]: ...


class SmallCopy(Protocol):
    """The sound again as a file that every browser plays."""

    def __call__(self, data: bytes, /, *, kbps: int) -> Made: ...


def for_page(
    data: bytes,
    *,
    small_copy: SmallCopy,
    peaks: Peaks,
    loudness: Callable[[bytes], float | None],
) -> Sound:
    """The page's copy of the sound in ``data``.

    Blocks for as long as it is decoded. Raises what the three raise: Permanent where the file is
    no sound, Transient where it did not work out this time.
    """
    copy = small_copy(data, kbps=KBPS)
    return Sound(
        content_type=copy.content_type,
        data=copy.data if len(copy.data) <= COPY_MAX_BYTES else None,
        peaks=tuple(peaks(data, points=PEAKS)),
        loudness=loudness(data),
    )
