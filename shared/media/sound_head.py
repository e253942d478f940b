"""What a sound file says of itself: its shape, and how much sound its head promises.

ffmpeg plays what there is and is content. Whether something is missing shows only here: a file that
was cut off lacks what its head, its last page or its last frame promised.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from shared.errors import Permanent
from shared.media.sniff import ENOUGH, sniff

MOST_SECONDS = 20 * 60
MOST_CHANNELS = 8
LOWEST_RATE, HIGHEST_RATE = 4_000, 192_000  # Hz; a decoder's table goes no further


class UnusableAudio(Permanent):
    """The file is no sound that we take; the sentence says why."""


class TruncatedAudio(UnusableAudio):
    """It begins as a sound and is cut off or damaged further on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundHead:
    """The shape of a sound. A frame is one sample of every channel.

    ``frames`` is how many the file promises, as a player hears them (an encoder's padding taken
    off); None where it makes no promise. ``bits`` and ``is_float`` say how a wav or flac keeps a
    sample.
    """

    content_type: str
    channels: int
    sample_rate: int
    frames: int | None
    bits: int = 16
    is_float: bool = False

    @property
    def seconds(self) -> float | None:
        return None if self.frames is None else self.frames / self.sample_rate


def read_head(file: BinaryIO) -> SoundHead:
    """Read what ``file`` says of itself, from its beginning. Raises UnusableAudio."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    content_type = sniff(file.read(ENOUGH))
    if size == 0:
        raise UnusableAudio("the file is empty")
    reader = _READERS.get(content_type or "")
    if reader is None:
        raise UnusableAudio(f"it is {content_type or 'no file that we know'}, not a sound")
    try:
        head = reader(file, size)
    except (struct.error, IndexError) as error:
        raise TruncatedAudio("the sound is cut off within its head") from error
    if not 1 <= head.channels <= MOST_CHANNELS:
        raise UnusableAudio(
            f"the sound has {head.channels} channels; 1 to {MOST_CHANNELS} are taken"
        )
    if not LOWEST_RATE <= head.sample_rate <= HIGHEST_RATE:
        raise UnusableAudio(
            f"the sound has {head.sample_rate} samples a second, which nobody plays"
        )
    return head


# ---- wav: chunks of (name, length), of which `fmt ` and `data` matter

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_MOST_CHUNKS = 1000
_STREAMED = 0xFFFFFFFF  # the length that a writer leaves who cannot go back to fill it in


def _wav(file: BinaryIO, size: int) -> SoundHead:
    form = b""
    for name, begin, length in _chunks(file, size):
        if name == b"fmt ":
            form = _at(file, begin, min(length, 40))
        elif name == b"data":
            break
    else:
        raise TruncatedAudio("the sound is cut off before its samples")
    kind, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE:
        (kind,) = struct.unpack_from("<H", form, 24)
    if (kind, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32)}:
        raise UnusableAudio("the wav holds something else than plain samples")
    if align != channels * bits // 8 or align == 0:
        raise UnusableAudio("the wav contradicts itself about its samples")
    there = size - begin
    if length == _STREAMED:
        length = there
    if length > there:
        raise TruncatedAudio(f"the sound is cut off: {there} of {length} bytes are there")
    return SoundHead(
        content_type="audio/wav",
        channels=channels,
        sample_rate=rate,
        frames=length // align,
        bits=bits,
        is_float=kind == _FLOAT,
    )


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content, and declared length of each chunk, as far as the file goes."""
    place = 12
    for _ in range(_MOST_CHUNKS):
        if place + 8 > size:
            return
        name, length = struct.unpack("<4sI", _at(file, place, 8))
        yield name, place + 8, length
        place += 8 + length + length % 2
    raise UnusableAudio("the wav is made of crumbs")


# ---- flac: one block of facts at the beginning


def _flac(file: BinaryIO, _size: int) -> SoundHead:
    (facts,) = struct.unpack(">Q", _at(file, 18, 8))
    return SoundHead(
        content_type="audio/flac",
        sample_rate=facts >> 44,
        channels=(facts >> 41 & 0b111) + 1,
        bits=(facts >> 36 & 0b11111) + 1,
        frames=facts & 0xF_FFFF_FFFF or None,
    )


# ---- ogg: pages; the first names the codec, the last one the end

_LONGEST_PAGE = 27 + 255 + 255 * 255
_ENDS_HERE = 0x04


def _ogg(file: BinaryIO, size: int) -> SoundHead:
    first = _at(file, 0, ENOUGH)
    packet = first[27 + first[26] :]
    last, owner = _last_page(file, size)
    skipped = 0
    if packet.startswith(b"\x01vorbis"):
        channels, rate = struct.unpack_from("<BI", packet, 11)
    elif packet.startswith(b"OpusHead"):
        channels, skipped = struct.unpack_from("<BH", packet, 9)
        rate = 48_000  # whatever was recorded: opus is decoded at this
    else:
        raise UnusableAudio("the ogg holds neither Vorbis nor Opus")
    # Where several streams follow each other, the last one's count is not the file's.
    frames = last - skipped if owner == first[14:18] else None
    return SoundHead(content_type="audio/ogg", channels=channels, sample_rate=rate, frames=frames)


