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
others. The weights were chosen on pictures painted over stencils, each against copies of it that
were blurred, tinted off the palette or half emptied: the lowest share of copies found out is
largest about here, and it is flat (``tests/unit/test_media_ranking.py`` prints it).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.media.colour import Bytes, Floats, to_oklab
from shared.media.images import on_white, plain, screen_colours

WEIGHTS: Mapping[str, float] = {"fit": 0.35, "contrast": 0.10, "sharpness": 0.25, "coverage": 0.30}
FAR = 0.10  # Oklab; five times what an eye just notices
TILES = 16  # along the longer side
DRAWN = 0.08  # of Oklab between two pixels of a tile: more than noise and soft shading make
LOOKED_AT = 1536  # pixels along the longer side, at most: what a person sees of a concept
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


def rank(scores: Mapping[str, float]) -> tuple[str, ...]:
    """Names by score, best first; equals by name, so that no order in which they came shows."""
    return tuple(sorted(scores, key=lambda name: (-scores[name], name)))


def looked_at(picture: Image.Image) -> Bytes:
    """A decoded picture as ``score`` looks at it: RGB on white, at most ``LOOKED_AT`` long."""
    seen = plain(picture)
    factor = -(-max(seen.size) // LOOKED_AT)
    if factor > 1:
        seen = seen.reduce(factor)
    return np.asarray(on_white(screen_colours(picture.info.get("icc_profile"))(seen)))


def score(pixels: Bytes, palette: Bytes) -> Score:
    """Judge a picture of sRGB bytes (rows, columns, 3) against a palette (colours, 3)."""
    tiles = _Tiles(_halved(pixels))
    drawn = tiles.drawn()
    return Score(
        fit=_fit(tiles, drawn, palette),
        contrast=_contrast(tiles, drawn, palette),
        sharpness=_sharpness(pixels),
        coverage=tiles.share(drawn),
    )
