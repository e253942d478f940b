"""The page's copies of pictures: upright, small, and silent about where they were taken."""

import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from services.report.pictures import FEW_COLOURS, Undisplayable, for_page
from services.report.view import Picture, Share

RED, BLUE = (220, 30, 30), (30, 30, 220)
GPS, ORIENTATION, OWNER = 0x8825, 0x0112, 0xA430


def a_file(picture: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def red_over_blue(width: int = 80, height: int = 40) -> Image.Image:
    picture = Image.new("RGB", (width, height), BLUE)
    picture.paste(RED, (0, 0, width, height // 2))
    return picture


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    return image


def colour_at(image: Image.Image, across: float, down: float) -> str:
    point = (int(across * (image.width - 1)), int(down * (image.height - 1)))
    red, _green, blue, *_ = image.convert("RGB").getpixel(point)  # type: ignore[misc]
    return "red" if red > blue else "blue"


# How the camera was held, by EXIF: what turns it back, for a picture that is red on top.
HELD: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda p: p,
    2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
    4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
    7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
}


@pytest.mark.parametrize("orientation", sorted(HELD))
def test_a_photo_stands_upright_however_the_camera_was_held(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photo = a_file(HELD[orientation](red_over_blue()), exif=exif)

    copy = for_page(photo, edge=400)

    assert (copy.width, copy.height) == (80, 40)
    assert (colour_at(opened(copy), 0.5, 0.1), colour_at(opened(copy), 0.5, 0.9)) == ("red", "blue")


@pytest.mark.parametrize("profiled", [True, False])
def test_nothing_that_the_camera_wrote_reaches_the_page(profiled: bool) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    exif[OWNER] = "SECRET-OWNER"
    exif.get_ifd(GPS)[29] = "SECRET-DATE"
    photo = a_file(
        red_over_blue(),
        exif=exif,
        comment=b"SECRET-COMMENT",
        xmp=b"<x:xmpmeta>SECRET-XMP</x:xmpmeta>",
        icc_profile=srgb() if profiled else None,
    )
    assert photo.count(b"SECRET") == 4

    copy = for_page(photo, edge=400)

    assert b"SECRET" not in copy.data
    assert not {"exif", "icc_profile", "comment", "xmp"} & set(opened(copy).info)


def test_nothing_that_a_program_wrote_into_a_png_reaches_the_page() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "SECRET-PROMPT")
    picture = a_file(red_over_blue().convert("RGBA"), "PNG", pnginfo=notes)
    assert b"SECRET" in picture

    assert b"SECRET" not in for_page(picture, edge=400).data


@pytest.mark.parametrize("size", [(3000, 1000), (1000, 3000), (3000, 3000)])
def test_the_longer_side_is_what_was_asked_for(size: tuple[int, int]) -> None:
    copy = for_page(a_file(Image.new("RGB", size, RED)), edge=600)

    assert max(copy.width, copy.height) == 600
    assert abs(copy.width / copy.height - size[0] / size[1]) < 0.02
    assert opened(copy).size == (copy.width, copy.height)


def test_a_small_picture_is_not_blown_up() -> None:
    copy = for_page(a_file(red_over_blue(8, 4), "PNG"), edge=600)

    assert (copy.width, copy.height) == (8, 4)


def test_what_shows_through_still_does() -> None:
    copy = for_page(a_file(Image.new("RGBA", (40, 40), (255, 0, 0, 64)), "PNG"), edge=400)

    assert copy.content_type == "image/webp"
    alpha = opened(copy).getpixel((20, 20))[3]  # type: ignore[index]
    assert 50 < alpha < 80


def test_a_palette_with_one_clear_colour_still_shows_through() -> None:
    picture = Image.new("P", (40, 40), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])

    copy = for_page(a_file(picture, "PNG", transparency=1), edge=400)

    assert opened(copy).getpixel((20, 20))[3] == 0  # type: ignore[index]


def test_sixteen_bits_a_channel_are_not_clipped_to_white() -> None:
    picture = Image.new("I;16", (40, 40), 32_768)

    copy = for_page(a_file(picture, "PNG"), edge=400)

    red, green, blue = opened(copy).convert("RGB").getpixel((20, 20))  # type: ignore[misc]
    assert red == green == blue
    assert 120 <= red <= 136


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
def test_every_kind_of_jpeg_becomes_one_that_a_browser_shows(mode: str) -> None:
    copy = for_page(a_file(red_over_blue().convert(mode)), edge=400)

    assert copy.content_type == "image/jpeg"
    assert opened(copy).mode == "RGB"


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_colours_of_another_profile_become_those_of_a_screen() -> None:
    # A caricature of a wide camera profile: what it calls red is the screen's blue.
    exchanged = srgb().replace(b"rXYZ", b"xxxx").replace(b"bXYZ", b"rXYZ").replace(b"xxxx", b"bXYZ")

    copy = for_page(a_file(red_over_blue(), icc_profile=exchanged), edge=400)

    assert colour_at(opened(copy), 0.5, 0.1) == "blue"


def test_a_broken_profile_leaves_the_colours_as_they_are() -> None:
    copy = for_page(a_file(red_over_blue(), icc_profile=srgb()[:100]), edge=400)

    assert colour_at(opened(copy), 0.5, 0.1) == "red"


def test_the_first_frame_of_an_animation_is_shown() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE)]
    animation = a_file(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert colour_at(opened(for_page(animation, edge=400)), 0.5, 0.5) == "red"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_damaged_file_is_refused_wherever_it_was_cut(form: str) -> None:
    whole = a_file(Image.effect_noise((64, 64), 90).convert("RGB"), form)
    outcomes = []

    for length in range(0, len(whole), max(1, len(whole) // 60)):
        try:
            outcomes.append(for_page(whole[:length], edge=400).width)
        except Undisplayable:
            outcomes.append(0)

    assert set(outcomes) <= {0, 64}
    assert outcomes[: len(outcomes) // 3] == [0] * (len(outcomes) // 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"a text, whatever its name says", b"%PDF-1.7", b"<svg xmlns='x' onload='alert(1)'/>"],
    ids=["empty", "text", "pdf", "svg"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(Undisplayable):
        for_page(data, edge=400)


def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header() -> None:
    header = bytearray(a_file(Image.new("L", (1, 1)), "PNG"))
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")

    with pytest.raises(Undisplayable):
        for_page(bytes(header), edge=400)


def test_a_page_of_copies_stays_small() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((2000, 1500), 60) for _ in range(3)])

    copy = for_page(a_file(noise, quality=95), edge=1200)

    assert len(copy.data) < 1_200_000


@pytest.mark.parametrize("indexed", [False, True])
def test_a_picture_of_few_colours_says_how_much_of_each_it_has(indexed: bool) -> None:
    areas = Image.new("RGB", (80, 40), BLUE)
    areas.paste(RED, (0, 0, 80, 10))

    picture = for_page(a_file(areas.quantize(2) if indexed else areas, "PNG"), edge=200)

    assert picture.colours == (
        Share(colour="#1e1edc", part=0.75),
        Share(colour="#dc1e1e", part=0.25),
    )


def test_a_picture_of_few_colours_is_shown_in_exactly_them() -> None:
    picture = for_page(a_file(red_over_blue(), "PNG"), edge=200)

    assert picture.content_type == "image/webp"
    assert {colour for _, colour in opened(picture).convert("RGB").getcolors() or ()} == {RED, BLUE}


def test_the_shares_are_those_of_the_stored_file_also_where_its_copy_is_smaller() -> None:
    picture = for_page(a_file(red_over_blue(800, 400), "PNG"), edge=100)

    assert (picture.width, picture.content_type) == (100, "image/jpeg")
    assert [share.part for share in picture.colours] == [0.5, 0.5]


def test_a_photo_and_a_picture_that_shows_through_have_no_shares() -> None:
    many = Image.linear_gradient("L")
    through = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    indexed = red_over_blue().quantize(2)

    assert len(many.getcolors() or ()) > FEW_COLOURS
    assert for_page(a_file(many, "PNG"), edge=200).colours == ()
    assert for_page(a_file(through, "PNG"), edge=200).colours == ()
    assert for_page(a_file(indexed, "PNG", transparency=0), edge=200).colours == ()
    assert for_page(a_file(red_over_blue(), "JPEG"), edge=200).colours == ()