def _last_page(file: BinaryIO, size: int) -> tuple[int, bytes]:
    """How many frames have ended with the last page, and the number of its stream."""
    tail = _at(file, max(0, size - 2 * _LONGEST_PAGE), 2 * _LONGEST_PAGE)
    page = tail[max(0, tail.rfind(b"OggS\x00")) :]
    flags, frames, owner = struct.unpack_from("<Bq4s", page, 5)
    lengths = page[27 : 27 + page[26]]
    if len(page) < 27 + page[26] + sum(lengths) or not flags & _ENDS_HERE:
        raise TruncatedAudio("the sound is cut off: its last page is missing")
    return frames, owner


# ---- mp3: frames one after the other; the first may hold a count instead of sound

_RATES = (44_100, 48_000, 32_000)
_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_ENCODERS = (b"LAME", b"Lavf", b"Lavc")  # whose note of padding players follow
_COUNT_MAY_ERR = 1  # frame: some encoders count the first, which holds no sound


@dataclass(frozen=True, slots=True)
class _Mp3Frame:
    channels: int
    sample_rate: int
    samples: int
    bytes: int
    count_at: int  # where in the frame a count would stand


def _mp3(file: BinaryIO, size: int) -> SoundHead:
    place, first = _first_mp3_frame(file, size)
    promised, padding = _mp3_count(_at(file, place, first.bytes), first)
    most = MOST_SECONDS * first.sample_rate // first.samples
    found = sum(1 for _ in islice(_mp3_frames(file, size, place), most + 1))
    if found > most:
        raise UnusableAudio(f"the sound is longer than {MOST_SECONDS} s")
    frames = None
    if promised is not None:
        if found - 1 < promised - _COUNT_MAY_ERR:
            raise TruncatedAudio(
                f"the sound is cut off: {found - 1} of {promised} frames are there"
            )
        frames = max(0, promised * first.samples - padding)
    return SoundHead(
        content_type="audio/mpeg",
        channels=first.channels,
        sample_rate=first.sample_rate,
        frames=frames,
    )


def _first_mp3_frame(file: BinaryIO, size: int) -> tuple[int, _Mp3Frame]:
    place = 0
    tag = _at(file, 0, 10)
    if tag.startswith(b"ID3"):
        # Seven bits in each byte; a footer of ten more where the flag says so.
        place = 10 + sum(byte << 7 * (3 - n) for n, byte in enumerate(tag[6:10]))
        place += 10 if tag[5] & 0x10 else 0
    if place >= size:
        raise UnusableAudio("there is no sound behind the mp3's tags")
    padded = _at(file, place, 64 * 1024)
    for offset in range(len(padded) - 3):
        frame = _mp3_frame(padded[offset : offset + 4])
        # What only looks like a frame is followed by none.
        if frame and _mp3_frame(_at(file, place + offset + frame.bytes, 4) or padded[offset:]):
            return place + offset, frame
    raise UnusableAudio("it begins as an mp3 and is none")


def _mp3_frames(file: BinaryIO, size: int, place: int) -> Iterator[_Mp3Frame]:
    """Every frame up to what is none (tags, at the end). Raises if the last one is not whole."""
    file.seek(place)
    while place + 4 <= size and (frame := _mp3_frame(file.read(4))):
        place += frame.bytes
        if place > size:
            raise TruncatedAudio("the sound is cut off within a frame")
        yield frame
        file.seek(frame.bytes - 4, os.SEEK_CUR)


def _mp3_frame(head: bytes) -> _Mp3Frame | None:
    if len(head) < 4 or sniff(head) != "audio/mpeg" or head[0] != 0xFF:
        return None
    version, rate, mode = head[1] >> 3 & 0b11, head[2] >> 2 & 0b11, head[3] >> 6
    newest = version == 0b11  # MPEG-1; else 2 (0b10) or 2.5 (0b00)
    sample_rate = _RATES[rate] >> {0b11: 0, 0b10: 1, 0b00: 2}[version]
    kbps = (_KBPS_1 if newest else _KBPS_2)[head[2] >> 4]
    samples = 1152 if newest else 576
    side = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    return _Mp3Frame(
        channels=1 if mode == 0b11 else 2,
        sample_rate=sample_rate,
        samples=samples,
        bytes=samples * kbps * 125 // sample_rate + (head[2] >> 1 & 1),
        count_at=4 + side[newest, mode == 0b11],
    )


def _mp3_count(frame: bytes, shape: _Mp3Frame) -> tuple[int | None, int]:
    """How many frames are promised, if any are, and how many samples of them are padding."""
    at = shape.count_at
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None, 0
    (has,) = struct.unpack_from(">I", frame, at + 4)
    if not has & 0b0001:
        return None, 0
    (promised,) = struct.unpack_from(">I", frame, at + 8)
    at += 8 + 4 + (4 if has & 0b0010 else 0) + (100 if has & 0b0100 else 0) + (4 if has & 8 else 0)
    if frame[at : at + 4] not in _ENCODERS:
        return promised, 0
    both = int.from_bytes(frame[at + 21 : at + 24], "big")
    return promised, (both >> 12) + (both & 0xFFF)


def _at(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


_READERS: dict[str, Callable[[BinaryIO, int], SoundHead]] = {
    "audio/wav": _wav,
    "audio/flac": _flac,
    "audio/ogg": _ogg,
    "audio/mpeg": _mp3,
}
