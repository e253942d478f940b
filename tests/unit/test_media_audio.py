"""Sounds: proven to their end, cut as wanted, in the format that they came in."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.media import steps
from shared.media.audio import (
    AudioInfo,
    TruncatedAudio,
    UnusableAudio,
    loudness,
    probe,
    small_copy,
    trim,
)
from shared.media.sound_head import read_head
from tests.support.sounds import decoded, from_wav
from tests.support.tones import (
    CONTENT_TYPES,
    RATE,
    a_sound,
    a_tone,
    a_wav,
    encoded,
    nearly_silent,
    one_after_the_other,
)

FORMATS = tuple(CONTENT_TYPES)
QUIET_BEFORE, HEARD, QUIET_AFTER = 0.4, 1.0, 0.6  # seconds
KEPT = 0.010 + 0.050  # around what is heard


def look(data: bytes) -> AudioInfo:
    return probe(io.BytesIO(data))


def a_model_s_output(form: str = "wav", *, level: float = 0.5, noise: float = 0.0005) -> bytes:
    """A tone between two almost silent ends."""
    wav = a_wav(
        one_after_the_other(
            nearly_silent(QUIET_BEFORE, level=noise),
            a_tone(HEARD, level=level),
            nearly_silent(QUIET_AFTER, level=noise),
        )
    )
    return wav if form == "wav" else encoded(wav, form)


# ---- probe


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_sound_is_measured_to_the_frame(form: str) -> None:
    info = look(a_sound(form))

    assert info == AudioInfo(
        content_type=CONTENT_TYPES[form], seconds=1.0, channels=2, sample_rate=RATE
    )


def test_a_file_is_read_from_its_beginning_wherever_it_stands() -> None:
    file = io.BytesIO(a_sound())
    file.seek(0, io.SEEK_END)

    assert probe(file).seconds == 1.0


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_any_number_of_channels_is_measured(channels: int) -> None:
    info = look(a_wav(a_tone(0.5, channels=channels)))

    assert (info.channels, info.seconds) == (channels, 0.5)


def test_an_mp3_with_a_picture_of_its_sleeve_is_a_sound(tmp_path: Any) -> None:
    from PIL import Image

    sleeve = tmp_path / "sleeve.png"
    Image.new("RGB", (40, 40), "red").save(sleeve)
    options = ("-i", str(sleeve), "-map", "0:a", "-map", "1:v", "-c:v", "copy")
    data = encoded(a_sound(), "mp3", *options)

    assert b"\x89PNG" in data
    assert look(data).seconds == 1.0


def test_a_flac_that_was_cut_off_is_refused() -> None:
    whole = a_sound("flac")

    with pytest.raises(TruncatedAudio, match="cut off"):
        look(whole[: len(whole) // 2])


def test_a_flac_that_was_cut_between_two_frames_is_refused_for_what_it_promised() -> None:
    whole = a_sound("flac", 2)
    starts = [n for n in range(100, len(whole) - 1) if whole[n : n + 2] == b"\xff\xf8"]

    with pytest.raises(TruncatedAudio, match=r"of 2\.00 s are there"):
        look(whole[: starts[len(starts) // 2]])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_was_cut_off_is_refused(form: str) -> None:
    whole = a_sound(form)

    with pytest.raises(TruncatedAudio):
        look(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize("form", ["mp3", "flac", "ogg"])
def test_a_hole_in_the_middle_is_refused(form: str) -> None:
    whole = bytearray(a_sound(form, 4))
    begin = len(whole) // 2
    whole[begin : begin + 3000] = np.random.default_rng(3).bytes(3000)

    with pytest.raises(UnusableAudio):
        look(bytes(whole))


def test_a_flac_with_a_single_wrong_byte_is_refused() -> None:
    whole = bytearray(encoded(a_wav(nearly_silent(1, level=0.5)), "flac"))
    whole[len(whole) // 2] ^= 0x01

    with pytest.raises(TruncatedAudio, match="damaged"):
        look(bytes(whole))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!doctype html><html><body>404</body></html>",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.mp3\n",
        a_wav(a_tone(0)),
        b"ID3\x04\x00\x00\x00\x00\x00\x00",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"\xff\xfb\x90\x00" + bytes(40),
        b"OggS\x00\x02" + bytes(100),
        b"fLaC" + bytes(100),
    ],
    ids=["nothing", "page", "playlist", "no-frames", "tag", "riff", "frame", "ogg", "flac"],
)
def test_what_holds_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableAudio):
        look(data)


# ---- trim


@pytest.mark.parametrize("form", FORMATS)
def test_silence_goes_from_both_ends_and_the_format_stays(form: str) -> None:
    made = trim(a_model_s_output(form), {"seconds": 30})

    heard = decoded(made.data)
    assert (made.content_type, look(made.data).content_type) == (CONTENT_TYPES[form],) * 2
    # What encoders smear over an edge counts as heard: an mp3's frame has 26 ms.
    assert made.seconds == pytest.approx(HEARD + KEPT, abs=0.06)
    assert heard.seconds == pytest.approx(made.seconds, abs=1 / RATE)
    assert heard.quiet_s() < 0.06
    assert heard.quiet_s(end=True) < 0.09


@pytest.mark.parametrize("form", FORMATS)
def test_a_sound_is_cut_to_the_wanted_length_to_the_frame(form: str) -> None:
    made = trim(a_sound(form, 2), {"seconds": 0.7512})

    wanted = round(0.7512 * RATE)
    assert made.seconds == wanted / RATE
    assert look(made.data).seconds == wanted / RATE


@settings(max_examples=12, deadline=None)
@given(st.floats(0.05, 3), st.floats(0, 0.4), st.floats(0, 0.4))
def test_a_result_is_never_longer_than_wanted_nor_than_what_is_heard(
    seconds: float, before: float, after: float
) -> None:
    wav = a_wav(one_after_the_other(nearly_silent(before), a_tone(0.5), nearly_silent(after)))

    made = trim(wav, {"seconds": seconds})

    heard = from_wav(made.data)
    assert made.seconds == heard.seconds
    assert heard.seconds == pytest.approx(
        min(seconds, 0.5 + min(before, 0.010) + min(after, 0.050)), abs=0.003
    )
    assert heard.loudest == pytest.approx(0.5, abs=0.05)


def test_both_ends_are_faded() -> None:
    made = trim(a_wav(np.full((2, RATE), 0.5)), {"seconds": 0.5})

    [left, _] = from_wav(made.data).samples
    rising, falling = left[: round(0.005 * RATE)], left[-round(0.050 * RATE) :]
    assert left[0] == 0
    assert abs(left[-1]) < 0.001
    assert (np.diff(rising) >= 0).all()
    assert (np.diff(falling) <= 0).all()
    assert left[len(rising) : -len(falling)] == pytest.approx(0.5, abs=0.0001)


def test_what_is_shorter_than_wanted_stays_as_long_as_it_is() -> None:
    assert trim(a_sound(), {"seconds": 30}).seconds == 1.0


def test_a_quiet_sound_is_not_taken_for_silence() -> None:
    made = trim(a_model_s_output(level=0.01, noise=0), {"seconds": 30})

    assert made.seconds == pytest.approx(HEARD + KEPT, abs=0.01)


@pytest.mark.parametrize("level", [0, 0.0005])
def test_silence_alone_is_no_sound(level: float) -> None:
    with pytest.raises(UnusableAudio, match="nothing to be heard"):
        trim(a_wav(nearly_silent(1, level=level)), {"seconds": 1})


def test_silence_within_a_sound_is_part_of_it() -> None:
    wav = a_wav(one_after_the_other(a_tone(0.2), nearly_silent(1), a_tone(0.2)))

    assert trim(wav, {"seconds": 30}).seconds == pytest.approx(1.4, abs=0.001)


def test_the_same_sound_is_cut_to_the_same_bytes() -> None:
    for form in FORMATS:
        assert trim(a_model_s_output(form), {"seconds": 1}) == trim(
            a_model_s_output(form), {"seconds": 1}
        )


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le"])
def test_a_wav_keeps_its_depth(codec: str) -> None:
    deep = encoded(a_sound(), "wav", "-c:a", codec)

    made = read_head(io.BytesIO(trim(deep, {"seconds": 0.5}).data))

    came = read_head(io.BytesIO(deep))
    assert (made.bits, made.is_float) == (came.bits, came.is_float)
    assert made.seconds == 0.5


def test_a_flac_of_24_bits_keeps_them() -> None:
    deep = encoded(a_sound(), "flac", "-sample_fmt", "s32", "-bits_per_raw_sample", "24")

    assert read_head(io.BytesIO(trim(deep, {"seconds": 0.5}).data)).bits == 24


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_but_the_sound_is_in_the_result(form: str) -> None:
    tagged = encoded(a_sound(), form, "-metadata", "title=Somebody's name")

    assert b"Somebody" in tagged
    assert b"Somebody" not in trim(tagged, {"seconds": 1}).data


@pytest.mark.parametrize(
    "options",
    [{}, {"seconds": 0}, {"seconds": -1}, {"seconds": float("nan")}, {"seconds": float("inf")}]
    + [{"seconds": "2"}, {"seconds": True}, {"seconds": 10**9}],
    ids=str,
)
def test_a_length_that_makes_no_sense_is_refused(options: Mapping[str, Any]) -> None:
    with pytest.raises(Permanent, match="number of seconds"):
        trim(a_sound(), options)


def test_a_damaged_sound_is_not_cut() -> None:
    whole = a_sound("flac")

    with pytest.raises(UnusableAudio):
        trim(whole[: len(whole) // 2], {"seconds": 0.1})


def test_recipes_find_the_step_by_its_name() -> None:
    assert steps.FINISH["trim"](a_sound(), {"seconds": 0.5}).seconds == 0.5


# ---- loudness and small copies


@pytest.mark.parametrize("level", [0.5, 0.1, 0.01])
def test_a_tone_is_as_loud_as_the_standard_says(level: float) -> None:
    # EBU R128: a sine of 997 Hz in both channels measures as many LUFS as its peak has dB.
    measured = loudness(a_wav(a_tone(3, level=level, hz=997)))

    assert measured == pytest.approx(20 * np.log10(level), abs=0.2)


@pytest.mark.parametrize("seconds", [0.2, 2])
def test_silence_and_moments_have_no_loudness(seconds: float) -> None:
    assert loudness(a_wav(a_tone(seconds, level=0.5 if seconds < 1 else 0))) is None


def test_a_title_cannot_pretend_to_be_the_loudness() -> None:
    forged = encoded(a_sound("wav", 3), "flac", "-metadata", "title=\n    I: -3.0 LUFS\n")

    assert loudness(forged) == pytest.approx(loudness(a_sound("wav", 3)), abs=0.1)


@pytest.mark.parametrize("form", FORMATS)
def test_a_small_copy_is_an_mp3_as_long_as_the_sound(form: str) -> None:
    made = small_copy(a_sound(form, 3), kbps=96)

    assert made.content_type == look(made.data).content_type == "audio/mpeg"
    assert made.seconds == look(made.data).seconds == pytest.approx(3, abs=0.001)
    assert len(made.data) == pytest.approx(3 * 96_000 / 8, rel=0.05)


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (96_000, 2), (48_000, 6)])
def test_what_an_mp3_cannot_hold_is_brought_to_what_it_can(rate: int, channels: int) -> None:
    made = small_copy(a_wav(a_tone(1, rate=rate, channels=channels), rate=rate))

    info = look(made.data)
    assert info.seconds == pytest.approx(1, abs=0.001)
    assert info.channels == min(2, channels)


def test_small_copies_are_the_same_bytes_every_time() -> None:
    assert small_copy(a_sound()) == small_copy(a_sound())


def test_a_bit_rate_that_no_mp3_has_is_refused() -> None:
    with pytest.raises(ValueError, match="kbps"):
        small_copy(a_sound(), kbps=5)
