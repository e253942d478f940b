"""Sounds, looked at and cut.

Every function decodes what it is given; none believes a header. All of them block (a process of
ffmpeg for a moment, see ``shared.media.ffmpeg``) and may raise Transient, which says that it did not
work out this time.
"""

import io
import math
import re
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from shared.errors import Misconfigured, Permanent, Transient
from shared.media import ffmpeg
from shared.media.hearing import MOMENT, Heard, Sound, damaged, hear, opened
from shared.media.made import Made
from shared.media.sound_head import (
    MOST_SECONDS,
    SoundHead,
    TruncatedAudio,
    UnusableAudio,
    read_head,
)

__all__ = [
    "AudioInfo",
    "TruncatedAudio",
    "UnusableAudio",
    "loudness",
    "probe",
    "small_copy",
    "trim",
    "works",
]

# Silence is what lies this far below the sound's own loudest moment: people turn a quiet sound up,
# and what models leave at the ends is noise at 60 dB below and less, not zeros.
SILENCE_DB = -50.0
# A sound that never gets louder than this is silent altogether (of full scale; noise of 16 bits
# lies at -90).
NOTHING_DB = -60.0
# Kept around what is heard, so that neither an attack nor the last of an echo is clipped.
KEPT_BEFORE_S, KEPT_AFTER_S = 0.010, 0.050
# Short enough not to be noticed, long enough that a cut makes no click.
FADE_IN_S, FADE_OUT_S = 0.005, 0.050

_MP3 = ("-c:a", "libmp3lame", "-id3v2_version", "0", "-f", "mp3")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioInfo:
    """A sound as it plays: ``sample_rate`` in Hz."""

    content_type: str
    seconds: float
    channels: int
    sample_rate: int


