"""Sounds as tests look at them: taken apart to the last frame."""

import importlib
import io
import subprocess
import tempfile
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Heard:
    """A sound: `samples` are channels × frames, -1 to 1."""

    rate: int
    samples: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        return int(self.samples.shape[1]) / self.rate

    @property
    def loudest(self) -> float:
        return float(np.abs(self.samples).max(initial=0))

    def quiet_s(self, *, end: bool = False, than: float = 0.01) -> float:
        """How long it is quieter than that, from its beginning or back from its end."""
        loud = np.abs(self.samples).max(axis=0) > than
        return float(np.argmax(loud[::-1] if end else loud)) / self.rate


def from_wav(data: bytes) -> Heard:
    with wave.open(io.BytesIO(data)) as file:
        assert file.getsampwidth() == 2
        return _heard(file.readframes(file.getnframes()), file.getnchannels(), file.getframerate())


def decoded(data: bytes) -> Heard:
    """Any format, by ffmpeg, as a receiver would; what does not decode is an AssertionError."""
    ffmpeg = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    # A file, not a pipe: what an encoder padded at the end is cut off only where one can seek.
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        ended = subprocess.run(
            [ffmpeg, "-v", "error", "-xerror", "-i", f"/dev/fd/{file.fileno()}"]
            + ["-f", "s16le", "-ac", "2", "-ar", "44100", "pipe:1"],
            capture_output=True,
            check=False,
            timeout=30,
            pass_fds=(file.fileno(),),
        )
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    return _heard(ended.stdout, 2, 44_100)


def _heard(frames: bytes, channels: int, rate: int) -> Heard:
    values = np.frombuffer(frames, dtype="<i2").astype(np.float32) / np.float32(32768)
    return Heard(rate, np.asarray(values.reshape(-1, channels).T, dtype=np.float32))
