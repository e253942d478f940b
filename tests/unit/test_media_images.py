"""Pictures that somebody sent: measured if they are whole, refused by name if not."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.media.images import (
    LONGEST_SIDE,
    MOST_PIXELS,
    ImageInfo,
    TooLargeImage,
    TruncatedImage,
    UnusableImage,
    decode,
    measure,
    smaller,
)

KINDS = ("PNG", "JPEG", "WEBP", "GIF")


def a_picture(kind: str = "PNG", size: tuple[int, int] = (64, 40), **options: Any) -> bytes:
    picture = Image.effect_noise(size, 80).convert("RGB")
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def look(data: bytes, *, alone: bool = False) -> ImageInfo:
    return measure(io.BytesIO(data), alone=alone)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def a_png(width: int, height: int, rows: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *more, chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# ---- good pictures


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_picture_is_measured_by_its_own_bytes(kind: str) -> None:
    info = look(a_picture(kind), alone=True)

    assert (info.content_type, info.width, info.height) == (f"image/{kind.lower()}", 64, 40)
    assert info.orientation == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_width_and_height_are_as_people_see_them(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    info = look(a_picture(kind, exif=exif))

    assert info.orientation == orientation
    assert (info.width, info.height) == ((40, 64) if orientation >= 5 else (64, 40))


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    assert look(a_picture("JPEG", exif=exif)).orientation == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_notes_of_the_camera_do_not_spoil_the_picture() -> None:
    assert look(a_picture("JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")).orientation == 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_every_kind_of_png_is_a_picture(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (5, 7)).save(file, "PNG")

    assert (look(file.getvalue()).width, look(file.getvalue()).height) == (5, 7)


def test_a_picture_of_print_is_a_picture() -> None:
    file = io.BytesIO()
    Image.new("CMYK", (33, 9)).save(file, "JPEG")

    assert look(file.getvalue()).width == 33


def test_a_progressive_jpeg_is_measured() -> None:
    assert look(a_picture("JPEG", (300, 200), progressive=True)).width == 300


def test_what_a_camera_appends_is_fine_unless_the_picture_must_stand_alone() -> None:
    data = a_picture("JPEG") + b"appended by a phone" * 10

    assert look(data).width == 64
    with pytest.raises(UnusableImage):
        look(data, alone=True)


# ---- what is no picture, or not whole


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a text called picture.png",
        b"<!doctype html><title>Not found</title>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7 ...",
        b"PK\x03\x04" + bytes(100),
        b"BM" + bytes(100),
        b"ID3\x04" + bytes(100),
        b"\x00" * 10_000,
    ],
)
def test_another_file_is_not_a_picture_whatever_its_name(data: bytes) -> None:
    with pytest.raises(UnusableImage):
        look(data)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "ICO", "PCX", "TGA", "JPEG2000", "PDF"])
def test_formats_that_nobody_needs_never_reach_their_decoder(kind: str) -> None:
    with pytest.raises(UnusableImage, match="not a picture"):
        look(a_picture(kind, (32, 32)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_picture_cut_off_is_refused(kind: str, kept: float) -> None:
    data = a_picture(kind, (200, 160))

    with pytest.raises(UnusableImage):
        look(data[: int(len(data) * kept)])


def test_a_picture_cut_off_in_its_middle_is_named_so() -> None:
    for kind in ("PNG", "JPEG"):
        data = a_picture(kind, (200, 160))
        with pytest.raises(TruncatedImage):
            look(data[: len(data) // 2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_without_a_body_is_refused(kind: str) -> None:
    with pytest.raises(UnusableImage):
        look(a_picture(kind)[:24])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "hidden",
    [b"<html><script>alert(1)</script></html>", b"PK\x03\x04" + bytes(40), b"%PDF-1.7 %%EOF"],
)
def test_a_file_that_hides_another_one_behind_it_is_refused(kind: str, hidden: bytes) -> None:
    with pytest.raises(UnusableImage, match="goes on"):
        look(a_picture(kind) + hidden, alone=True)


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a/*<svg/onload=alert(1)>*/=1;alert(1)//;",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR<html><script>alert(1)</script>",
        b"\xff\xd8\xff\xfe\x00\x20<html><script>alert(1)</script></html>" + bytes(100),
        b"RIFF\x24\x00\x00\x00WEBPVP8 <script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + a_picture("JPEG"),
        b"GIF89a" + a_picture("PNG"),
    ],
)
def test_a_file_that_is_two_things_is_neither(data: bytes) -> None:
    with pytest.raises(UnusableImage):
        look(data)


def test_a_file_is_only_shown_to_the_decoder_of_its_magic_bytes() -> None:
    # A Photo CD is known by bytes in its middle; at its head stands what a PNG begins with.
    data = bytearray(96 * 2048 + 768 * 512 * 3)
    data[:16] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
    data[2048:2052] = b"PCD_"

    with pytest.raises(UnusableImage):
        look(bytes(data))


@given(st.binary(max_size=400), st.sampled_from(KINDS), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_whatever_the_bytes_only_our_own_refusal_comes_out(
    noise: bytes, kind: str, at: int
) -> None:
    good = a_picture(kind, (20, 20))
    with suppress(UnusableImage):
        look(good[:at] + noise + good[at + len(noise) :])


# ---- the picture itself


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_decoded_whole(kind: str) -> None:
    picture = decode(a_picture(kind))

    assert picture.size == (64, 40)
    assert len(picture.convert("RGB").tobytes()) == 64 * 40 * 3


def test_a_jpeg_is_decoded_no_larger_than_there_is_use_for() -> None:
    photo = a_picture("JPEG", (1600, 1200))

    assert decode(photo, edge=300).size == (400, 300)
    assert decode(photo, edge=301).size == (800, 600)


@pytest.mark.parametrize("read", [look, decode])
def test_too_little_memory_says_nothing_about_the_picture(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[bytes], object]
) -> None:
    data = a_picture("PNG")

    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", no_room)

    with pytest.raises(MemoryError):
        read(data)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_picture_made_smaller_by_strips_is_the_whole_made_smaller(mode: str) -> None:
    noise = Image.effect_noise((70, 500), 80)
    picture = Image.new("I;16", noise.size, 40_000) if mode == "I;16" else noise.convert(mode)

    small = smaller(picture, 3)

    assert small.size == (24, 167)
    if mode in {"L", "RGB", "RGBA", "CMYK"}:
        assert small.tobytes() == picture.reduce(3).tobytes()
    assert set(small.getbands()) <= set("RGBACMYKL")


# ---- bombs


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (MOST_PIXELS + 1, 1),
        (LONGEST_SIDE + 1, 1),
        (1, LONGEST_SIDE + 1),
        (8_000, 8_000),
        (20_000, 20_000),
        (65_535, 65_535),
        (2**31 - 1, 2**31 - 1),
    ],
)
def test_more_pixels_than_anybody_needs_are_not_decoded(width: int, height: int) -> None:
    bomb = a_png(width, height, zlib.compress(bytes(100)))
    tracemalloc.start()

    with pytest.raises(UnusableImage) as refusal:
        look(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(refusal.value, TooLargeImage) or width >= 2**31 - 1
    assert peak < 4 * 1024 * 1024


def test_rows_that_unpack_to_more_than_the_picture_are_cut_at_its_size() -> None:
    bomb = a_png(10, 10, zlib.compress(bytes(50 * 1024 * 1024), 9))
    tracemalloc.start()

    with suppress(UnusableImage):
        look(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_comment_that_unpacks_to_megabytes_takes_no_memory(name: bytes) -> None:
    packed = zlib.compress(bytes(100 * 1024 * 1024), 9)
    label = b"note\x00\x01\x00\x00\x00" if name == b"iTXt" else b"note\x00\x00"
    bomb = a_png(1, 1, zlib.compress(b"\x00\x00"), chunk(name, label + packed))
    tracemalloc.start()

    with suppress(UnusableImage):
        look(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 * 1024 * 1024


def test_a_webp_that_claims_to_be_huge_is_refused() -> None:
    canvas = (16_383).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    with pytest.raises(UnusableImage):
        look(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_a_gif_that_claims_to_be_huge_is_refused() -> None:
    data = bytearray(a_picture("GIF"))
    data[6:10] = struct.pack("<HH", 65_535, 65_535)

    with pytest.raises(TooLargeImage):
        look(bytes(data))


def test_a_jpeg_that_claims_to_be_huge_is_refused() -> None:
    data = bytearray(a_picture("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_000, 65_000)

    with pytest.raises(TooLargeImage):
        look(bytes(data))
