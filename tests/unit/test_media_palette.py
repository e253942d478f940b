"""Pictures in the colours of a palette: exact, steady, whatever kind of file came."""

import hashlib
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from shared.errors import Permanent
from shared.media import palette as module
from shared.media import ranking
from shared.media.colour import Bytes, UnusablePalette, palette_of, to_oklab
from shared.media.images import MOST_PIXELS, TooLargeImage, UnusableImage
from shared.media.made import Made
from shared.media.palette import Nearest, UnusableOptions, clamp, finish
from shared.media.steps import FINISH

GRANULES = ["#c1272d", "#e8a33d", "#f4e3b2", "#3b7a57", "#1f4e79", "#7fb7be", "#2b2b2b"]
INK_AND_PAPER = ["#000000", "#ffffff"]
PRIMARIES = ["#ff0000", "#0000ff", "#00ff00", "#ffffff"]

# Far apart, and next to each other: the second is where rounding would show.
palettes = st.one_of(
    st.lists(st.integers(0, 2**24 - 1), min_size=2, max_size=12, unique=True),
    st.builds(
        lambda start, steps: sorted({min(start + step, 2**24 - 1) for step in {0, *steps}}),
        st.integers(0, 2**24 - 600),
        st.lists(st.sampled_from([1, 2, 3, 4, 256, 257, 512]), min_size=1, max_size=6),
    ),
).map(lambda numbers: [f"#{number:06x}" for number in numbers])


@st.composite
def pictures(draw: st.DrawFn) -> Bytes:
    """Noise, shades of one colour, or flat areas with a few odd pixels."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "shades", "areas"]))
    noise: Bytes = chance.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "noise":
        return noise
    if kind == "shades":
        base = chance.integers(0, 240, 3)
        return np.asarray(base + chance.integers(0, 16, (height, width, 3)), dtype=np.uint8)
    areas = np.repeat(noise[:, :1], width, axis=1)
    areas[chance.random((height, width)) < 0.1] = noise[0, 0]
    return areas


def a_file(picture: Image.Image | Bytes, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, form, **options)
    return file.getvalue()


def finished(data: bytes, colours: list[str], *, dither: bool = False) -> Made:
    return finish(data, {"colours": colours, "dither": dither})


def pixels(made: Made) -> Bytes:
    return np.asarray(Image.open(io.BytesIO(made.data)).convert("RGB"))


def distances(colours: Bytes, palette: Bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(pixels, colours), the plain way."""
    seen, possible = to_oklab(colours.reshape(-1, 3), np.float64), to_oklab(palette, np.float64)
    return np.asarray(((seen[:, None] - possible[None]) ** 2).sum(axis=-1))


# ---- what every result has


@given(pictures(), palettes, st.booleans())
@settings(deadline=None, max_examples=150)
def test_every_pixel_of_the_result_is_a_colour_of_the_palette(
    picture: Bytes, colours: list[str], dither: bool
) -> None:
    result = pixels(finished(a_file(picture), colours, dither=dither))

    assert result.shape == picture.shape
    possible = {colour.tobytes() for colour in palette_of(colours)}
    assert {pixel.tobytes() for pixel in result.reshape(-1, 3)} <= possible


@given(pictures(), palettes, st.booleans())
@settings(deadline=None, max_examples=150)
def test_a_picture_that_is_clamped_already_stays_byte_for_byte(
    picture: Bytes, colours: list[str], dither: bool
) -> None:
    once = finished(a_file(picture), colours, dither=dither)

    assert finished(once.data, colours, dither=dither).data == once.data
    assert finished(once.data, colours, dither=not dither).data == once.data


