"""The score finds out what is wrong with a picture, and the ranking is by the score alone."""

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from deploy.local.emulator import images as emulated
from deploy.local.emulator.making import Order
from shared.media import stencil
from shared.media.colour import Bytes, palette_of, to_oklab, to_srgb
from shared.media.palette import clamp
from shared.media.ranking import LOOKED_AT, Score, looked_at, score

# A picture and its palette to a worse picture.
Spoil = Callable[[Bytes, Bytes, np.random.Generator], Bytes]

CASES = 200
SIDE = 256
GRANULES = [
    "#c1272d", "#e8a33d", "#f4e3b2", "#3b7a57", "#1f4e79", "#7fb7be", "#6b4226", "#2b2b2b",
    "#d9d9d9", "#8c4a8c", "#f2e205", "#0f9d58", "#e36f1e", "#5b6770",
]  # fmt: skip


@lru_cache(maxsize=CASES)
def a_concept(seed: int) -> tuple[Bytes, Bytes]:
    """A picture and its palette: every other one is painted over a stencil as a model does it, the
    others are stencils under uneven light and with the noise of a camera."""
    chance = np.random.default_rng(seed)
    number = int(chance.integers(3, 11))
    if chance.random() < 0.5:
        colours = [GRANULES[place] for place in chance.permutation(len(GRANULES))[:number]]
    else:
        colours = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in chance.integers(10, 246, (number, 3))]
    width, height = (float(side) for side in chance.uniform(5, 20, 2))
    drawn = stencil.prepare({"width": width, "height": height, "colours": colours, "seed": seed})
    palette = palette_of(colours)
    if seed % 2:
        strength = float(chance.uniform(0.2, 0.9))
        order = Order(
            input={
                "width": SIDE,
                "height": SIDE,
                "num_outputs": 1,
                "prompt": f"a playground, {seed}",
                "prompt_strength": strength,
            },
            seed=seed,
            files={"image": drawn.data},
            longest_side=SIDE,
        )
        painted = Image.open(io.BytesIO(emulated.variations(order)[0].data))
        return np.asarray(painted.convert("RGB")), palette
    flat = Image.open(io.BytesIO(drawn.data)).convert("RGB")
    flat.thumbnail((SIDE, SIDE))
    light = Image.fromarray(chance.normal(1, 0.08, (5, 5)).astype(np.float32), "F")
    lit = (
        np.asarray(flat) * np.asarray(light.resize(flat.size, Image.Resampling.BICUBIC))[..., None]
    )
    noisy = lit + chance.normal(0, chance.uniform(0, 10), lit.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), palette


def blurred(picture: Bytes, _palette: Bytes, chance: np.random.Generator) -> Bytes:
    radius = float(chance.uniform(0.8, 4))
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def off_palette(picture: Bytes, palette: Bytes, chance: np.random.Generator) -> Bytes:
    """Tinted by the colour that lies farthest from every granule, or with its hues turned."""
    seen = to_oklab(picture)
    if chance.random() < 0.5:
        level = np.arange(0, 256, 17, dtype=np.uint8)
        cube = to_oklab(np.stack(np.meshgrid(level, level, level), axis=-1).reshape(-1, 3))
        apart = ((cube[:, None] - to_oklab(palette)[None]) ** 2).sum(axis=-1).min(axis=1)
        return to_srgb(seen + chance.uniform(0.25, 0.5) * (cube[apart.argmax()] - seen))
    angle = chance.uniform(1.6, 4.7)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = seen.astype(np.float64)
    turned[..., 1:] = 1.5 * (seen[..., 1:] @ turn + (0.05, 0.0))
    return to_srgb(turned)


def half_empty(picture: Bytes, palette: Bytes, chance: np.random.Generator) -> Bytes:
    """One half is paper, one granule, or the picture's mean."""
    emptied = picture.copy()
    height, width = picture.shape[:2]
    fills = (np.array([255] * 3), palette[chance.integers(len(palette))], picture.mean(axis=(0, 1)))
    halves = (
        np.s_[: height // 2],
        np.s_[height // 2 :],
        np.s_[:, : width // 2],
        np.s_[:, width // 2 :],
    )
    emptied[halves[chance.integers(4)]] = fills[chance.integers(3)]
    return emptied


@pytest.mark.xdist_group("ranking")  # they share the pictures
@pytest.mark.parametrize("spoilt", [blurred, off_palette, half_empty])
def test_a_spoilt_copy_ranks_below_its_source(spoilt: Spoil) -> None:
    found_out = 0
    for seed in range(CASES):
        picture, palette = a_concept(seed)
        copy = spoilt(picture, palette, np.random.default_rng([7, seed]))
        found_out += score(copy, palette).total < score(picture, palette).total

    print(f"{spoilt.__name__}: {found_out} of {CASES} rank below, {found_out / CASES:.1%}")
    assert found_out >= 0.95 * CASES


@pytest.mark.xdist_group("ranking")
def test_good_pictures_are_not_all_alike() -> None:
    totals = [score(*a_concept(seed)).total for seed in range(40)]

    assert all(0 < total < 1 for total in totals)
    assert max(totals) - min(totals) > 0.15
    assert len(set(totals)) == len(totals)


def test_each_spoilt_copy_loses_most_where_it_is_spoilt() -> None:
    picture, palette = a_concept(3)
    source, chance = score(picture, palette), np.random.default_rng(1)

    lost = {}
    for spoilt in (blurred, off_palette, half_empty):
        judged = score(spoilt(picture, palette, chance), palette)
        losses = {n: getattr(judged, n) / getattr(source, n) for n in Score.__slots__}
        lost[spoilt.__name__] = min(losses, key=lambda name: losses[name])

    assert lost == {"blurred": "sharpness", "off_palette": "fit", "half_empty": "coverage"}


def test_a_picture_clamped_to_its_palette_fits_it() -> None:
    picture, palette = a_concept(5)
    exact = np.asarray(clamp(Image.fromarray(picture), palette).convert("RGB"))

    assert score(exact, palette).fit == pytest.approx(1.0, abs=1e-5)
    assert score(picture, palette).fit < 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 3), (17, 16), (9, 200)])
@pytest.mark.parametrize("kind", ["empty", "noise"])
def test_every_picture_has_a_score_however_small(size: tuple[int, int], kind: str) -> None:
    shape = (*size, 3)
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    picture = noise if kind == "noise" else np.full(shape, 9, dtype=np.uint8)

    judged = score(picture, palette_of(GRANULES))

    parts = [judged.fit, judged.contrast, judged.sharpness, judged.coverage, judged.total]
    assert all(0 <= part <= 1 for part in parts)


def test_an_empty_picture_is_worth_nothing_even_in_a_colour_of_the_palette() -> None:
    palette = palette_of(GRANULES)
    empty = np.broadcast_to(palette[0], (64, 64, 3)).astype(np.uint8)

    assert score(empty, palette).total == 0


def test_a_large_picture_is_looked_at_from_afar() -> None:
    large = Image.effect_noise((3 * LOOKED_AT, 40), 60)

    seen = looked_at(large)

    assert seen.shape == (-(-40 // 3), LOOKED_AT, 3)


@given(st.permutations(range(4)))
@settings(deadline=None)
def test_a_picture_is_judged_by_itself_alone(order: list[int]) -> None:
    alone = {seed: score(*a_concept(seed)).total for seed in range(4)}

    assert {seed: score(*a_concept(seed)).total for seed in order} == alone
