"""Sounds as files: wav by hand, everything else by ffmpeg."""

import importlib
import io
import logging
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.local.emulator.making import MadeFile, RunFailed

log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}
_CODECS = {
    "wav": ("-c:a", "pcm_s16le"),
    "mp3": ("-c:a", "libmp3lame", "-b:a", "128k", "-compression_level", "9"),
    "flac": ("-c:a", "flac", "-sample_fmt", "s16"),
    "ogg": ("-c:a", "libvorbis", "-q:a", "4"),
}
ENCODING_S = 30.0  # of the wall; a minute of music takes a tenth of a second

# An mp3 that holds its tag and not a single frame.
_NO_FRAMES = b"ID3\x04\x00\x00\x00\x00\x00\x00"


def as_wav(samples: Samples, rate: int) -> bytes:
    """16-bit PCM of `samples` (channels × frames, -1 to 1)."""
    frames = np.empty(samples.shape[::-1], dtype="<i2")
    for channel, values in enumerate(samples):
        frames[:, channel] = np.clip(values, -1, 1) * np.float32(32767)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames.tobytes())
    return out.getvalue()


def encoded(sound: bytes, extension: str, *, changed_by: str = "anull") -> bytes:
    """The same sound in another format, after ffmpeg's filter `changed_by`.

    Raises RunFailed as a run's own traceback would end: without an ffmpeg, or with one that does
    not take it.
    """
    # Where sounds end stands in a head that is written last, and read by whoever can seek: so both
    # are files. They have no name, and go with the process.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out:
        given.write(sound)
        given.flush()
        command = [
            *(
                ffmpeg(),
                "-hide_banner",
                "-loglevel",
                "error",
                "-y",
                "-i",
                f"/dev/fd/{given.fileno()}",
            ),
            *("-map", "0:a", "-map_metadata", "-1", "-af", changed_by, *_CODECS[extension]),
            *("-fflags", "+bitexact", "-flags:a", "+bitexact"),
            *("-f", extension, f"/dev/fd/{out.fileno()}"),
        ]
        ended = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=ENCODING_S,
            stdin=subprocess.DEVNULL,
            pass_fds=(given.fileno(), out.fileno()),
        )
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise RunFailed(f"ffmpeg returned non-zero exit status {ended.returncode}: {said}")
        out.seek(0)
        return out.read()


def ffmpeg() -> str:
    """The one that imageio-ffmpeg brings, else the system's."""
    try:
        found: Callable[[], str] = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe
        return found()
    except (ImportError, RuntimeError):
        pass
    if (system := shutil.which("ffmpeg")) is None:
        log.warning("there is no ffmpeg here: install imageio-ffmpeg, or ffmpeg itself")
        raise RunFailed("[Errno 2] No such file or directory: 'ffmpeg'")
    return system


def reencoded(made: Sequence[MadeFile], extension: str) -> tuple[MadeFile, ...]:
    """The same sounds in another format, with names and types that say so."""
    return tuple(
        MadeFile(
            f"{one.name.rpartition('.')[0]}.{extension}",
            TYPES[extension],
            encoded(one.data, extension),
        )
        for one in made
    )


def silenced(sound: MadeFile) -> MadeFile:
    """As long as it was, and nothing to be heard."""
    extension = sound.name.rpartition(".")[2]
    return MadeFile(
        sound.name, sound.content_type, encoded(sound.data, extension, changed_by="volume=0")
    )


def emptied(sound: MadeFile) -> MadeFile:
    """Its format's head, and no sound behind it."""
    nothing = np.empty((2, 0), dtype=np.float32)
    data = as_wav(nothing, 44_100) if sound.name.endswith(".wav") else _NO_FRAMES
    return MadeFile(sound.name, sound.content_type, data)
