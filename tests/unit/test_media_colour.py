"""sRGB and Oklab, there and back; and the colours that people name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.media.colour import UnusablePalette, palette_of, to_oklab, to_srgb

# Published with the space itself: XYZ in, Oklab out to three digits; here as the sRGB primaries.
KNOWN = {
    (255, 255, 255): (1.0, 0.0, 0.0),
    (0, 0, 0): (0.0, 0.0, 0.0),
    (255, 0, 0): (0.6280, 0.2249, 0.1258),
    (0, 255, 0): (0.8664, -0.2339, 0.1795),
    (0, 0, 255): (0.4520, -0.0325, -0.3115),
}


@pytest.mark.parametrize(("srgb", "oklab"), KNOWN.items())
def test_known_colours_lie_where_the_space_was_published_to_have_them(
    srgb: tuple[int, int, int], oklab: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(to_oklab(np.array(srgb, dtype=np.uint8)), oklab, atol=1e-4)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_fifth_level_of_every_channel_comes_back_as_it_went(
    kind: type[np.float32 | np.float64],
) -> None:
    level = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(level, level, level), axis=-1)

    np.testing.assert_array_equal(to_srgb(to_oklab(colours, kind)), colours)


def test_a_colour_that_no_screen_shows_is_cut_off_and_not_turned_over() -> None:
    out_of_reach = np.array([[0.9, 0.4, 0.2], [1.2, 0.0, 0.0], [-0.2, 0.0, 0.0]], dtype=np.float32)

    shown = to_srgb(out_of_reach)

    assert shown[0, 0] == 255
    assert shown[1].tolist() == [255, 255, 255]
    assert shown[2].tolist() == [0, 0, 0]


def test_colours_keep_their_order_and_each_is_there_once() -> None:
    palette = palette_of(["#FF0000", "#00ff00", "#ff0000", "#0000FF"])

    assert palette.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.mark.parametrize(
    "colours",
    [
        None,
        "#112233",
        7,
        [],
        ["#112233"],
        ["#112233", "#112233"],
        ["#112233", "red"],
        ["#112233", "#12345"],
        ["#112233", "#1122334"],
        ["#112233", "112233"],
        ["#112233", "#11223g"],
        ["#112233", 0x445566],
        ["#112233", None],
        ["#112233", "#445566\n"],
        [f"#{number:06x}" for number in range(257)],
    ],
)
def test_what_is_no_palette_is_refused_for_good(colours: object) -> None:
    with pytest.raises(UnusablePalette) as refusal:
        palette_of(colours)

    assert isinstance(refusal.value, Permanent)
    assert len(str(refusal.value)) < 120


@given(st.lists(st.integers(0, 2**24 - 1), min_size=2, max_size=256, unique=True))
@settings(deadline=None)
def test_a_palette_holds_just_the_colours_that_were_named(numbers: list[int]) -> None:
    palette = palette_of(tuple(f"#{number:06x}" for number in numbers))

    assert [int.from_bytes(colour.tobytes(), "big") for colour in palette] == numbers
