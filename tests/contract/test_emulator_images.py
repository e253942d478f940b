"""The pictures: made from what was sent, another for every seed."""

import base64
import io
import itertools
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deploy.local.emulator.flat import elaborated, is_flat
from deploy.local.emulator.images import variations
from deploy.local.emulator.making import Order, RunFailed
from deploy.local.emulator.models import RESTORE_IMAGE, SDXL
from tests.support.emulated import RESTORE, World, a_world
from tests.support.photos import a_camera_photo, a_photo, a_text_called_jpg, a_tiny_photo

PHOTO = a_photo(size=(96, 64))


def made(photo: bytes | None = PHOTO, *, seed: int = 1, **given: Any) -> list[bytes]:
    files = {} if photo is None else {"image": photo}
    wanted = SDXL.with_defaults({"prompt": "a lake", "image": photo and "link"} | given)
    return [file.data for file in variations(Order(wanted, seed, files))]


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_the_same_order_gives_the_same_bytes() -> None:
    assert made() == made()


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"photo": a_photo(seed=9, size=(96, 64))}, {"prompt": "a city"}],
    ids=["seed", "photo", "prompt"],
)
def test_another_order_gives_another_picture(other: dict[str, Any]) -> None:
    one, two = (np.asarray(opened(made(**given)[0]), dtype=int) for given in ({}, other))

    assert np.abs(one - two).mean() > 2


def test_not_even_a_byte_of_the_photo_may_differ() -> None:
    unseen = PHOTO + b"\0"

    assert made(unseen) != made(PHOTO)


def test_seeds_can_be_told_apart_by_eye() -> None:
    means = [np.asarray(opened(made(seed=seed)[0])).mean(axis=(0, 1)) for seed in range(6)]

    assert len({tuple(np.round(mean / 6)) for mean in means}) >= 4


def test_a_picture_still_shows_the_photo() -> None:
    photo = np.asarray(opened(PHOTO).convert("L"), dtype=float)
    picture = np.asarray(opened(made(prompt_strength=0.6)[0]).convert("L"), dtype=float)

    assert np.corrcoef(photo.ravel(), picture.ravel())[0, 1] > 0.6


def test_several_outputs_are_several_pictures() -> None:
    assert len(set(made(num_outputs=4))) == 4


def test_a_photo_taken_upright_stays_upright() -> None:
    picture = opened(made(a_camera_photo(size=(300, 400)))[0])

    assert picture.size == (304, 400)


def test_a_large_photo_comes_back_within_the_bounds_of_a_run() -> None:
    large = io.BytesIO()
    opened(PHOTO).resize((3000, 1500)).save(large, "JPEG")
    picture = opened(made(large.getvalue())[0])

    assert picture.size == (1024, 512)


def test_a_tiny_photo_is_enough() -> None:
    assert opened(made(a_tiny_photo())[0]).size == (64, 64)


def test_words_alone_are_enough() -> None:
    picture = opened(made(None, width=320, height=200)[0])

    assert picture.size == (320, 200)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_photos_of_every_mode_are_read(mode: str) -> None:
    out = io.BytesIO()
    kind = "TIFF" if mode == "CMYK" else "PNG"
    Image.new(mode, (40, 40), 128 if mode in {"L", "P", "I;16"} else None).save(out, kind)

    assert opened(made(out.getvalue())[0]).mode == "RGB"


def test_what_is_painted_over_is_only_what_the_mask_shows() -> None:
    mask = Image.new("L", (96, 64), 0)
    mask.paste(255, (48, 0, 96, 64))
    drawn = io.BytesIO()
    mask.save(drawn, "PNG")
    order = Order(
        SDXL.with_defaults({"image": "link", "mask": "link"}),
        1,
        {"image": PHOTO, "mask": drawn.getvalue()},
    )
    before = np.asarray(opened(PHOTO).convert("RGB"), dtype=int)
    after = np.asarray(opened(variations(order)[0].data), dtype=int)

    assert np.abs(before - after)[:, :40].max() == 0
    assert np.abs(before - after)[:, 56:].mean() > 2


def test_what_is_no_picture_fails_the_run_in_its_own_words() -> None:
    with pytest.raises(RunFailed, match="cannot identify image file"):
        made(a_text_called_jpg())


def test_a_torn_photo_fails_the_run() -> None:
    with pytest.raises(RunFailed, match="truncated"):
        made(a_photo()[:9000])


def test_a_picture_of_too_many_points_is_out_of_memory() -> None:
    with pytest.raises(RunFailed, match="E1001"):
        made(a_bomb())


def a_bomb() -> bytes:
    """A PNG of a few kilobytes that says it is 10,000 × 9,000."""
    out = io.BytesIO()
    Image.new("1", (10_000, 9_000)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("asked", "found"), [("jpg", "JPEG"), ("png", "PNG")])
def test_a_restoration_comes_in_the_format_asked_for(asked: str, found: str) -> None:
    wanted = RESTORE_IMAGE.with_defaults({"input_image": "link", "output_format": asked})
    [file] = RESTORE_IMAGE.make(Order(wanted, 1, {"input_image": PHOTO}))

    assert opened(file.data).format == found
    assert file.name.endswith(asked)


def test_restorations_of_two_seeds_differ() -> None:
    wanted = RESTORE_IMAGE.with_defaults({"input_image": "link"})
    one, two = (RESTORE_IMAGE.make(Order(wanted, s, {"input_image": PHOTO})) for s in (1, 2))

    assert one != two


PLAN_COLOURS = ((31, 61, 43), (127, 166, 80), (217, 200, 158), (181, 72, 47))


