"""Flat areas of colour for a model to begin from: a playground's surface as a designer sketches it.

Ground in soft contours, winding paths, islands with rings, stepping stones: areas as they can be
laid with rubber granules, each in one colour of the palette, no edge softened. All chance comes
from the seed.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shared.errors import Permanent
from shared.media.colour import palette_of
from shared.media.made import Made
from shared.media.palette import encoded

PIXELS = 1024 * 1024  # about what the models draw
STEP = 8  # both sides are multiples of it: what the models' latent grid asks for
LONGEST_SHAPE = 16  # the longer side in lengths of the shorter; beyond it nothing can be drawn
LEAST_SHARE = 0.004  # of the surface, for every colour; less where there are very many

Point = tuple[float, float]


class UnusableSurface(Permanent):
    """There is no stencil for these measures or this seed; the sentence says why."""


def prepare(options: Mapping[str, Any]) -> Made:
    """A PNG in ``options["colours"]`` alone, of the proportions ``width`` to ``height`` (metres),
    drawn by ``seed``. Raises UnusableSurface or UnusablePalette."""
    palette = palette_of(options.get("colours"))
    width, height = size(_metres(options, "width"), _metres(options, "height"))
    seed = options.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UnusableSurface("the seed is a whole number from 0")
    sketch = _Sketch(width, height, len(palette), np.random.default_rng(seed))
    sketch.ground()
    sketch.paths()
    sketch.islands()
    sketch.stones()
    sketch.every_colour()
    sketch.picture.putpalette(palette.tobytes())
    return Made(data=encoded(sketch.picture), content_type="image/png", width=width, height=height)


def _metres(options: Mapping[str, Any], side: str) -> float:
    value = options.get(side)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableSurface(f"the surface's {side} is a number of metres")
    if not (math.isfinite(value) and value > 0):
        raise UnusableSurface(f"the surface's {side} is more than 0 metres")
    return float(value)


def size(width: float, height: float) -> tuple[int, int]:
    """Pixels for a surface of these metres: about ``PIXELS`` in all, both sides multiples of
    ``STEP``, each less than a step away from the true proportions to the other."""
    shape = max(width, height) / min(width, height)
    if shape > LONGEST_SHAPE:
        raise UnusableSurface(
            f"one side is {shape:.0f} times as long as the other; {LONGEST_SHAPE} is the most"
        )
    # The shorter is rounded first: the longer can then follow it to within half a step.
    shorter = round(math.sqrt(PIXELS / shape) / STEP) * STEP
    longer = round(shorter * shape / STEP) * STEP
    return (longer, shorter) if width >= height else (shorter, longer)


class _Sketch:
    """A picture in mode P whose values are places in a palette of ``colours``."""

    def __init__(self, width: int, height: int, colours: int, chance: np.random.Generator) -> None:
        self.width, self.height = width, height
        self.chance = chance
        self.picture = Image.new("P", (width, height))
        # The size of things: long surfaces get more of them, not wider ones.
        self.unit = math.sqrt(min(width, height) * math.sqrt(width * height))
        self.room = width * height / self.unit**2
        self._order = [int(colour) for colour in chance.permutation(colours)]
        self._turn = self._in_turn()

    def _in_turn(self) -> Iterator[int]:
        while True:
            yield from self._order

    def another(self, *beside: int) -> int:
        """The next colour in turn that is none of those ``beside`` it, if there is one."""
        for _ in self._order:
            colour = next(self._turn)
            if colour not in beside:
                return colour
        return next(self._turn)

    def between(self, least: float, most: float) -> float:
        return float(self.chance.uniform(least, most))

    def under(self, x: float, y: float) -> int:
        place = (
            min(self.width - 1, max(0, round(x))),
            min(self.height - 1, max(0, round(y))),
        )
        return cast(int, self.picture.getpixel(place))  # mode P: one number a pixel

    def ground(self) -> None:
        """Two or three colours, divided along the contours of soft hills."""
        hills = self._hills(0.62) + 0.35 * self._hills(0.27)
        shares = (0.42, 0.78) if len(self._order) > 3 else (0.6,)
        # A sample is enough to know at which heights these shares lie.
        heights = np.quantile(hills[::8, ::8], shares)
        area = np.full(hills.shape, self.another(), dtype=np.uint8)
        for height in heights:
            area[hills > height] = self.another()
        self.picture = Image.fromarray(area, "P")
        self.draw = ImageDraw.Draw(self.picture)

    def _hills(self, wave: float) -> NDArray[np.float32]:
        """Smooth noise over the surface; ``wave`` is how far apart its hills are, in units."""
        columns, rows = (
            max(2, round(side / (wave * self.unit))) + 3 for side in (self.width, self.height)
        )
        rough = self.chance.standard_normal((rows, columns), dtype=np.float32)
        # Cut within the noise, so that no edge of the surface shows where it ended.
        within = (1.0, 1.0, columns - 1.0, rows - 1.0)
        smooth = Image.fromarray(rough, "F").resize(
            (self.width, self.height), Image.Resampling.BICUBIC, box=within
        )
        return np.asarray(smooth)

    def paths(self) -> None:
        """One or two that wind across the surface, the long way first, with a border each."""
        for number in range(2 if len(self._order) > 4 else 1):
            along = (self.width >= self.height) == (number == 0)
            way = self._winding(along)
            half = self.unit * self.between(0.035, 0.06)
            colour = self.another(self.under(*way[len(way) // 2]))
            border = self.another(colour)
            for reach, drawn in ((half * 1.45, border), (half, colour)):
                for x, y in way:
                    self.draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=drawn)

    def _winding(self, along: bool) -> list[Point]:
        """Points, close to each other, of a curve from one edge to the opposite one."""
        length, breadth = (self.width, self.height) if along else (self.height, self.width)
        bends = max(2, round(1.6 * length / self.unit))
        knots = np.array([self.between(0.14, 0.86) * breadth for _ in range(bends + 3)])
        at = np.linspace(0, bends, max(8, length // 6))
        first = np.minimum(at.astype(int), bends - 1)
        part = at - first
        before, start, end, after = (knots[first + step] for step in range(4))
        # Through every knot, with the slope that its neighbours give it (Catmull and Rom).
        slope, bend = end - before, 2 * before - 5 * start + 4 * end - after
        across = (
            start + part * (slope + part * (bend + part * (3 * (start - end) + after - before))) / 2
        )
        forward = np.linspace(-0.05 * length, 1.05 * length, len(at))
        pairs = zip(forward.tolist(), across.tolist(), strict=True)
        return [(a, b) if along else (b, a) for a, b in pairs]

    def islands(self) -> None:
        """Round shapes that are not quite round, most with rings inside, apart from each other."""
        for x, y in self._apart(round(5.5 * self.room), 0.36 * self.unit):
            radius = self.unit * self.between(0.08, 0.17)
            outline = self._outline()
            colour = self.under(x, y)
            rings = (1.0, self.between(0.66, 0.78), self.between(0.3, 0.5))
            for scale in rings[: int(self.chance.integers(1, 4))]:
                colour = self.another(colour)
                self.draw.polygon(
                    [(x + radius * scale * dx, y + radius * scale * dy) for dx, dy in outline],
                    fill=colour,
                )

    def _outline(self) -> list[Point]:
        """A closed curve around the origin, about 1 away from it."""
        angle = np.linspace(0, 2 * math.pi, 120, endpoint=False)
        distance = np.ones_like(angle)
        for waves in (2, 3, 4, 5):
            distance += self.between(0, 0.34 / waves) * np.cos(waves * angle + self.between(0, 7))
        ring = zip(distance * np.cos(angle), distance * np.sin(angle), strict=True)
        return [(float(dx), float(dy)) for dx, dy in ring]

    def _apart(self, number: int, distance: float) -> list[Point]:
        """Up to ``number`` places, no two nearer than ``distance`` to each other."""
        places: list[Point] = []
        for _ in range(number * 12):
            place = (
                self.between(0.06, 0.94) * self.width,
                self.between(0.06, 0.94) * self.height,
            )
            if len(places) < number and all(math.dist(place, p) >= distance for p in places):
                places.append(place)
        return places

    def stones(self) -> None:
        """Rows of stepping stones: equal dots on a bow."""
        for _ in range(round(2 * self.room)):
            x, y = self.between(0.1, 0.9) * self.width, self.between(0.1, 0.9) * self.height
            heading, turn = self.between(0, 2 * math.pi), self.between(-0.35, 0.35)
            radius = self.unit * self.between(0.014, 0.024)
            colour = self.another(self.under(x, y))
            for _ in range(int(self.chance.integers(5, 9))):
                self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
                x += 3.2 * radius * math.cos(heading)
                y += 3.2 * radius * math.sin(heading)
                heading += turn

    def every_colour(self) -> None:
        """Give a dot to each colour that came short; a dot may hide another's, so look again."""
        least = min(LEAST_SHARE, 0.2 / len(self._order)) * self.width * self.height
        radius = math.sqrt(1.5 * least / math.pi)
        for _ in range(3):
            counts = self.picture.histogram()
            short = [colour for colour in self._order if counts[colour] < least]
            if not short:
                return
            places = self._apart(len(short), 2.2 * radius)
            for colour, (x, y) in zip(short, places, strict=False):
                outline = self._outline()
                self.draw.polygon(
                    [(x + radius * dx, y + radius * dy) for dx, dy in outline], fill=colour
                )
