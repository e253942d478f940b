"""The drawn photos that the demo and the tests work on."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from deploy.local.photos import default_photo, landscape
from deploy.local.portraits import damaged_photo, portrait
from tests.support.photos import a_camera_photo, a_photo, a_text_called_jpg, a_tiny_photo


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_camera_photo_lies_on_its_side_and_says_so() -> None:
    photo = opened(a_camera_photo(size=(60, 80)))

    assert photo.format == "JPEG"
    assert photo.size == (80, 60)
    assert photo.getexif()[274] == 6
    assert photo.getexif()[271] == "Hikari"
    assert ImageOps.exif_transpose(photo).size == (60, 80)


def test_another_seed_draws_another_photo_and_the_same_seed_the_same() -> None:
    assert a_photo(seed=1, size=(64, 48)) == a_photo(seed=1, size=(64, 48))
    assert a_photo(seed=1, size=(64, 48)) != a_photo(seed=2, size=(64, 48))


@pytest.mark.parametrize("draw", [landscape, portrait])
@pytest.mark.parametrize("size", [(40, 30), (30, 40)])
def test_photos_come_in_the_size_asked_for(draw: object, size: tuple[int, int]) -> None:
    assert callable(draw)
    assert draw(5, size).size == size


def test_the_demos_photo_is_a_picture_and_a_text_is_none() -> None:
    assert opened(default_photo()).size == (1200, 900)
    assert opened(a_tiny_photo()).format == "PNG"
    with pytest.raises(OSError, match="cannot identify"):
        opened(a_text_called_jpg())


def test_the_photo_to_restore_is_pale_and_scratched() -> None:
    old, new = opened(damaged_photo()), portrait(2, (900, 1200))

    assert old.size == new.size

    def contrast(image: Image.Image) -> float:
        return float(np.asarray(image.convert("L"), dtype=float).std())

    def colour(image: Image.Image) -> float:
        return float(np.ptp(np.asarray(image, dtype=float), axis=2).std())

    assert contrast(old) < 0.7 * contrast(new)
    assert colour(old) < 0.7 * colour(new)
    assert damaged_photo() == damaged_photo()
