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
from shared.media.colour import (
    OKLAB,
    Bytes,
    Floats,
    palette_of,
    products,
    to_oklab,
    to_roots,
)
from shared.media.images import (
    decode,
    on_white,
    orientation_of,
    screen_colours,
    strips,
    upright,
)
from shared.media.made import Made

STRIP = 1 << 18  # pixels that are worked on at once: their arrays stay near the processor
GRAIN = 0.15  # how much a mixture's coarseness counts against what it gains in likeness

_BITS = 6  # of each channel tell the box of a colour: 2 ** 18 boxes, each of 4 levels a channel
_LEVELS = 1 << (8 - _BITS)
_BOXES = 1 << (3 * _BITS)
_SHARED, _CROWDED, _UNSEEN = -1, -2, -3  # by two colours; by more; not yet known
ROUNDING = 1e-12  # what the proof may be wrong by; whatever is that close is looked at one by one

Places = NDArray[np.intp]


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
    nearest, mixed = Nearest(palette), Mixed(palette)
    to_screen = screen_colours(picture.info.get("icc_profile"))
    for top, strip in strips(picture, max(1, STRIP // picture.width)):
        pixels = np.asarray(on_white(to_screen(strip))).reshape(-1, 3)
        if dither:
            chosen = mixed(pixels, grain(top, top + strip.height, picture.width).reshape(-1))
        else:
            chosen = nearest(pixels)
        clamped[top : top + strip.height] = chosen.reshape(strip.height, picture.width)
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
    """The nearest colour of a palette for each pixel. Remembers the boxes that it has met."""

    def __init__(self, palette: Bytes) -> None:
        colours = to_oklab(palette, np.float64)
        # |x - q|² less what all q share, for a pixel x = OKLAB · roots: offset - slope · roots.
        self._slopes = 2 * colours @ OKLAB
        self._offsets = (colours**2).sum(axis=1)
        # For each box the colour that it has alone, or how many others reach into it, below zero.
        self._known = np.full(_BOXES, _UNSEEN, dtype=np.int16)
        # Where two share a box: the one named earlier, and the other.
        self._pairs = np.zeros((_BOXES, 2), dtype=np.uint8)

    def __call__(self, pixels: Bytes) -> Bytes:
        """For pixels (n, 3) the places (n,) of their colours in the palette."""
        boxes = boxes_of(pixels)
        self._meet(boxes)
        chosen = self._known[boxes]
        shared = np.flatnonzero(chosen == _SHARED)
        chosen[shared] = self._of_two(pixels[shared], *self._pairs[boxes[shared]].T)
        crowded = np.flatnonzero(chosen == _CROWDED)
        chosen[crowded] = self._of_all(pixels[crowded])
        return chosen.astype(np.uint8)

    def _far(self, roots: Floats) -> Floats:
        """How far each point is from each colour, up to what is the same for all colours."""
        far: Floats = self._offsets - products(roots, self._slopes)
        return far

    def _of_all(self, pixels: Bytes) -> Places:
        nearest: Places = np.argmin(self._far(to_roots(pixels, np.float64)), axis=1)
        return nearest

    def _of_two(self, pixels: Bytes, earlier: Bytes, later: Bytes) -> Places:
        roots = to_roots(pixels, np.float64)
        slopes, offsets = self._slopes, self._offsets
        lead = offsets[later] - offsets[earlier]
        for part in range(3):
            lead -= (slopes[later, part] - slopes[earlier, part]) * roots[:, part]
        return np.where(lead < 0, later, earlier).astype(np.intp)

    def _meet(self, boxes: NDArray[np.int32]) -> None:
        """Find out, for every box that is met for the first time, whose it is."""
        new = _first_met(boxes, self._known == _UNSEEN)
        low, high = (to_roots(corner, np.float64) for corner in corners(new))
        far, reach = self._far((low + high) / 2), (high - low) / 2
        nearest = np.argmin(far, axis=1)
        for place in np.unique(nearest):
            mine = np.flatnonzero(nearest == place)
            lead = far[mine] - far[mine, place][:, None]
            # How much of its lead it can lose on the way from the middle to any corner.
            loss = products(reach[mine], np.abs(self._slopes - self._slopes[place]))
            rivals = lead <= loss + ROUNDING
            rivals[:, place] = False
            number = rivals.sum(axis=1)
            self._known[new[mine]] = np.choose(np.minimum(number, 2), (place, _SHARED, _CROWDED))
            rival = np.argmax(rivals, axis=1)
            pair = np.stack((np.minimum(place, rival), np.maximum(place, rival)), axis=1)
            self._pairs[new[mine]] = pair


class Mixed:
    """The nearest colour, or for some pixels another, so that seen together they mix to what lies
    between the two. A pixel that has a colour of the palette keeps it.

    Which other, and how much of it, is decided for each box as a whole: finer than eyes tell in a
    mixture.
    """

    def __init__(self, palette: Bytes) -> None:
        self._palette = palette
        self._nearest = Nearest(palette)
        self._colours = to_oklab(palette)
        self._met = np.zeros(_BOXES, dtype=np.bool_)
        self._first = np.zeros(_BOXES, dtype=np.uint8)
        self._other = np.zeros(_BOXES, dtype=np.uint8)
        self._share = np.zeros(_BOXES, dtype=np.float32)
        self._has_ours = np.zeros(_BOXES, dtype=np.bool_)
        self._has_ours[boxes_of(palette)] = True

    def __call__(self, pixels: Bytes, thresholds: NDArray[np.float32]) -> Bytes:
        """``thresholds`` (n,), from 0 to 1: the other colour goes where its share is above."""
        boxes = boxes_of(pixels)
        self._meet(boxes)
        chosen = np.where(self._share[boxes] > thresholds, self._other[boxes], self._first[boxes])
        maybe = np.flatnonzero(self._has_ours[boxes])
        nearest = self._nearest(pixels[maybe])
        ours = (self._palette[nearest] == pixels[maybe]).all(axis=1)
        chosen[maybe[ours]] = nearest[ours]
        return chosen

    def _meet(self, boxes: NDArray[np.int32]) -> None:
        new = _first_met(boxes, ~self._met)
        middle = corners(new)[0] + np.uint8(_LEVELS // 2)
        seen, nearest = to_oklab(middle), self._nearest(middle)
        for place in np.unique(nearest):
            mine = np.flatnonzero(nearest == place)
            way, steps = seen[mine] - self._colours[place], self._colours - self._colours[place]
            length = (steps**2).sum(axis=1)
            along = products(way, steps)
            share = np.clip(along / np.maximum(length, 1e-12), 0, 1)
            # |way - share · step|², but for |way|², which is the same for all.
            missed = share * (share * length - 2 * along)
            # Two dots far apart in colour look coarse, most where they are half and half.
            other = np.argmin(missed + GRAIN * share * (1 - share) * length, axis=1)
            self._other[new[mine]] = other
            self._share[new[mine]] = share[np.arange(len(mine)), other]
        self._first[new] = nearest
        self._met[new] = True


def _first_met(boxes: NDArray[np.int32], unmet: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Each of ``boxes`` once, if it is ``unmet``."""
    return np.flatnonzero((np.bincount(boxes, minlength=_BOXES) > 0) & unmet).astype(np.int32)


def grain(top: int, bottom: int, width: int) -> NDArray[np.float32]:
    """Thresholds from 0 to 1 for the rows ``top`` to ``bottom``, spread so that near ones differ.

    Multiples of two numbers that share no rhythm with each other or with the raster (the two
    inverse powers of the plastic number, as Martin Roberts proposed), folded: no two like steps.
    """
    down = np.arange(top, bottom, dtype=np.float64)[:, None] * 0.5698402909980532
    along = np.arange(width, dtype=np.float64) * 0.7548776662466927
    turns = down + along
    return np.abs(1 - 2 * (turns - np.floor(turns))).astype(np.float32)
