"""The outline of a sound shows where it is loud."""

import tracemalloc

import pytest

from shared.media.waveform import peaks
from tests.support.tones import a_sound, a_tone, a_wav, encoded, one_after_the_other

STEPS = one_after_the_other(
    a_tone(0.5, level=0.1), a_tone(0.5, level=0.9), a_tone(0.5, level=0), a_tone(0.5, level=0.4)
)


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "ogg"])
def test_each_part_is_as_high_as_its_loudest_sample(form: str) -> None:
    wav = a_wav(STEPS)
    drawn = peaks(wav if form == "wav" else encoded(wav, form), points=20)

    # The parts in the middle of each step: encoders smear what is at the edge.
    assert [drawn[at] for at in (2, 7, 12, 17)] == pytest.approx([0.1, 0.9, 0, 0.4], abs=0.06)


def test_a_sound_in_one_channel_alone_is_seen() -> None:
    left = a_tone(0.2, level=0.8)
    left[1] = 0

    assert max(peaks(a_wav(left), points=4)) == pytest.approx(0.8, abs=0.01)


def test_a_click_of_one_sample_is_seen() -> None:
    samples = a_tone(1, level=0)
    samples[:, 30_000] = 0.7

    drawn = peaks(a_wav(samples), points=10)

    assert drawn == pytest.approx((0, 0, 0, 0, 0, 0, 0.7, 0, 0, 0), abs=0.001)


def test_channels_that_cancel_each_other_are_seen() -> None:
    against = a_tone(0.2, level=0.8)
    against[1] *= -1

    assert min(peaks(a_wav(against), points=4)) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("points", [1, 3, 160, 10_000])
def test_there_are_as_many_points_as_asked_for_whatever_the_length(points: int) -> None:
    drawn = peaks(a_sound(seconds=0.1), points=points)

    assert len(drawn) == points
    assert all(0 <= point <= 1 for point in drawn)


@pytest.mark.parametrize("points", [0, -1, 10_001])
def test_points_that_nobody_can_draw_are_refused(points: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        peaks(a_sound(), points=points)


def test_a_long_sound_takes_no_more_memory_than_a_piece_of_it() -> None:
    long = encoded(a_wav(a_tone(1)), "flac", "-af", "aloop=loop=119:size=44100")
    tracemalloc.start()
    try:
        peaks(long)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert most < 4 * 1024 * 1024, "two minutes are 21 MB of samples"
