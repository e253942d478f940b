"""How good a picture is as a concept in a palette: a number from 0 to 1 that says why.

Four things are asked, each from 0 to 1:

- **fit**: how near the colours lie to the palette, so how little the clamp will change. Falls to
  1/e where the average pixel is ``FAR`` (Oklab) away from its nearest granule.
- **contrast**: how far the colours lie apart, as a share of how far those of the palette do (root
  mean square in Oklab): a picture in fog scores low, and no palette is blamed for being quiet.
- **sharpness**: how much of the steps between neighbouring pixels would be lost if the picture were
  blurred (after Crété and others, "The blur effect", 2007). What is blurred already loses little.
- **coverage**: how much of the surface has something drawn on it, by tiles. Fit and contrast are
  taken where something is drawn, so that an empty half cannot buy them.

The score is their weighted geometric mean: whatever fails in one respect is not rescued by the
others. The weights say what a studio cares about most; they decide little.
``tests/unit/test_media_ranking.py`` prints what is found out today.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.media.colour import Bytes, to_oklab
from shared.media.images import on_white, screen_colours, smaller

WEIGHTS: Mapping[str, float] = {"fit": 0.35, "contrast": 0.10, "sharpness": 0.25, "coverage": 0.30}
FAR = 0.10  # Oklab; five times what an eye just notices
TILES = 16  # along the longer side
DRAWN = 0.08  # of Oklab between two pixels of a tile: more than noise and soft shading make
LOOKED_AT = 1536  # pixels along the longer side, at most: what a person sees of a concept
AREAS = 384  # pixels along the longer side that colours and areas are judged by
REACH = 4  # pixels to both sides: the blur that sharpness is tried with

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a picture is worth, and why. All from 0 to 1, more is better."""

    fit: float
    contrast: float
    sharpness: float
    coverage: float

    @property
    def total(self) -> float:
        product = 1.0
        for name, weight in WEIGHTS.items():
            product *= float(getattr(self, name)) ** weight
        return round(product, 6)


def looked_at(picture: Image.Image) -> Bytes:
    """A decoded picture as ``score`` looks at it: RGB on white, at most ``LOOKED_AT`` long."""
    seen = smaller(picture, -(-max(picture.size) // LOOKED_AT))
    return np.asarray(on_white(screen_colours(picture.info.get("icc_profile"))(seen)))


def score(pixels: Bytes, palette: Bytes) -> Score:
    """Judge a picture of sRGB bytes (rows, columns, 3) against a palette (colours, 3)."""
    tiles = _Tiles(_from_afar(pixels))
    drawn = tiles.drawn()
    return Score(
        fit=_fit(tiles, drawn, palette),
        contrast=_contrast(tiles, drawn, palette),
        sharpness=_sharpness(pixels),
        coverage=tiles.share(drawn),
    )


class _Tiles:
    """A picture in Oklab, planes first, cut into tiles of about equal size."""

    def __init__(self, oklab: Numbers) -> None:
        self.planes = np.ascontiguousarray(np.moveaxis(oklab, -1, 0))
        _, height, width = self.planes.shape
        side = max(height, width) / TILES
        self._rows, self._columns = (
            np.linspace(0, length, max(1, round(length / side)), endpoint=False).astype(np.intp)
            for length in (height, width)
        )
        self.area = self.total(np.ones((height, width), dtype=np.float32))

    def each(self, how: np.ufunc, values: Numbers) -> Numbers:
        """``values`` (…, rows, columns) brought together by ``how`` within each tile."""
        rows = how.reduceat(values, self._rows, axis=-2)
        return np.asarray(how.reduceat(rows, self._columns, axis=-1))

    def total(self, values: Numbers) -> Numbers:
        return self.each(np.add, values)

    def drawn(self) -> NDArray[np.bool_]:
        """The tiles in which there is something to be seen."""
        apart = self.each(np.maximum, self.planes) - self.each(np.minimum, self.planes)
        return np.asarray((apart**2).sum(axis=0) > DRAWN**2)

    def mean(self, values: Numbers, drawn: NDArray[np.bool_]) -> Numbers:
        """The mean of ``values`` (…, rows, columns) over the drawn tiles."""
        return np.asarray(self.total(values)[..., drawn].sum(axis=-1) / self.area[drawn].sum())

    def share(self, drawn: NDArray[np.bool_]) -> float:
        return float(self.area[drawn].sum() / self.area.sum())


def _from_afar(pixels: Bytes) -> Numbers:
    """In Oklab, at the size at which areas and their colours are judged."""
    factor = -(-max(pixels.shape[:2]) // AREAS)
    return to_oklab(np.asarray(smaller(Image.fromarray(pixels), factor)))


def _fit(tiles: _Tiles, drawn: NDArray[np.bool_], palette: Bytes) -> float:
    if not drawn.any():
        return 0.0
    nearest = np.full(tiles.planes.shape[1:], np.inf, dtype=np.float32)
    for colour in to_oklab(palette):
        apart = sum((plane - part) ** 2 for plane, part in zip(tiles.planes, colour, strict=True))
        np.minimum(nearest, apart, out=nearest)
    return math.exp(-float(tiles.mean(np.sqrt(nearest), drawn)) / FAR)


def _contrast(tiles: _Tiles, drawn: NDArray[np.bool_], palette: Bytes) -> float:
    if not drawn.any():
        return 0.0
    variance = tiles.mean(tiles.planes**2, drawn) - tiles.mean(tiles.planes, drawn) ** 2
    possible = to_oklab(palette).var(axis=0).sum()
    return min(1.0, math.sqrt(max(0.0, float(variance.sum())) / float(possible)))


def _sharpness(pixels: Bytes) -> float:
    """Steps along every fourth row and down every fourth column; a blur over ``2 * REACH + 1``
    pixels turns each into a share of the difference between its ends."""
    span = 2 * REACH + 1
    steps = lost = 0.0
    for lines in (pixels[::4], pixels[:, ::4].swapaxes(0, 1)):
        if lines.shape[1] <= span:
            continue
        levels = lines.astype(np.int16)
        sharp = np.abs(np.diff(levels, axis=1))[:, REACH:-REACH] * np.int16(span)
        soft = np.abs(levels[:, span:] - levels[:, :-span])
        steps += float(sharp.sum(dtype=np.int64))
        lost += float(np.maximum(sharp - soft, 0).sum(dtype=np.int64))
    return lost / steps if steps else 0.0
