"""Stencils: flat areas in the asked colours, of the surface's shape, the same for the same seed."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.errors import Permanent
from shared.media.colour import Bytes, UnusablePalette
from shared.media.made import Made
from shared.media.stencil import LEAST_SHARE, LONGEST_SHAPE, PIXELS, STEP, UnusableSurface, prepare
from shared.media.steps import PREPARE

GRANULES = ["#c1272d", "#e8a33d", "#f4e3b2", "#3b7a57", "#1f4e79", "#7fb7be", "#6b4226", "#2b2b2b"]

seeds = st.integers(0, 999_999)
palettes = st.lists(st.integers(0, 2**24 - 1), min_size=2, max_size=32, unique=True).map(
    lambda numbers: [f"#{number:06x}" for number in numbers]
)
metres = st.floats(0.01, 1000, allow_nan=False)
surfaces = st.tuples(metres, metres).filter(lambda s: max(s) <= LONGEST_SHAPE * min(s))


def stencil(
    width: float = 12.0,
    height: float = 9.0,
    colours: list[str] = GRANULES,
    seed: int = 7,
) -> Made:
    return prepare({"width": width, "height": height, "colours": colours, "seed": seed})


def pixels(made: Made) -> Bytes:
    return np.asarray(Image.open(io.BytesIO(made.data)).convert("RGB"))


def shares(made: Made, colours: list[str]) -> list[float]:
    """How much of the surface each colour has, by what a reader of the file sees."""
    seen = Image.open(io.BytesIO(made.data)).convert("RGB").getcolors(256) or []
    count = {colour: number for number, colour in seen}
    whole = (made.width or 0) * (made.height or 0)
    return [count.get(tuple(bytes.fromhex(colour[1:])), 0) / whole for colour in colours]


@given(surfaces, seeds)
@settings(deadline=None, max_examples=40)
def test_it_has_the_proportions_of_the_surface_to_within_a_step(
    surface: tuple[float, float], seed: int
) -> None:
    made = stencil(*surface, seed=seed)

    width, height = made.width or 0, made.height or 0
    assert Image.open(io.BytesIO(made.data)).size == (width, height)
    assert width % STEP == height % STEP == 0
    assert abs(width - height * surface[0] / surface[1]) < STEP
    assert abs(height - width * surface[1] / surface[0]) < STEP
    assert 0.95 < width * height / PIXELS < 1.05


@given(surfaces, palettes, seeds)
@settings(deadline=None, max_examples=40)
def test_it_has_every_colour_that_was_asked_for_and_no_other(
    surface: tuple[float, float], colours: list[str], seed: int
) -> None:
    found = shares(stencil(*surface, colours=colours, seed=seed), colours)

    assert sum(found) == pytest.approx(1.0)
    assert min(found) > LEAST_SHARE / 2


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_the_same_seed_draws_the_same_file(seed: int) -> None:
    assert stencil(seed=seed) == stencil(seed=seed)


def test_another_seed_draws_another_surface() -> None:
    drawn = [pixels(stencil(seed=seed)) for seed in range(12)]

    differ = [
        float((one != other).any(axis=-1).mean())
        for at, one in enumerate(drawn)
        for other in drawn[:at]
    ]
    assert min(differ) > 0.3


@pytest.mark.parametrize("seed", range(6))
def test_it_is_made_of_areas_and_not_of_specks(seed: int) -> None:
    seen = pixels(stencil(seed=seed)).astype(np.int16)

    # Pixels whose right or lower neighbour has another colour: outlines, and nothing else.
    across = (np.diff(seen, axis=1) != 0).any(axis=-1).mean()
    down = (np.diff(seen, axis=0) != 0).any(axis=-1).mean()
    assert 0.004 < across + down < 0.06


@pytest.mark.parametrize("seed", range(6))
def test_there_is_something_to_see_in_every_part_of_it(seed: int) -> None:
    drawn = Image.open(io.BytesIO(stencil(10, 10, seed=seed).data)).convert("RGB")

    ninths = [(x, y, x + 341, y + 341) for y in (0, 341, 682) for x in (0, 341, 682)]
    assert min(len(drawn.crop(ninth).getcolors() or []) for ninth in ninths) >= 2


@given(st.integers(2, 256))
@settings(deadline=None, max_examples=10)
def test_every_size_of_palette_has_room(number: int) -> None:
    colours = [f"#{40 * place:06x}" for place in range(number)]

    assert min(shares(stencil(colours=colours), colours)) > 0


GOOD: dict[str, Any] = {"width": 12.0, "height": 9.0, "colours": GRANULES, "seed": 7}


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"width": -3.0},
        {"height": float("nan")},
        {"height": float("inf")},
        {"width": "12"},
        {"width": None},
        {"height": True},
        {"width": 1.0, "height": 17.0},
        {"width": 1e300, "height": 1e-300},
        {"width": 1e308, "height": 5e-324},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": "7"},
        {"seed": True},
        {"seed": None},
    ],
    ids=str,
)
def test_a_surface_that_cannot_be_drawn_is_refused_for_good(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnusableSurface) as refusal:
        prepare(GOOD | wrong)

    assert isinstance(refusal.value, Permanent)
    assert len(str(refusal.value)) < 120


@pytest.mark.parametrize("missing", ["width", "height", "seed"])
def test_what_is_not_said_is_refused_and_not_guessed(missing: str) -> None:
    with pytest.raises(UnusableSurface):
        prepare({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("colours", [None, [], ["#ff0000"], ["#ff0000", "blue"]])
def test_colours_that_are_none_are_refused_for_good(colours: object) -> None:
    with pytest.raises(UnusablePalette):
        prepare(GOOD | {"colours": colours})


def test_whole_metres_are_metres_too() -> None:
    assert stencil(12, 9) == stencil(12.0, 9.0)


def test_the_step_is_found_by_the_name_that_recipes_use() -> None:
    assert PREPARE["stencil"] is prepare
