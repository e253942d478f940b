"""A sound from its first frame to its last: proven whole, and how loud it is from moment to moment.

What is kept of it is one number for each moment, so that an hour takes no more room than a picture.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from shared.media import ffmpeg
from shared.media.sound_head import (
    MOST_SECONDS,
    SoundHead,
    TruncatedAudio,
    UnusableAudio,
    read_head,
)

MOST_BYTES = 256 * 1024 * 1024  # of a file that is looked at
MOMENT = 64  # frames; 1.5 ms at 44.1 kHz

# Decoders differ about the padding of the first and the last packet by so many frames.
_UNSETTLED = 2 * 1152


@dataclass(frozen=True, slots=True)
class Sound:
    """A file that begins as a sound and keeps what its head promises, as far as the head shows."""

    file: BinaryIO
    head: SoundHead


@dataclass(frozen=True, slots=True)
class Heard:
    """A sound that was decoded to its end: ``frames`` came of it, and ``loudest`` is the peak of
    each moment of them, 0 to 1.
    """

    head: SoundHead
    frames: int
    loudest: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """As the head says, unless more came than that."""
        promised = self.head.frames
        if promised is None or abs(promised - self.frames) > _UNSETTLED:
            return self.frames / self.head.sample_rate
        return promised / self.head.sample_rate

    @property
    def peak(self) -> float:
        return float(self.loudest.max(initial=0.0))


@contextmanager
def opened(source: bytes | BinaryIO) -> Iterator[Sound]:
    """The sound in ``source``, from its beginning, as a file of our own. Raises UnusableAudio."""
    with ffmpeg.nameless() as file:
        size = 0
        for piece in _pieces(source):
            size += len(piece)
            if size > MOST_BYTES:
                raise UnusableAudio(f"the sound has more than {MOST_BYTES} bytes")
            file.write(piece)
        file.flush()
        yield Sound(file, read_head(file))


def hear(sound: Sound) -> Heard:
    """Decode it all. Raises UnusableAudio (TruncatedAudio if a part is missing) or Transient."""
    head = sound.head
    moments = _Moments(head)
    shape = ("-ac", str(head.channels), "-ar", str(head.sample_rate))
    with damaged():
        ffmpeg.stream(
            sound.file, head.content_type, (*shape, "-c:a", "pcm_s16le", "-f", "s16le"), moments.add
        )
    heard = Heard(head, *moments.sums())
    if heard.frames == 0:
        raise UnusableAudio("there is no sound in the file")
    if head.frames is not None and heard.frames < head.frames - _UNSETTLED:
        raise TruncatedAudio(
            f"the sound is cut off: {heard.seconds:.2f} of {head.seconds:.2f} s are there"
        )
    return heard


@contextmanager
def damaged() -> Iterator[None]:
    """What ffmpeg refuses is, to people, a damaged sound; its own words stay with the cause."""
    try:
        yield
    except ffmpeg.Refused as error:
        raise TruncatedAudio("the sound is cut off or damaged") from error


class _Moments:
    """Takes 16-bit samples in pieces of any size."""

    def __init__(self, head: SoundHead) -> None:
        self._frame_bytes = 2 * head.channels
        self._most_frames = MOST_SECONDS * head.sample_rate
        self._frames = 0
        self._rest = b""
        self._loudest: list[NDArray[np.float32]] = []

    def add(self, piece: bytes) -> None:
        piece = self._rest + piece
        whole = len(piece) - len(piece) % (MOMENT * self._frame_bytes)
        self._keep(piece[:whole])
        self._rest = piece[whole:]
        if self._frames > self._most_frames:
            raise UnusableAudio(f"the sound is longer than {MOST_SECONDS} s")

    def sums(self) -> tuple[int, NDArray[np.float32]]:
        """Frames and moments; the last moment may be a short one."""
        frames = self._frames + len(self._rest) // self._frame_bytes
        last = self._rest[: len(self._rest) // self._frame_bytes * self._frame_bytes]
        self._keep(last.ljust(MOMENT * self._frame_bytes, b"\0") if last else b"")
        return frames, np.concatenate([np.empty(0, np.float32), *self._loudest])

    def _keep(self, samples: bytes) -> None:
        values = np.frombuffer(samples, "<i2").reshape(-1, MOMENT * self._frame_bytes // 2)
        self._frames += len(values) * MOMENT
        # Both ends and no abs(): the lowest number has no positive twin in 16 bits.
        strongest = np.maximum(values.max(axis=1), -values.min(axis=1).astype(np.int32))
        self._loudest.append((strongest / np.float32(32768)).astype(np.float32))


def _pieces(source: bytes | BinaryIO) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    source.seek(0, os.SEEK_SET)
    while piece := source.read(1024 * 1024):
        yield piece
