"""What a model makes of a picture of flat areas: it keeps the plan, and draws in it.

Areas get other edges, figures of one motif in the picture's own colours, and the grain of granules;
each seed has a motif, a manner of bending and a mixture of its own.
"""

import math
import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

FLAT = 0.9  # the share of points whose neighbours are exactly the same
WORKED_SIDE = 512  # plans are bent and drawn in at half size: grain comes later
MOST_COLOURS = 8
GREY = 128

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]
# A figure at a place, so large, with chance, in an ink.
Draw = Callable[[ImageDraw.ImageDraw, float, float, float, random.Random, int], None]


def is_flat(picture: Image.Image) -> bool:
    """Whether it is a plan rather than a photo."""
    values = np.asarray(picture)
    across = (values[::2, 1:] == values[::2, :-1]).all(axis=2)
    down = (values[1:, ::2] == values[:-1, ::2]).all(axis=2)
    return float(min(across.mean(), down.mean())) >= FLAT


def elaborated(
    plan: Image.Image,
    size: tuple[int, int],
    *,
    dice: random.Random,
    strength: float,
    motif: int,
) -> Image.Image:
    """The plan as `strength` (0 to 1) loosens it, `size` large; five numbers are five motifs."""
    share = min(1.0, WORKED_SIDE / max(size))
    small = (max(16, round(size[0] * share)), max(16, round(size[1] * share)))
    worked = plan.resize(small, Image.Resampling.NEAREST)
    areas = np.asarray(worked).copy()
    colours = _colours(worked)
    draw = (_dots, _waves, _stones, _leaves, _paths)[motif % 5]
    drawn = _figures(worked, areas, colours, draw, dice, strength)
    bent = _bent(np.asarray(drawn), dice, strength)
    return Image.fromarray(bent, "RGB").resize(size, Image.Resampling.BICUBIC)


