"""Small copies of pictures. What a page asks of them is in the report's own tests."""

import io
from typing import Any

import pytest
from PIL import Image

from shared.errors import Permanent
from shared.media.images import UnusableImage
from shared.media.made import Made
from shared.media.thumbnail import thumbnail


def a_file(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def opened(made: Made) -> Image.Image:
    picture = Image.open(io.BytesIO(made.data))
    picture.load()
    return picture


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(40, 30), (400, 300), (3000, 2000)])
def test_every_kind_of_picture_becomes_a_small_copy(mode: str, size: tuple[int, int]) -> None:
    made = thumbnail(a_file(Image.new(mode, size)), edge=100)

    copy = opened(made)
    assert copy.size == (made.width, made.height)
    assert max(copy.size) == min(100, max(size))
    assert made.content_type == ("image/webp" if mode in {"LA", "RGBA"} else "image/jpeg")


def test_light_and_dark_halves_stay_where_they_are_however_large_the_picture() -> None:
    picture = Image.new("RGB", (2000, 1500), "white")
    picture.paste("black", (0, 0, 2000, 750))

    copy = opened(thumbnail(a_file(picture), edge=80)).convert("L")

    assert copy.getpixel((40, 15)) == 0
    assert copy.getpixel((40, 45)) == 255


@pytest.mark.parametrize("edge", [1, 2])
def test_a_copy_of_a_ribbon_has_at_least_one_pixel_across(edge: int) -> None:
    made = thumbnail(a_file(Image.new("RGB", (3000, 2))), edge=edge)

    assert (made.width, made.height) == (edge, 1)


def test_the_same_picture_gives_the_same_bytes() -> None:
    data = a_file(Image.effect_noise((500, 300), 60).convert("RGB"), "JPEG")

    assert thumbnail(data, edge=200) == thumbnail(data, edge=200)


def test_what_is_no_picture_is_refused_for_good() -> None:
    with pytest.raises(UnusableImage) as refusal:
        thumbnail(b"no picture", edge=100)

    assert isinstance(refusal.value, Permanent)
