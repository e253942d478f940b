"""What a trim costs: 30 s of stereo at 44.1 kHz, by step, with the memory that it takes.

``python -m tests.benchmark.sound``. The reference is ffmpeg from the command line between two named
temporary files, in two passes that do the same work (find the silence, then cut and fade), without
proving the file whole, without limits, and without knowing the length of the result. Rounds of both
alternate, so that a busy machine is busy for both.
"""

import argparse
import io
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from shared.media import audio
from shared.media.ffmpeg import ffmpeg_path, ffmpeg_version, guarded
from shared.media.hearing import hear, opened
from tests.benchmark.rig import machine, say
from tests.support.tones import (
    RATE,
    Samples,
    a_wav,
    encoded,
    nearly_silent,
    one_after_the_other,
)

SECONDS, WANTED, QUIET_BEFORE, QUIET_AFTER = 30.0, 25.0, 0.5, 2.0


def rain(seconds: float) -> Samples:
    """Noise that swells and fades: harder on an encoder than a tone."""
    frames = round(seconds * RATE)
    swell = 0.3 + 0.2 * np.sin(np.arange(frames) * 2 * np.pi / RATE / 3)
    return np.asarray(np.random.default_rng(1).normal(0, 0.3, (2, frames)).clip(-1, 1) * swell)


def as_a_model_makes_it() -> bytes:
    return a_wav(
        one_after_the_other(
            nearly_silent(QUIET_BEFORE),
            rain(SECONDS - QUIET_BEFORE - QUIET_AFTER),
            nearly_silent(QUIET_AFTER),
        )
    )


def by_command_line(data: bytes, form: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        given, out = Path(directory, f"given.{form}"), Path(directory, f"out.{form}")
        given.write_bytes(data)
        found = subprocess.run(
            [ffmpeg_path(), "-hide_banner", "-nostats", "-i", str(given)]
            + ["-af", "silencedetect=n=-56dB:d=0.05", "-f", "null", "-"],
            capture_output=True,
            check=True,
        ).stderr.decode()
        begin = float(re.findall(r"silence_end: ([\d.]+)", found)[0])
        end = min(float(re.findall(r"silence_start: ([\d.]+)", found)[-1]), begin + WANTED)
        filters = (
            f"atrim=start={begin}:end={end},asetpts=N,"
            f"afade=t=in:d=0.005,afade=t=out:st={end - begin - 0.05}:d=0.05"
        )
        rate = ["-b:a", "192k"] if form == "mp3" else []
        subprocess.run(
            [ffmpeg_path(), "-v", "error", "-i", str(given), "-af", filters, *rate, str(out)],
            check=True,
        )
        return out.read_bytes()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measured(data: bytes, form: str, rounds: int) -> None:
    taken: dict[str, list[float]] = defaultdict(list)

    def reading() -> None:
        with opened(data):
            pass

    def hearing() -> None:
        with opened(data) as sound:
            hear(sound)

    work: dict[str, Callable[[], object]] = {
        "copy, read the head": reading,
        "… and decode to the end": hearing,
        "trim, whole": lambda: audio.trim(data, {"seconds": WANTED}),
        "reference: command line": lambda: by_command_line(data, form),
        "probe": lambda: audio.probe(io.BytesIO(data)),
        "loudness": lambda: audio.loudness(data),
        "small copy, 96 kbit/s": lambda: audio.small_copy(data),
    }
    for each in work.values():
        each()
    for _ in range(rounds):
        for name, each in work.items():
            taken[name].append(timed(each))
    say(f"\n{form}, {len(data) / 1e6:.1f} MB, {SECONDS:g} s → {WANTED:g} s")
    for name, seconds in taken.items():
        middle, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
        say(f"  {name:26} median {middle:6.1f} ms   worst {worst:6.1f} ms   n {len(seconds)}")
    trim, reference = (
        statistics.median(taken[name]) for name in ("trim, whole", "reference: command line")
    )
    say(f"  a trim is {trim / reference:.2f} × the reference")


def memory(file: Path) -> None:
    """Trim ``file`` in a process that has done nothing else, and say what it took."""
    data = file.read_bytes()
    us, ended = psutil.Process(), threading.Event()
    before = ours = us.memory_info().rss
    theirs = 0

    # Sampled: what the kernel notes as the most is inherited by a process from who started it.
    def watch() -> None:
        nonlocal ours, theirs
        while not ended.wait(0.001):
            ours = max(ours, us.memory_info().rss)
            for child in us.children():
                with suppress(psutil.Error):
                    # On its way it is still us, or a program that bounds it.
                    if child.name().startswith("ffmpeg"):
                        theirs = max(theirs, child.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    made = audio.trim(data, {"seconds": WANTED})
    ended.set()
    watcher.join()
    say(
        f"  most memory: {(ours - before) / 1e6:.0f} MB more of ours, {theirs / 1e6:.0f} MB of "
        f"ffmpeg's, {(len(data) + len(made.data)) / 1e6:.1f} MB in files without a name"
    )


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--rounds", type=int, default=15)
    reading.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    asked = reading.parse_args()
    if asked.memory:
        memory(asked.memory)
        return
    say(machine("numpy", "imageio-ffmpeg"))
    say(f"{ffmpeg_version()}, {'bounded by the kernel' if guarded() else 'bounded by us alone'}")
    wav = as_a_model_makes_it()
    for form, data in {"wav": wav, "mp3": encoded(wav, "mp3")}.items():
        measured(data, form, asked.rounds)
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            alone = [sys.executable, "-m", "tests.benchmark.sound", "--memory", file.name]
            subprocess.run(alone, check=True)


if __name__ == "__main__":
    main()