@given(pictures(), palettes)
@settings(deadline=None, max_examples=150)
def test_no_other_colour_of_the_palette_lies_nearer(picture: Bytes, colours: list[str]) -> None:
    palette = palette_of(colours)

    chosen = Nearest(palette)(picture.reshape(-1, 3))

    all_of_them = distances(picture, palette)
    taken = all_of_them[np.arange(len(chosen)), chosen]
    np.testing.assert_allclose(taken, all_of_them.min(axis=1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_shortcut_by_boxes_agrees_with_the_plain_way_all_over_the_cube(seed: int) -> None:
    chance = np.random.default_rng(seed)
    palette = np.unique(chance.integers(0, 256, (24, 3), dtype=np.uint8), axis=0)
    level = np.arange(seed, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(level, level, level), axis=-1).reshape(-1, 3)

    chosen = Nearest(palette)(cube)

    np.testing.assert_array_equal(chosen, distances(cube, palette).argmin(axis=1))


def test_of_two_that_are_equally_near_the_first_named_is_taken() -> None:
    alike = np.array([[200, 0, 0], [10, 10, 10], [10, 10, 10]], dtype=np.uint8)

    assert Nearest(alike)(np.array([[11, 10, 10]], dtype=np.uint8)).tolist() == [1]


@pytest.mark.parametrize("dither", [False, True])
def test_it_does_not_matter_how_the_work_is_cut(
    monkeypatch: pytest.MonkeyPatch, dither: bool
) -> None:
    picture = Image.effect_noise((61, 47), 90).convert("RGB")
    palette = palette_of(GRANULES)
    whole = clamp(picture, palette, dither=dither).tobytes()

    monkeypatch.setattr(module, "STRIP", 61 * 5)

    assert clamp(picture, palette, dither=dither).tobytes() == whole


@pytest.mark.parametrize("dither", [False, True])
def test_the_same_picture_gives_the_same_bytes(dither: bool) -> None:
    data = a_file(Image.effect_mandelbrot((80, 60), (-2, -1, 1, 1), 60).convert("RGB"))

    sums = {
        hashlib.sha256(finished(data, GRANULES, dither=dither).data).hexdigest() for _ in range(3)
    }

    assert len(sums) == 1


@pytest.mark.parametrize(("number", "bits"), [(2, 1), (4, 2), (7, 4), (16, 4), (17, 8)])
def test_a_file_has_no_more_bits_than_its_palette_needs(number: int, bits: int) -> None:
    colours = [f"#{level:02x}{level:02x}{level:02x}" for level in range(0, 15 * number, 15)]

    made = finished(a_file(Image.linear_gradient("L")), colours)

    opened = Image.open(io.BytesIO(made.data))
    assert (opened.mode, opened.format, made.content_type) == ("P", "PNG", "image/png")
    assert made.data[24] == bits


def test_nothing_that_was_written_beside_the_picture_comes_along() -> None:
    exif = Image.Exif()
    exif[0xA430] = "SECRET-OWNER"
    data = a_file(Image.new("RGB", (9, 9), "red"), "JPEG", exif=exif, comment=b"SECRET")
    assert b"SECRET" in data

    made = finished(data, PRIMARIES)

    assert b"SECRET" not in made.data
    assert set(Image.open(io.BytesIO(made.data)).info) <= {"interlace"}


# ---- mixtures


@pytest.mark.parametrize("level", [60, 110, 160, 210])
def test_two_colours_mix_to_the_one_that_lies_between_them(level: int) -> None:
    grey = Image.new("RGB", (120, 120), (level,) * 3)

    mixed = pixels(finished(a_file(grey), INK_AND_PAPER, dither=True))

    lightness = float(to_oklab(np.array([level] * 3, dtype=np.uint8))[0])
    assert float((mixed[..., 0] == 255).mean()) == pytest.approx(lightness, abs=0.02)


def test_a_mixture_has_no_large_flat_spot() -> None:
    grey = Image.new("RGB", (128, 128), (100, 100, 100))

    mixed = pixels(finished(a_file(grey), INK_AND_PAPER, dither=True))[..., 0]

    by_eight = mixed.reshape(16, 8, 16, 8)
    assert by_eight.min(axis=(1, 3)).max() == 0
    assert by_eight.max(axis=(1, 3)).min() == 255


def test_without_dithering_a_flat_area_stays_flat() -> None:
    grey = Image.new("RGB", (64, 64), (100, 100, 100))

    assert len(np.unique(pixels(finished(a_file(grey), INK_AND_PAPER)))) == 1


# ---- every kind of file

Turn = Callable[[Image.Image], Image.Image]
# How the camera was held, by EXIF: what it then wrote of an upright picture.
HELD: dict[int, Turn] = {
    1: lambda p: p,
    2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
    4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
    7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
}


def four_corners() -> Image.Image:
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste("red", (0, 0, 20, 10))
    picture.paste("blue", (20, 0, 40, 10))
    picture.paste((0, 255, 0), (0, 10, 20, 20))
    return picture


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", sorted(HELD))
def test_the_result_stands_upright_however_the_camera_was_held(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} | ({"subsampling": 0} if form == "JPEG" else {})
    data = a_file(HELD[orientation](four_corners()), form, exif=exif, **options)

    made = finished(data, PRIMARIES)

    assert (made.width, made.height) == (40, 20)
    corners = pixels(made)[[2, 2, 17, 17], [2, 37, 2, 37]].tolist()
    assert corners == [[255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 255, 255]]


def test_colours_are_those_that_the_profile_means() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A caricature of a wide camera profile: what it calls red is the screen's blue.
    exchanged = srgb.replace(b"rXYZ", b"xxxx").replace(b"bXYZ", b"rXYZ").replace(b"xxxx", b"bXYZ")
    red = Image.new("RGB", (8, 8), "red")

    meant = pixels(finished(a_file(red, icc_profile=exchanged), PRIMARIES))

    assert np.unique(meant.reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]


def test_a_profile_that_changes_nothing_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    once = finished(a_file(Image.effect_noise((40, 30), 80).convert("RGB")), GRANULES)

    tagged = a_file(Image.fromarray(pixels(once)), icc_profile=srgb)

    assert finished(tagged, GRANULES).data == once.data


@pytest.mark.parametrize("profile", [b"junk", b"", bytes(200)])
def test_a_broken_profile_leaves_the_numbers_as_they_stand(profile: bytes) -> None:
    red = a_file(Image.new("RGB", (8, 8), "red"), icc_profile=profile)

    assert np.unique(pixels(finished(red, PRIMARIES)).reshape(-1, 3), axis=0).tolist() == [
        [255, 0, 0]
    ]


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"), ("LA", "WEBP"), ("P", "PNG"), ("P", "GIF")],
)
def test_what_shows_through_lies_on_white(mode: str, form: str) -> None:
    picture = Image.new(mode, (8, 8))  # black, and nothing of it to be seen
    if mode == "P":
        picture.putpalette([0, 0, 0])
    data = a_file(picture, form, **({"transparency": 0} if mode == "P" else {}))

    assert np.unique(pixels(finished(data, INK_AND_PAPER))).tolist() == [255]


def test_half_a_shadow_on_white_is_grey() -> None:
    shadow = a_file(Image.new("RGBA", (8, 8), (0, 0, 0, 128)))

    grey = pixels(finished(shadow, ["#000000", "#808080", "#ffffff"]))

    assert np.unique(grey).tolist() == [0x80]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_light_and_dark_stay_so_in_every_mode(mode: str) -> None:
    picture = Image.new("L", (16, 8), 0)
    picture.paste(255, (8, 0, 16, 8))

    result = pixels(finished(a_file(picture.convert(mode)), INK_AND_PAPER))

    assert (result[:, :8].max(), result[:, 8:].min()) == (0, 255)


def test_a_picture_of_print_has_its_colours() -> None:
    data = a_file(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")

    assert np.unique(pixels(finished(data, PRIMARIES)).reshape(-1, 3), axis=0).tolist() == [
        [255, 0, 0]
    ]


def a_png_of_16_bits(kind: int, levels: list[int], width: int = 16, height: int = 4) -> bytes:
    """``kind`` is PNG's: 0 grey, 2 red green blue."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    rows = b"".join(b"\0" + struct.pack(f">{len(levels)}H", *levels) * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("level", "shown"), [(0, 0x00), (0x8040, 0x80), (0x40FF, 0x40)])
@pytest.mark.parametrize("kind", [0, 2])
def test_sixteen_bits_a_channel_are_read_by_their_upper_half(
    kind: int, level: int, shown: int
) -> None:
    data = a_png_of_16_bits(kind, [level] * (3 if kind else 1))

    result = pixels(finished(data, ["#000000", "#404040", "#808080", "#ffffff"]))

    assert np.unique(result).tolist() == [shown]


def test_of_an_animation_the_first_picture_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = a_file(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert np.unique(pixels(finished(data, PRIMARIES)).reshape(-1, 3), axis=0).tolist() == [
        [255, 0, 0]
    ]


def test_the_score_is_the_given_pictures_and_not_the_results() -> None:
    picture = Image.effect_noise((200, 160), 70).convert("RGB")
    palette = palette_of(GRANULES)

    made = finished(a_file(picture), GRANULES)

    assert made.score == ranking.score(np.asarray(picture), palette).total
    assert made.score != ranking.score(pixels(made), palette).total
    assert finished(a_file(picture), GRANULES, dither=True).score == made.score


# ---- what cannot be finished


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"%PDF-1.7", b"ID3\x04" + bytes(100), b"<svg onload='alert(1)'/>"],
    ids=["empty", "text", "pdf", "mp3", "svg"],
)
def test_what_is_no_picture_is_refused_for_good(data: bytes) -> None:
    with pytest.raises(UnusableImage) as refusal:
        finished(data, GRANULES)

    assert isinstance(refusal.value, Permanent)


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), st.integers(0, 80))
@settings(deadline=None, max_examples=150)
def test_whatever_the_bytes_only_our_own_refusal_comes_out(
    noise: bytes, form: str, at: int
) -> None:
    good = a_file(Image.effect_noise((20, 20), 80).convert("RGB"), form)

    with suppress(UnusableImage):
        finished(good[:at] + noise + good[at + len(noise) :], INK_AND_PAPER)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_a_picture_that_was_cut_off_is_refused(form: str, kept: float) -> None:
    data = a_file(Image.effect_noise((200, 160), 80).convert("RGB"), form)

    with pytest.raises(UnusableImage):
        finished(data[: int(len(data) * kept)], GRANULES)


@pytest.mark.parametrize("size", [(60_000, 60_000), (MOST_PIXELS + 1, 1), (8_000, 8_000)])
def test_a_bomb_is_refused_before_it_goes_off(size: tuple[int, int]) -> None:
    bomb = bytearray(a_file(Image.new("L", (1, 1))))
    bomb[16:24] = struct.pack(">II", *size)
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    tracemalloc.start()

    with pytest.raises(TooLargeImage):
        finished(bytes(bomb), GRANULES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize("colours", [None, [], ["#ff0000"], ["red", "blue"]])
def test_colours_that_are_none_are_refused_for_good(colours: object) -> None:
    with pytest.raises(UnusablePalette):
        finish(a_file(Image.new("L", (1, 1))), {"colours": colours, "dither": False})


@pytest.mark.parametrize("dither", ["yes", 1, None])
def test_dithering_is_asked_for_by_true_or_false(dither: object) -> None:
    with pytest.raises(UnusableOptions) as refusal:
        finish(a_file(Image.new("L", (1, 1))), {"colours": GRANULES, "dither": dither})

    assert isinstance(refusal.value, Permanent)


def test_the_step_is_found_by_the_name_that_recipes_use() -> None:
    assert FINISH["palette"] is finish