def granular(picture: Image.Image, dice: random.Random, amount: float) -> Image.Image:
    """Speckles the size of granules, of light and of colour, and slow drifts of both."""
    width, height = picture.size
    rng = np.random.default_rng(dice.getrandbits(64))
    speckle = _noise(rng, (height // 2 or 1, width // 2 or 1), picture.size, 20 * amount)
    drift = _noise(rng, (4, 5), picture.size, 9 * amount)
    grained = ImageChops.add(picture, speckle, offset=-GREY)
    return ImageChops.add(grained, drift, offset=-GREY)


def _noise(
    rng: np.random.Generator, shape: tuple[int, int], size: tuple[int, int], spread: float
) -> Image.Image:
    """Grey but for deviations that channels mostly share, drawn coarse and stretched."""
    light = rng.standard_normal((*shape, 1), dtype=np.float32)
    colour = rng.standard_normal((*shape, 3), dtype=np.float32) * np.float32(0.35)
    coarse = np.clip((light + colour) * np.float32(spread) + GREY, 0, 255).astype(np.uint8)
    return Image.fromarray(coarse, "RGB").resize(size, Image.Resampling.BILINEAR)


def _colours(plan: Image.Image) -> list[Colour]:
    """The picture's own, the most frequent first."""
    found = plan.getcolors(plan.width * plan.height) or []
    frequent = sorted(found, key=lambda one: one[0], reverse=True)[:MOST_COLOURS]
    return [_colour(value) for _, value in frequent]


def _colour(value: object) -> Colour:
    red, green, blue = (int(part) for part in value[:3])  # type: ignore[index]
    return red, green, blue


def _figures(
    plan: Image.Image,
    areas: NDArray[np.uint8],
    colours: list[Colour],
    draw: Draw,
    dice: random.Random,
    strength: float,
) -> Image.Image:
    """Figures of one motif: each inside the area that it begins in, in another of the colours."""
    drawn = plan.copy()
    if len(colours) < 2:
        return drawn
    unit = max(plan.size) * dice.uniform(0.025, 0.05)
    sheets = {colour: Image.new("L", plan.size) for colour in colours}
    pens = {colour: ImageDraw.Draw(sheet) for colour, sheet in sheets.items()}
    count = round((15 + 65 * strength) * (0.04 * max(plan.size) / unit) ** 1.5)
    favourites = dice.sample(colours, min(len(colours), 3))
    for _ in range(count):
        x, y = dice.uniform(0, plan.width - 1), dice.uniform(0, plan.height - 1)
        ground = _colour(areas[int(y), int(x)])
        if ground in pens:
            others = [one for one in favourites if one != ground] or colours
            draw(pens[ground], x, y, unit, dice, 1 + colours.index(dice.choice(others)))
    values = np.asarray(drawn).copy()
    inks = np.asarray([(0, 0, 0), *colours], dtype=np.uint8)
    for ground, sheet in sheets.items():
        ink = np.asarray(sheet)
        inside = (ink > 0) & (areas == ground).all(axis=2)
        values[inside] = inks[ink[inside]]
    return Image.fromarray(values, "RGB")


def _dots(
    pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, dice: random.Random, ink: int
) -> None:
    radius = unit * dice.uniform(0.2, 0.8)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _leaves(
    pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, dice: random.Random, ink: int
) -> None:
    length, turn = unit * dice.uniform(0.8, 2.2), dice.uniform(0, math.tau)
    along, across = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
    sides: Points = []
    for side in (1, -1):
        steps = range(11) if side == 1 else range(10, -1, -1)
        for step in steps:
            part = step / 10
            out = side * 0.22 * length * math.sin(math.pi * part)
            sides.append(
                (
                    x + along[0] * length * part + across[0] * out,
                    y + along[1] * length * part + across[1] * out,
                )
            )
    pen.polygon(sides, fill=ink)


def _waves(
    pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, dice: random.Random, ink: int
) -> None:
    length, high = unit * dice.uniform(3, 7), unit * dice.uniform(0.2, 0.5)
    points = [(x + length * n / 24, y + high * math.sin(n * 0.8)) for n in range(25)]
    pen.line(points, fill=ink, width=max(2, round(unit * dice.uniform(0.12, 0.35))), joint="curve")


def _stones(
    pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, dice: random.Random, ink: int
) -> None:
    corners = dice.randint(5, 8)
    points = []
    for corner in range(corners):
        reach = unit * dice.uniform(0.45, 1.0)
        turn = math.tau * (corner + dice.uniform(-0.2, 0.2)) / corners
        points.append((x + reach * math.cos(turn), y + reach * math.sin(turn)))
    pen.polygon(points, fill=ink)


def _paths(
    pen: ImageDraw.ImageDraw, x: float, y: float, unit: float, dice: random.Random, ink: int
) -> None:
    turn, points = dice.uniform(0, math.tau), [(x, y)]
    for _ in range(14):
        turn += dice.uniform(-0.6, 0.6)
        x, y = x + unit * 0.5 * math.cos(turn), y + unit * 0.5 * math.sin(turn)
        points.append((x, y))
    pen.line(points, fill=ink, width=max(2, round(unit * dice.uniform(0.15, 0.4))), joint="curve")


def _bent(values: NDArray[np.uint8], dice: random.Random, strength: float) -> NDArray[np.uint8]:
    """Every point fetched from somewhere near: edges wander, in the large and in the small."""
    height, width = values.shape[:2]
    rng = np.random.default_rng(dice.getrandbits(64))
    places = []
    for count, axis in ((height, 0), (width, 1)):
        large = _wander(rng, (5, 6), (width, height)) * (0.045 * strength)
        small = _wander(rng, (36, 44), (width, height)) * (0.004 * strength)
        shift = (large + small) * max(width, height)
        home = np.arange(count, dtype=np.float32)
        home = home[:, None] if axis == 0 else home[None, :]
        places.append(np.clip(home + shift, 0, count - 1).astype(np.intp))
    bent: NDArray[np.uint8] = values[places[0], places[1]]
    return bent


def _wander(
    rng: np.random.Generator, shape: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.float32]:
    """-1 to 1, smooth between a few points."""
    coarse = Image.fromarray(rng.uniform(-1, 1, shape).astype(np.float32), "F")
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
