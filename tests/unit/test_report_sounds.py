"""The page's copies of sounds, and what a page draws of sounds and colours."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.report.drawing import WAVE_HEIGHT, bands, waveform
from services.report.sounds import COPY_MAX_BYTES, KBPS, PEAKS, SmallCopy, for_page
from services.report.view import Share, Sound
from shared.media.made import Made


def a_small_copy(size: int) -> SmallCopy:
    def small_copy(data: bytes, *, kbps: int) -> Made:
        assert data == b"the stored file"
        assert kbps == KBPS
        return Made(data=b"x" * size, content_type="audio/mpeg")

    return small_copy


def level(_data: bytes, *, points: int) -> list[float]:
    return [0.5] * points


def a_copy_of(size: int) -> Sound:
    """A sound whose copy for the page has ``size`` bytes."""
    return for_page(
        b"the stored file",
        small_copy=a_small_copy(size),
        peaks=level,
        loudness=lambda _data: -18.0,
    )


def test_a_sound_gets_a_small_copy_its_outline_and_its_loudness() -> None:
    sound = a_copy_of(1000)

    assert (sound.content_type, sound.data) == ("audio/mpeg", b"x" * 1000)
    assert sound.peaks == (0.5,) * PEAKS
    assert sound.loudness == -18.0


def test_a_copy_that_is_too_much_for_a_page_is_left_out_of_it() -> None:
    assert a_copy_of(COPY_MAX_BYTES).data is not None
    assert a_copy_of(COPY_MAX_BYTES + 1).data is None
    assert a_copy_of(COPY_MAX_BYTES + 1).peaks


PEAK_LISTS = st.lists(st.floats(0, 1), min_size=1, max_size=200)


@given(PEAK_LISTS)
def test_a_waveform_has_a_bar_for_each_peak_and_stays_in_its_frame(peaks: list[float]) -> None:
    bars = re.findall(r"M(\d+) ([\d.e-]+)h\.66v([\d.e-]+)h-\.66z", waveform(peaks))

    assert [int(at) for at, _, _ in bars] == list(range(len(peaks)))
    for _, top, height in bars:
        assert float(top) >= 0
        assert float(top) + float(height) <= WAVE_HEIGHT + 0.1


@given(PEAK_LISTS)
def test_a_louder_moment_is_never_drawn_smaller(peaks: list[float]) -> None:
    heights = [float(height) for height in re.findall(r"v([\d.e-]+)h", waveform(sorted(peaks)))]

    assert all(quiet <= loud for quiet, loud in pairwise(heights))


def test_a_quiet_sound_fills_the_drawing_and_silence_stays_a_line() -> None:
    def tallest(*peaks: float) -> float:
        return max(float(height) for height in re.findall(r"v([\d.e-]+)h", waveform(peaks)))

    assert tallest(0.05, 0.1) == tallest(0.5, 1.0) > 0.9 * WAVE_HEIGHT
    assert tallest(0.0, 0.0) < 0.02 * WAVE_HEIGHT


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=64))
def test_the_shares_of_a_bar_follow_one_another_and_fill_it(parts: list[float]) -> None:
    drawn = bands([Share(colour="#000000", part=part) for part in parts])

    assert drawn[0].start == 0
    assert drawn[-1].start + drawn[-1].length == pytest.approx(100, abs=0.01)
    for left, right in pairwise(drawn):
        assert left.start + left.length == pytest.approx(right.start, abs=0.01)
