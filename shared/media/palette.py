"""Pictures in the colours of a palette alone.

Every pixel gets the colour of the palette that lies nearest to it in Oklab; ties go to the colour
named first. The answer is exact, and most pixels never ask for it one by one: colours are sorted
into small boxes, and where one palette colour is nearest to a whole box, that is proved once. The
proof is short because the border between two palette colours is a plane in the space of the cones'
roots (``colour.to_roots``), and a box of sRGB is a box there too.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.errors import Permanent
from shared.media import ranking
from shared.media.colour import OKLAB, Bytes, palette_of, to_oklab, to_roots
from shared.media.images import decode, on_white, orientation_of, plain, screen_colours, upright
from shared.media.made import Made

STRIP = 1 << 18  # pixels that are worked on at once: their arrays stay near the processor
GRAIN = 0.15  # how much a mixture's coarseness counts against what it gains in likeness

_BITS = 6  # of each channel tell the box of a colour: 2 ** 18 boxes, each of 4 levels a channel
_LEVELS = 1 << (8 - _BITS)
_BOXES = 1 << (3 * _BITS)
_UNSEEN, _DIVIDED = -2, -1

Choices = NDArray[np.int16]


class UnusableOptions(Permanent):
    """The step cannot be done as it was asked for; the sentence says why."""


def finish(data: bytes, options: Mapping[str, Any]) -> Made:
    """The picture in ``data``, upright, in ``options["colours"]`` alone: a PNG with that palette.

    ``options["dither"]`` mixes two colours where a pixel lies between them; a picture that has only
    colours of the palette stays as it is either way. What shows through lies on white. ``score`` is
    the given picture's (``shared.media.ranking``). Blocking: CPU. Raises UnusableImage,
    UnusablePalette or UnusableOptions.
    """
    palette = palette_of(options.get("colours"))
    dither = options.get("dither", False)
    if not isinstance(dither, bool):
        raise UnusableOptions("dither is true or false")
    picture = decode(data)
    clamped = clamp(picture, palette, dither=dither)
    score = ranking.score(ranking.looked_at(picture), palette)
    # Turned last, when a pixel is one byte.
    whole = upright(clamped, orientation_of(picture))
    return Made(
        data=encoded(whole),
        content_type="image/png",
        width=whole.width,
        height=whole.height,
        score=score.total,
    )


def clamp(picture: Image.Image, palette: Bytes, *, dither: bool = False) -> Image.Image:
    """A copy of ``picture`` in mode P whose palette is ``palette``, as it lies (not turned)."""
    clamped = np.empty((picture.height, picture.width), dtype=np.uint8)
    nearest = Nearest(palette)
    mixed = Mixed(palette, nearest) if dither else None
    to_screen = screen_colours(picture.info.get("icc_profile"))
    rows = max(1, STRIP // picture.width)
    for top in range(0, picture.height, rows):
        bottom = min(top + rows, picture.height)
        strip = on_white(to_screen(plain(picture.crop((0, top, picture.width, bottom)))))
        pixels = np.asarray(strip).reshape(-1, 3)
        if mixed is None:
            chosen = nearest(pixels)
        else:
            chosen = mixed(pixels, grain(top, bottom, picture.width).reshape(-1))
        clamped[top:bottom] = chosen.reshape(bottom - top, picture.width)
    made = Image.fromarray(clamped, "P")
    made.putpalette(palette.tobytes())
    return made


def encoded(picture: Image.Image) -> bytes:
    """PNG with as few bits a pixel as the palette needs; the same picture gives the same bytes."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=4)
    return file.getvalue()


def boxes_of(pixels: Bytes) -> NDArray[np.int32]:
    """The number of the box that each pixel (n, 3) lies in."""
    red, green, blue = (pixels[:, channel] >> (8 - _BITS) for channel in range(3))
    boxes = red.astype(np.int32)
    boxes <<= _BITS
    boxes |= green
    boxes <<= _BITS
    boxes |= blue
    return boxes


def corners(boxes: NDArray[np.int32]) -> tuple[Bytes, Bytes]:
    """The darkest and the lightest colour of each box, (n, 3) both."""
    shifts = np.array([2 * _BITS, _BITS, 0], dtype=np.int32)
    lowest = ((boxes[:, None] >> shifts & ((1 << _BITS) - 1)) << (8 - _BITS)).astype(np.uint8)
    return lowest, lowest + np.uint8(_LEVELS - 1)