def a_plan(size: tuple[int, int] = (240, 160)) -> Image.Image:
    """Four flat areas: what a stencil looks like."""
    width, height = size
    plan = Image.new("RGB", size, PLAN_COLOURS[0])
    pen = ImageDraw.Draw(plan)
    pen.rectangle((0, height * 0.6, width, height), fill=PLAN_COLOURS[1])
    pen.ellipse((width * 0.08, height * 0.1, width * 0.42, height * 0.55), fill=PLAN_COLOURS[2])
    pen.rectangle((width * 0.6, height * 0.3, width * 0.9, height * 0.85), fill=PLAN_COLOURS[3])
    return plan


def concepts(**given: Any) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """Four pictures made from the plan, in its size."""
    drawn = io.BytesIO()
    a_plan().save(drawn, "PNG")
    made_of_it = made(drawn.getvalue(), num_outputs=4, prompt_strength=0.75, **given)
    return [np.asarray(opened(one), dtype=float) for one in made_of_it]


def test_concepts_of_one_plan_are_clearly_different_pictures() -> None:
    for one, two in itertools.combinations(concepts(), 2):
        assert np.abs(one - two).mean() > 12


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_concepts_follow_the_areas_of_their_plan(seed: int) -> None:
    plan = np.asarray(a_plan())
    for concept in concepts(seed=seed):
        left = concept.copy()
        for colour in PLAN_COLOURS:
            area = (plan == colour).all(axis=2)
            left[area] -= concept[area].mean(axis=0)
        spread = ((concept - concept.mean(axis=(0, 1))) ** 2).mean()

        # Of a picture of something else, the areas would explain a hundredth.
        assert (left**2).mean() < 0.8 * spread


def test_concepts_drift_and_have_a_grain_that_their_plan_has_not() -> None:
    plan = np.asarray(a_plan(), dtype=float)
    for concept in concepts():
        # A corner of the ground that is flat in the plan.
        corner = concept[:24, -24:]

        assert corner.std(axis=(0, 1)).min() > 1.5
        assert np.abs(concept - plan).mean() > 12
        assert len(np.unique(concept.reshape(-1, 3), axis=0)) > 5000


def drawn_in(plan: Image.Image, motif: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    dice = random.Random(1)
    return np.asarray(elaborated(plan, plan.size, dice=dice, strength=0.75, motif=motif))


def test_neighbouring_seeds_draw_with_five_motifs() -> None:
    pictures = [drawn_in(a_plan(), motif) for motif in range(6)]

    for one, two in itertools.combinations(pictures[:5], 2):
        assert (one != two).any(axis=2).mean() > 0.02
    assert (pictures[5] == pictures[0]).all()


def test_no_straight_edge_stays_straight() -> None:
    plan = Image.new("RGB", (240, 160), "white")
    plan.paste("black", (0, 80, 240, 160))
    above, below = (drawn_in(plan, 3)[row, :, 0] for row in (76, 83))

    assert (above < 128).mean() + (below > 128).mean() > 0.3


def test_the_same_plan_and_seed_give_the_same_concepts() -> None:
    assert all((one == two).all() for one, two in zip(concepts(), concepts(), strict=True))


def test_a_photo_is_no_plan() -> None:
    assert is_flat(a_plan())
    assert not is_flat(opened(a_photo()))
    assert not is_flat(opened(a_camera_photo()))


def test_a_plan_of_one_colour_is_enough() -> None:
    drawn = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(drawn, "PNG")

    assert len(set(made(drawn.getvalue(), num_outputs=2))) == 2


async def the_error(world: World, **given: Any) -> str:
    failed = await world.bought(**given)
    assert failed["status"] == "failed"
    return str(failed["error"])


async def test_a_picture_is_made_from_the_photo_behind_the_link() -> None:
    async with a_world() as world:
        one, two = await world.bought(seed=1), await world.bought(seed=2)
        status, kind, data = await world.fetch(one["output"][0])

        assert (status, kind) == (200, "image/png")
        assert opened(data).size == (96, 64)
        assert data != (await world.fetch(two["output"][0]))[2]
        assert len(world.emulator.ledger.entries("input_fetch", status=200)) == 2


async def test_a_photo_may_come_as_a_data_url() -> None:
    async with a_world() as world:
        link = "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode()
        ended = await world.bought(image=link)
        by_link = await world.bought()

        assert ended["status"] == "succeeded"
        assert (await world.fetch(ended["output"][0]))[2] == (
            await world.fetch(by_link["output"][0])
        )[2]


async def test_a_link_that_leads_nowhere_fails_the_run() -> None:
    async with a_world() as world:
        link = f"{world.buyer.url}/gone.jpg?signature=s"

        assert await the_error(world, image=link) == f"404 Client Error: Not Found for url: {link}"


async def test_a_host_that_does_not_answer_fails_the_run() -> None:
    async with a_world() as world:
        error = await the_error(world, image="http://127.0.0.1:9/photo.jpg")

        assert "Failed to download input file" in error


async def test_a_photo_that_is_none_fails_the_run() -> None:
    async with a_world(photo=a_text_called_jpg()) as world:
        assert "cannot identify image file" in await the_error(world)
        assert "cannot identify" in await the_error(
            world, version=RESTORE, input_image=world.buyer.photo_url
        )


async def test_a_photo_beyond_all_bounds_is_not_read_to_its_end() -> None:
    async with a_world(input_limit_bytes=1000) as world:
        assert "Failed to download input file" in await the_error(world)


async def test_pictures_can_be_kept_small() -> None:
    async with a_world(photo=a_photo(size=(400, 200)), longest_side=128) as world:
        ended = await world.bought()

        assert opened((await world.fetch(ended["output"][0]))[2]).size == (128, 64)
