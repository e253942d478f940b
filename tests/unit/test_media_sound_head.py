"""What a sound file says of itself, held against what is there. Nothing is decoded here."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.media.sound_head import SoundHead, TruncatedAudio, UnusableAudio, read_head
from tests.support.tones import CONTENT_TYPES, a_sound, a_tone, a_wav, encoded

FORMATS = tuple(CONTENT_TYPES)


def head(data: bytes) -> SoundHead:
    return read_head(io.BytesIO(data))


def a_wav_head(*, kind: int = 1, channels: int = 1, rate: int = 44_100, bits: int = 16) -> bytes:
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * align % 2**32, align, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", len(form)) + form


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_tells_its_shape_and_its_length(form: str) -> None:
    told = head(a_sound(form))

    assert (told.content_type, told.channels, told.sample_rate) == (CONTENT_TYPES[form], 2, 44_100)
    assert told.frames == 44_100


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 48_000])
def test_an_mp3_of_any_rate_tells_its_length_to_the_frame(rate: int) -> None:
    told = head(encoded(a_wav(a_tone(1, rate=rate, channels=1), rate=rate), "mp3"))

    assert (told.channels, told.sample_rate, told.frames) == (1, rate, rate)


def test_opus_tells_its_length_as_it_is_decoded() -> None:
    told = head(encoded(a_sound(), "ogg", "-c:a", "libopus"))

    assert (told.sample_rate, told.frames) == (48_000, 48_000)


@pytest.mark.parametrize(
    ("codec", "bits", "is_float"),
    [("pcm_u8", 8, False), ("pcm_s24le", 24, False), ("pcm_s32le", 32, False)]
    + [("pcm_f32le", 32, True)],
)
def test_a_wav_tells_how_deep_it_is(codec: str, bits: int, is_float: bool) -> None:
    told = head(encoded(a_sound(), "wav", "-c:a", codec))

    assert (told.bits, told.is_float, told.frames) == (bits, is_float, 44_100)


def test_a_length_that_was_never_filled_in_is_what_is_there() -> None:
    told = head(a_wav_head() + b"data\xff\xff\xff\xff" + bytes(2 * 500))

    assert told.frames == 500


def test_an_mp3_without_a_count_promises_nothing() -> None:
    assert head(encoded(a_sound(), "mp3", "-write_xing", "0")).frames is None


def test_tags_and_pictures_around_an_mp3_are_no_part_of_it() -> None:
    tagged = encoded(a_sound(), "mp3", "-metadata", "title=A song", "-write_id3v1", "1")

    assert head(tagged).frames == 44_100
    assert head(tagged[:-128] + b"APETAGEX" + bytes(200)).frames == 44_100


@given(st.data())
@pytest.mark.parametrize("form", ["wav", "mp3", "ogg"])
def test_a_file_that_was_cut_anywhere_is_refused(form: str, data: st.DataObject) -> None:
    whole = a_sound(form)
    # The last frame of an mp3 may be one that its encoder counted too many.
    last = 420 if form == "mp3" else 1
    cut = whole[: data.draw(st.integers(0, len(whole) - last))]

    with pytest.raises(UnusableAudio):
        head(cut)


def test_an_ogg_that_was_cut_between_two_pages_is_refused() -> None:
    whole = a_sound("ogg", 4)

    with pytest.raises(TruncatedAudio, match="last page"):
        head(whole[: whole.rindex(b"OggS")])


@given(st.integers(100, 15_000))
def test_an_mp3_without_a_count_that_was_cut_within_a_frame_is_refused(at: int) -> None:
    whole = encoded(a_sound(), "mp3", "-write_xing", "0", "-id3v2_version", "0")
    # 128 kbit/s at 44.1 kHz: 417 bytes a frame, and one more in most of them.
    frames = [n for n in range(len(whole) - 1) if whole[n] == 0xFF and whole[n + 1] == 0xFB]
    if at in frames or any(0 <= at - begin < 4 for begin in frames):
        return

    with pytest.raises(TruncatedAudio):
        head(whole[:at])


@given(
    st.sampled_from([b"", b"ID3", b"RIFF----WAVE", b"fLaC", b"OggS\x00", b"\xff\xfb\x90\x00"]),
    st.binary(max_size=600),
)
def test_whatever_follows_a_good_beginning_is_read_or_refused(magic: bytes, rest: bytes) -> None:
    try:
        told = head(magic + rest)
    except UnusableAudio:
        return
    assert told.channels >= 1


@pytest.mark.parametrize(
    "data",
    [b"", b"Not found", b"<!doctype html><html>gone</html>", b"#EXTM3U\nhttp://a/b.mp3\n"]
    + [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b'{"detail":"gone"}'],
    ids=["nothing", "text", "page", "playlist", "picture", "json"],
)
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableAudio):
        head(data)


@pytest.mark.parametrize(
    ("wav", "why"),
    [
        (a_wav_head(channels=0), "contradicts itself"),
        (a_wav_head(channels=9), "9 channels"),
        (a_wav_head(rate=0), "0 samples a second"),
        (a_wav_head(rate=10**9), "samples a second"),
        (a_wav_head(kind=2), "something else"),
        (a_wav_head(bits=12), "something else"),
    ],
)
def test_a_wav_that_nobody_plays_is_refused_with_the_reason(wav: bytes, why: str) -> None:
    with pytest.raises(UnusableAudio, match=why):
        head(wav + b"data\x08\0\0\0" + bytes(8))


def test_a_wav_of_a_million_empty_chunks_is_not_walked_through() -> None:
    with pytest.raises(UnusableAudio, match="crumbs"):
        head(b"RIFF\xff\xff\xff\xffWAVE" + b"JUNK\0\0\0\0" * 1_000_000)


def test_an_mp3_of_hours_is_refused_before_it_is_decoded() -> None:
    frame = b"\xff\xe3\x18\xc4" + bytes(68)  # MPEG-2.5, 8 kbit/s at 8 kHz: 72 ms

    with pytest.raises(UnusableAudio, match="longer than 1200 s"):
        head(frame * 20_000)