class Nearest:
    """The nearest colour of a palette for each pixel. Remembers the boxes it has met."""

    def __init__(self, palette: Bytes) -> None:
        self.palette = palette
        colours = to_oklab(palette, np.float64)
        # |x - q|² less what all q share, for a pixel x = OKLAB · roots: offset - slope · roots.
        self._slopes = 2 * colours @ OKLAB
        self._offsets = (colours**2).sum(axis=1)
        self._known: Choices = np.full(_BOXES, _UNSEEN, dtype=np.int16)

    def __call__(self, pixels: Bytes) -> Bytes:
        """For pixels (n, 3) the places (n,) of their colours in the palette."""
        boxes = boxes_of(pixels)
        self._meet(boxes)
        chosen = self._known[boxes]
        divided = np.flatnonzero(chosen == _DIVIDED)
        chosen[divided] = self._one_by_one(pixels[divided])
        return chosen.astype(np.uint8)

    def _one_by_one(self, pixels: Bytes) -> Choices:
        roots = to_roots(pixels, np.float64)
        nearest: Choices = np.argmin(self._offsets - roots @ self._slopes.T, axis=1).astype(
            np.int16
        )
        return nearest

    def _meet(self, boxes: NDArray[np.int32]) -> None:
        """Decide every box that is met for the first time: one colour's alone, or divided."""
        met = np.bincount(boxes, minlength=_BOXES) > 0
        new = np.flatnonzero(met & (self._known == _UNSEEN)).astype(np.int32)
        low, high = (to_roots(corner, np.float64) for corner in corners(new))
        middle, reach = (low + high) / 2, (high - low) / 2
        far = (self._offsets - middle @ self._slopes.T).T
        first = np.argmin(far, axis=0)
        lead = far - far[first, np.arange(len(new))]
        alone = np.ones(len(new), dtype=np.bool_)
        for place, slope in enumerate(self._slopes):
            # How much of its lead the first can lose on the way from the middle to any corner.
            loss = (np.abs(slope - self._slopes[first]) * reach).sum(axis=1)
            alone &= (lead[place] > loss) | (first == place)
        self._known[new] = np.where(alone, first, _DIVIDED)


class Mixed:
    """The nearest colour, or for some pixels another, so that seen together they mix to what lies
    between the two. A pixel that has a colour of the palette keeps it.

    Which other, and how much of it, is decided for each box as a whole: finer than eyes tell in a
    mixture.
    """

    def __init__(self, palette: Bytes, nearest: Nearest) -> None:
        self._palette = palette
        self._nearest = nearest
        self._colours = to_oklab(palette)
        self._met = np.zeros(_BOXES, dtype=np.bool_)
        self._first = np.zeros(_BOXES, dtype=np.uint8)
        self._other = np.zeros(_BOXES, dtype=np.uint8)
        self._share = np.zeros(_BOXES, dtype=np.float32)

    def __call__(self, pixels: Bytes, thresholds: NDArray[np.float32]) -> Bytes:
        """``thresholds`` (n,), from 0 to 1: the other colour goes where its share is above."""
        boxes = boxes_of(pixels)
        self._meet(boxes)
        mixed = np.where(self._share[boxes] > thresholds, self._other[boxes], self._first[boxes])
        nearest = self._nearest(pixels)
        ours = (self._palette[nearest] == pixels).all(axis=1)
        return np.where(ours, nearest, mixed)

    def _meet(self, boxes: NDArray[np.int32]) -> None:
        met = np.bincount(boxes, minlength=_BOXES) > 0
        new = np.flatnonzero(met & ~self._met).astype(np.int32)
        self._met[new] = True
        middle = (corners(new)[0] + np.uint8(_LEVELS // 2)).astype(np.uint8)
        first = self._nearest(middle)
        start, wanted = self._colours[first], to_oklab(middle)
        least = np.full(len(new), np.inf, dtype=np.float32)
        for place, colour in enumerate(self._colours):
            step, way = colour - start, wanted - start
            length = (step**2).sum(axis=1)
            share = np.clip((step * way).sum(axis=1) / np.maximum(length, 1e-12), 0, 1)
            missed = ((way - share[:, None] * step) ** 2).sum(axis=1)
            # Two dots far apart in colour look coarse, most where they are half and half.
            cost = missed + GRAIN * share * (1 - share) * length
            better = cost < least
            least[better] = cost[better]
            self._other[new[better]] = place
            self._share[new[better]] = share[better]
        self._first[new] = first


def grain(top: int, bottom: int, width: int) -> NDArray[np.float32]:
    """Thresholds from 0 to 1 for the rows ``top`` to ``bottom``, spread so that near ones differ.

    Multiples of two numbers that share no rhythm with each other or with the raster (the two
    inverse powers of the plastic number, as Martin Roberts proposed), folded: no two like steps.
    """
    down = np.arange(top, bottom, dtype=np.float64)[:, None] * 0.5698402909980532
    along = np.arange(width, dtype=np.float64) * 0.7548776662466927
    return np.abs(1 - 2 * ((down + along) % 1.0)).astype(np.float32)