def works() -> None:
    """Cut a moment of a sound with the ffmpeg that we run.

    Raises Misconfigured: it cannot (files without a name are read by 6.1 and later only), and every
    sound would look damaged.
    """
    moment = io.BytesIO()
    with wave.open(moment, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\x00\x40\x00\xc0" * 800)
    try:
        trim(moment.getvalue(), {"seconds": 0.1})
    except (Permanent, Transient) as error:
        raise Misconfigured(
            f"ffmpeg does not cut sounds here; it takes 6.1 or later ({error})"
        ) from error


def probe(file: BinaryIO) -> AudioInfo:
    """Decode the sound in ``file``, from its beginning to its end, and say what it is.

    A sound without an end, without a single sample, or in a format that we do not take raises
    UnusableAudio; so does one longer than ``MOST_SECONDS``. An mp3 that was cut between two frames
    and never said how many it has cannot be told from a shorter one.
    """
    with opened(file) as sound:
        heard = hear(sound)
    return AudioInfo(
        content_type=heard.head.content_type,
        seconds=heard.seconds,
        channels=heard.head.channels,
        sample_rate=heard.head.sample_rate,
    )


def trim(data: bytes, options: Mapping[str, Any]) -> Made:
    """The sound without the silence at its ends, at most ``options["seconds"]`` long, faded.

    In the format that it came in; what is shorter than wanted stays so. ``seconds`` of the result
    is its true length. Raises UnusableAudio also where there is nothing to be heard.
    """
    wanted = _seconds(options)
    with opened(data) as sound:
        heard = hear(sound)
        begin, end = _audible(heard)
        end = min(end, begin + max(1, round(wanted * heard.head.sample_rate)))
        cut = _cut(sound, begin, end)
    return Made(
        data=cut,
        content_type=heard.head.content_type,
        seconds=_length(cut),
    )


def loudness(data: bytes) -> float | None:
    """The integrated loudness by EBU R128 in LUFS (around -14 for music on the web).

    None where too little is heard to be measured: silence, or less than 0.4 s.
    """
    with opened(data) as sound, damaged():
        said = ffmpeg.stream(
            sound.file,
            sound.head.content_type,
            ("-v", "info", "-af", "ebur128=framelog=quiet", "-f", "null"),
            hear=lambda _: None,
        )
    # Its sums come last; what a file's own tags say is printed before them.
    sums = re.findall(r"^\s+I:\s+(-?[\d.]+|-inf|nan) LUFS$", said, re.MULTILINE)
    measured = float(sums[-1]) if sums else math.nan
    return measured if math.isfinite(measured) and measured > -70.0 else None


def small_copy(data: bytes, *, kbps: int = 96) -> Made:
    """The sound again as an mp3 of ``kbps``, which every browser plays."""
    if not 32 <= kbps <= 320:
        raise ValueError(f"{kbps} kbps make no mp3")
    with opened(data) as sound, damaged():
        copy = ffmpeg.write(
            sound.file,
            sound.head.content_type,
            (
                *("-ac", str(min(2, sound.head.channels)), "-t", str(MOST_SECONDS)),
                *("-b:a", f"{kbps}k", *_MP3),
            ),
        )
    return Made(data=copy, content_type="audio/mpeg", seconds=_length(copy))


def _seconds(options: Mapping[str, Any]) -> float:
    seconds = options.get("seconds")
    if (
        not isinstance(seconds, int | float)
        or isinstance(seconds, bool)
        or not 0 < seconds <= MOST_SECONDS
    ):
        raise Permanent(f"a sound is cut to a number of seconds up to {MOST_SECONDS}")
    return float(seconds)


def _audible(heard: Heard) -> tuple[int, int]:
    """The first frame that is kept and the one after the last."""
    if heard.peak < _ratio(NOTHING_DB):
        raise UnusableAudio("there is nothing to be heard in the sound")
    (loud,) = np.nonzero(heard.loudest >= heard.peak * _ratio(SILENCE_DB))
    before, after = (round(s * heard.head.sample_rate) for s in (KEPT_BEFORE_S, KEPT_AFTER_S))
    return (
        max(0, int(loud[0]) * MOMENT - before),
        min(heard.frames, (int(loud[-1]) + 1) * MOMENT + after),
    )


def _length(made: bytes) -> float | None:
    """Of a sound that we made, in seconds: its head was written by one who knew."""
    return read_head(io.BytesIO(made)).seconds


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _cut(sound: Sound, begin: int, end: int) -> bytes:
    """Frames ``begin`` to ``end`` as a file of the same format, with both ends faded."""
    head, length = sound.head, end - begin
    fade_in, fade_out = (
        max(1, min(round(seconds * head.sample_rate), length // 4))
        for seconds in (FADE_IN_S, FADE_OUT_S)
    )
    filters = (
        f"atrim=start_sample={begin}:end_sample={end},asetpts=N,"
        f"afade=t=in:ss=0:ns={fade_in},afade=t=out:ss={length - fade_out}:ns={fade_out}"
    )
    shape = ("-ac", str(head.channels), "-ar", str(head.sample_rate))
    with damaged():
        return ffmpeg.write(
            sound.file, head.content_type, ("-af", filters, *shape, *_same_format(head))
        )


def _same_format(head: SoundHead) -> tuple[str, ...]:
    """What writes a sound as it came: a wav and a flac with their depth, an mp3 or ogg at a bit
    rate beyond which nobody hears a second encoding."""
    match head.content_type:
        case "audio/wav":
            depth = "f32le" if head.is_float else {8: "u8"}.get(head.bits, f"s{head.bits}le")
            return ("-c:a", f"pcm_{depth}", "-f", "wav")
        case "audio/flac" if head.bits > 16:
            return ("-c:a", "flac", "-sample_fmt", "s32", "-f", "flac")
        case "audio/flac":
            return ("-c:a", "flac", "-sample_fmt", "s16", "-f", "flac")
        case "audio/ogg":
            return ("-c:a", "libvorbis", "-q:a", "6", "-f", "ogg")
        case _:
            return ("-b:a", "192k", *_MP3)
