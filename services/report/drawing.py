"""What a page draws itself: waveforms and shares of colour, as the paths and boxes of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.report.view import Share

WAVE_HEIGHT = 100  # units of the drawing; its width is one unit a peak
HARDLY_HEARD = 0.01  # a peak; what stays below is drawn as it is, not blown up
_SILENCE = 0.6  # units: where nothing is heard a thin line goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A part of a bar that is 100 units long."""

    colour: str
    start: float
    length: float


def waveform(peaks: Sequence[float]) -> str:
    """The ``d`` of a path: a bar for each peak, as far below the middle as above it.

    The loudest fills the height; how loud that is, a page says in numbers.
    """
    middle = WAVE_HEIGHT / 2
    loudest = max((*peaks, HARDLY_HEARD))
    bars = []
    for nth, peak in enumerate(peaks):
        half = max(peak / loudest * (middle - 1), _SILENCE)
        bars.append(f"M{nth} {middle - half:.4g}h.66v{2 * half:.4g}h-.66z")
    return "".join(bars)


def bands(shares: Sequence[Share]) -> tuple[Band, ...]:
    """The shares one after the other, filling the bar whatever they were rounded to."""
    whole = sum(share.part for share in shares)
    placed, start = [], 0.0
    for share in shares:
        length = 100 * share.part / whole
        placed.append(Band(colour=share.colour, start=round(start, 3), length=round(length, 3)))
        start += length
    return tuple(placed)
