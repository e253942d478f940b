"""Sounds for tests: made from numbers, written as any format that we take."""

import functools
import io
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.media.ffmpeg import ffmpeg_path

RATE = 44_100
Samples = NDArray[np.float64]  # channels × frames, -1 to 1

CONTENT_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
}


def a_tone(
    seconds: float, *, level: float = 0.5, hz: float = 440, channels: int = 2, rate: int = RATE
) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(level * np.sin(2 * np.pi * hz * time), (channels, 1))


def nearly_silent(seconds: float, *, level: float = 0.0005, channels: int = 2) -> Samples:
    """Noise as models leave it where nothing is meant to be: 66 dB below full scale."""
    noise = np.random.default_rng(7).uniform(-level, level, (channels, round(seconds * RATE)))
    return np.asarray(noise)


def one_after_the_other(*parts: Samples) -> Samples:
    return np.concatenate(parts, axis=1)


def a_wav(samples: Samples, *, rate: int = RATE) -> bytes:
    """16 bits a sample."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples.T * 32767).astype("<i2").tobytes())
    return out.getvalue()


@functools.lru_cache(maxsize=64)
def encoded(wav: bytes, form: str, *options: str) -> bytes:
    """The wav as a file named like ``form``, whatever ffmpeg's ``options`` add."""
    with tempfile.TemporaryDirectory() as directory:
        given, out = Path(directory, "given.wav"), Path(directory, f"out.{form}")
        given.write_bytes(wav)
        codec = ("-c:a", "libvorbis") if form == "ogg" and "-c:a" not in options else ()
        command = [ffmpeg_path(), "-v", "error", "-i", str(given), *options, *codec, str(out)]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
        return out.read_bytes()


@functools.lru_cache(maxsize=16)
def a_sound(form: str = "wav", seconds: float = 1.0) -> bytes:
    """A tone from end to end, as a file of the format."""
    wav = a_wav(a_tone(seconds))
    return wav if form == "wav" else encoded(wav, form)
