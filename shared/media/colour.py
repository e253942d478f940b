"""Colours as numbers: sRGB as files hold it, and Oklab, where equal steps look equally large.

The matrices and the cube root between them are Björn Ottosson's ("A perceptual color space for
image processing", 2020, with his corrected digits of January 2021); the curve of sRGB is that of
IEC 61966-2-1. Oklab is (L, a, b): L from 0 (black) to 1 (white), a and b about -0.4 to 0.4. A
distance of 0.02 in it is about what an eye just notices.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Permanent

MOST_COLOURS = 256  # what one byte a pixel can tell apart

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]

# From linear RGB to the answers of the eye's three kinds of cones. All positive: a higher channel
# never lowers an answer.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
# From the cube roots of those answers to Oklab.
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_BACK_TO_ROOTS = np.linalg.inv(OKLAB)
_BACK_TO_LINEAR = np.linalg.inv(_CONES)


def _linear() -> NDArray[np.float64]:
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


_LINEAR: dict[type, Floats] = {np.float32: _linear().astype(np.float32), np.float64: _linear()}


class UnusablePalette(Permanent):
    """The colours cannot be worked with; the sentence says why."""


def palette_of(colours: Any) -> Bytes:
    """``("#rrggbb", …)`` as an array (colours, 3), each colour once, in the order given.

    Raises UnusablePalette for anything else.
    """
    if isinstance(colours, str) or not isinstance(colours, Sequence):
        raise UnusablePalette("the colours are no list of #rrggbb")
    for colour in colours:
        if not isinstance(colour, str) or not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
            raise UnusablePalette(f"{str(colour)[:40]!r} is no colour: #rrggbb is meant")
    once = dict.fromkeys(colour.lower() for colour in colours)
    if not 2 <= len(once) <= MOST_COLOURS:
        raise UnusablePalette(f"{len(once)} different colours; 2 to {MOST_COLOURS} are taken")
    return np.array([list(bytes.fromhex(colour[1:])) for colour in once], dtype=np.uint8)


def products(points: Floats, vectors: Floats) -> Floats:
    """point · vector for every pair: (…, 3) and (n, 3) to (…, n).

    By hand: a library for matrices would start its threads for a product this thin, and they would
    wait for each other longer than they work.
    """
    of_first, of_second, of_third = vectors.T
    made: Floats = points[..., :1] * of_first
    made += points[..., 1:2] * of_second
    made += points[..., 2:] * of_third
    return made


def to_roots(srgb: Bytes, kind: type[np.float32 | np.float64] = np.float32) -> Floats:
    """The cube roots of the cones' answers, (…, 3): one straight step (``OKLAB``) from Oklab."""
    return _by_planes(np.moveaxis(_LINEAR[kind][srgb], -1, 0), _CONES.astype(kind), np.cbrt)


def to_oklab(srgb: Bytes, kind: type[np.float32 | np.float64] = np.float32) -> Floats:
    """sRGB bytes (…, 3) as Oklab (…, 3)."""
    return _by_planes(np.moveaxis(to_roots(srgb, kind), -1, 0), OKLAB.astype(kind), np.positive)


def _by_planes(planes: Floats, matrix: Floats, then: np.ufunc) -> Floats:
    """``then`` of ``matrix`` times each colour, from (3, …) to (…, 3)."""
    made = np.empty((*planes.shape[1:], 3), dtype=planes.dtype)
    for place, parts in enumerate(matrix):
        total = sum(part * plane for part, plane in zip(parts, planes, strict=True))
        then(total, out=made[..., place])
    return made


def to_srgb(oklab: Floats) -> Bytes:
    """Oklab (…, 3) as the nearest sRGB bytes; what no screen can show is cut off at its limits."""
    linear = np.clip((oklab @ _BACK_TO_ROOTS.T) ** 3 @ _BACK_TO_LINEAR.T, 0, 1)
    level = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(level * 255), dtype=np.uint8)
