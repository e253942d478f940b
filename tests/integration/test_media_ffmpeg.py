"""ffmpeg runs for so long, so large, on what it was given; and never outlives us."""

import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from shared.errors import Misconfigured, Transient
from shared.media import audio, ffmpeg, waveform
from shared.media.audio import UnusableAudio, trim
from shared.media.ffmpeg import Hung, Refused
from tests.support.tones import a_sound, a_tone, a_wav, encoded
from tests.support.waiting import eventually_sync

TYPES = ("audio/wav", "audio/mpeg", "audio/flac", "audio/ogg")


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Fake":
    return Fake(tmp_path, monkeypatch)


class Fake:
    """A program in ffmpeg's place, whose processes leave their ids in a file."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._program, self._ids = directory / "ffmpeg", directory / "ids"
        self._monkeypatch = monkeypatch

    def does(self, script: str) -> None:
        self._program.write_text(f"#!/bin/sh\necho $$ >>{self._ids}\n{script}\n")
        self._program.chmod(0o755)
        self._monkeypatch.setattr(ffmpeg, "ffmpeg_path", lambda: str(self._program))

    def within(self, seconds: float) -> None:
        self._monkeypatch.setattr(ffmpeg, "DEADLINE_S", seconds)

    @property
    def alive(self) -> list[int]:
        """What still runs of it."""
        ids = [int(line) for line in self._ids.read_text().split()]
        assert ids, "it never ran"
        return [one for one in ids if _runs(one)]

    def is_gone(self) -> bool:
        return self.alive == []


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def sound() -> Iterator[BinaryIO]:
    with ffmpeg.nameless() as file:
        file.write(a_sound())
        yield file


# ---- bounded in time


@pytest.mark.parametrize(
    "step",
    [
        lambda data: audio.probe(io.BytesIO(data)),
        lambda data: trim(data, {"seconds": 1}),
        audio.loudness,
        audio.small_copy,
        waveform.peaks,
    ],
    ids=["probe", "trim", "loudness", "small_copy", "peaks"],
)
def test_one_that_hangs_and_hears_no_signal_is_killed(
    noted: Fake, step: Callable[[bytes], object]
) -> None:
    noted.does("trap '' TERM INT HUP\nsleep 600")
    noted.within(0.3)

    with pytest.raises(Hung, match="was not done"):
        step(a_sound())

    eventually_sync("it is gone", noted.is_gone, within=5)


def test_what_it_started_goes_with_it(noted: Fake, tmp_path: Path) -> None:
    noted.does(f"sleep 600 &\necho $! >>{tmp_path}/ids\nwait")
    noted.within(0.3)

    with pytest.raises(Hung):
        audio.loudness(a_sound())

    eventually_sync("both are gone", noted.is_gone, within=5)


def test_a_hung_one_is_worth_another_try() -> None:
    assert issubclass(Hung, Transient)


def test_the_real_one_is_killed_at_its_deadline(noted: Fake) -> None:
    noted.within(0.0)
    before = set(psutil.Process().children())  # other tests of this process have theirs

    with pytest.raises(Hung):
        trim(a_sound(), {"seconds": 1})

    assert set(psutil.Process().children()) - before == set()


def test_an_ffmpeg_that_cuts_no_sounds_is_told_as_what_it_is(noted: Fake) -> None:
    noted.does("echo \"Unrecognized option 'fd'\" >&2; exit 1")

    with pytest.raises(Misconfigured, match="or later"):
        audio.works()


def test_the_ffmpeg_that_we_run_cuts_sounds() -> None:
    audio.works()


def test_one_that_never_stops_talking_is_killed_and_not_kept(noted: Fake) -> None:
    noted.does("exec yes 'a line of complaint' >&2")
    noted.within(0.5)

    with pytest.raises(Hung):
        audio.loudness(a_sound())

    eventually_sync("it is gone", noted.is_gone, within=5)


def test_a_sound_without_an_end_is_refused_and_its_decoder_killed(noted: Fake) -> None:
    noted.does("exec cat /dev/zero")

    with pytest.raises(UnusableAudio, match="longer than"):
        trim(a_sound(), {"seconds": 1})

    eventually_sync("it is gone", noted.is_gone, within=5)


# ---- bounded in size


def test_a_result_beyond_its_limit_is_refused(sound: BinaryIO) -> None:
    with pytest.raises(Refused, match="more than 50000 bytes"):
        ffmpeg.write(sound, "audio/wav", ("-f", "wav"), most_bytes=50_000)


def test_a_result_at_its_limit_is_whole(sound: BinaryIO) -> None:
    whole = ffmpeg.write(sound, "audio/wav", ("-f", "wav"))

    assert whole == a_sound()
    assert ffmpeg.write(sound, "audio/wav", ("-f", "wav"), most_bytes=len(whole)) == whole


@pytest.mark.skipif(not ffmpeg.guarded(), reason="there is no prlimit here")
def test_one_that_ignores_the_limit_meets_the_kernel_s(
    noted: Fake, monkeypatch: pytest.MonkeyPatch, sound: BinaryIO
) -> None:
    # The last descriptor that it is given is the result's.
    noted.does('eval "out=\\${$(($# - 1))}"\nexec cat /dev/zero >/proc/self/fd/$out')

    with pytest.raises(Refused, match=f"more than {ffmpeg.OUTPUT_MOST_BYTES} bytes"):
        ffmpeg.write(sound, "audio/wav", ())


@pytest.mark.skipif(not ffmpeg.guarded(), reason="there is no prlimit here")
def test_one_that_wants_all_memory_does_not_get_it(noted: Fake, sound: BinaryIO) -> None:
    noted.does(f"exec {sys.executable} -c 'bytearray(2 << 30)'")

    with pytest.raises(Refused):
        ffmpeg.write(sound, "audio/wav", ())


# ---- open to nothing


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("kind", ["m3u8", "concat"])
def test_a_playlist_opens_no_file(content_type: str, kind: str, tmp_path: Path) -> None:
    with ffmpeg.nameless() as file:
        file.write(a_playlist(kind, str(a_file(tmp_path))))

        with pytest.raises(Refused):
            ffmpeg.write(file, content_type, ("-f", "wav"))


@pytest.mark.parametrize(("kind", "demuxer"), [("m3u8", "hls"), ("concat", "concat")])
def test_even_read_as_a_playlist_it_opens_no_file(
    kind: str, demuxer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ffmpeg._READ_AS, "audio/wav", (demuxer, "pcm_s16le"))
    with ffmpeg.nameless() as file:
        file.write(a_playlist(kind, str(a_file(tmp_path))))

        with pytest.raises(Refused):
            ffmpeg.write(file, "audio/wav", ("-safe", "0", "-f", "wav"))


def test_even_read_as_a_playlist_it_calls_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ffmpeg._READ_AS, "audio/wav", ("hls", "pcm_s16le"))
    with socket.create_server(("127.0.0.1", 0)) as server, ffmpeg.nameless() as file:
        server.setblocking(False)
        file.write(a_playlist("m3u8", f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"))

        with pytest.raises(Refused):
            ffmpeg.write(file, "audio/wav", ("-f", "wav"))

        with pytest.raises(BlockingIOError):
            server.accept()


def test_only_our_decoders_open_a_file() -> None:
    compressed = encoded(a_sound(), "wav", "-c:a", "adpcm_ms")
    with ffmpeg.nameless() as file:
        file.write(compressed)

        with pytest.raises(Refused):
            ffmpeg.write(file, "audio/wav", ("-f", "wav"))


def test_it_learns_nothing_of_our_settings(
    noted: Fake, monkeypatch: pytest.MonkeyPatch, sound: BinaryIO
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_not_for_anybody")
    noted.does("env | tr '\\n' ' ' >&2; exit 1")

    with pytest.raises(Refused) as refused:
        ffmpeg.write(sound, "audio/wav", ())

    assert "PATH" in str(refused.value)
    assert "r8_" not in str(refused.value)


def test_what_it_says_is_shown_shortly_and_printable(noted: Fake, sound: BinaryIO) -> None:
    noted.does(
        "printf 'a \\033[31mred\\007 %s' \"$(yes | head -c 100000 | tr '\\n' ' ')\" >&2; exit 3"
    )

    with pytest.raises(Refused) as refused:
        ffmpeg.write(sound, "audio/wav", ())

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


# ---- how it ended


@pytest.mark.parametrize(
    ("ending", "error"),
    [("kill -KILL $$", Transient), ("kill -TERM $$", Transient), ("kill -XCPU $$", Refused)]
    + [("kill -SEGV $$", Refused), ("exit 1", Refused)],
)
def test_only_what_another_try_may_mend_is_tried_again(
    noted: Fake, sound: BinaryIO, ending: str, error: type[Exception]
) -> None:
    noted.does(ending)

    with pytest.raises(error):
        ffmpeg.write(sound, "audio/wav", ())


def test_without_an_ffmpeg_the_sentence_says_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))

    with pytest.raises(Misconfigured, match="IMAGEIO_FFMPEG_EXE"):
        trim(a_sound(), {"seconds": 1})


def test_it_says_which_one_it_is() -> None:
    assert ffmpeg.ffmpeg_version().startswith("ffmpeg version ")


def test_no_descriptor_stays_open() -> None:
    def work() -> None:
        trim(a_sound(), {"seconds": 0.5})
        with pytest.raises(UnusableAudio):
            trim(a_sound("flac")[:5000], {"seconds": 0.5})

    work()
    before = psutil.Process().num_fds()
    work()

    assert psutil.Process().num_fds() == before


# ---- our own death


LINUX = pytest.mark.skipif(not ffmpeg.guarded(), reason="only Linux ends a child with its parent")
PASSES = pytest.mark.parametrize("mark", ["s16le", "atrim"], ids=["hearing", "cutting"])


@LINUX
@PASSES
def test_killed_in_the_middle_of_a_trim_we_leave_no_file_and_no_process(
    tmp_path: Path, mark: str
) -> None:
    long, temporary = tmp_path / "long.flac", tmp_path / "tmp"
    long.write_bytes(encoded(a_wav(a_tone(1)), "flac", "-af", "aloop=loop=1000:size=44100"))
    temporary.mkdir()

    with a_trim(long, temporary) as us:
        at_work = the_ffmpeg_of(us, mark)
        us.kill()
        us.wait()

        eventually_sync("ffmpeg has ended", lambda: not _runs(at_work), within=10)
        assert list(temporary.iterdir()) == []


@LINUX
@PASSES
def test_one_that_hangs_and_hears_no_signal_ends_with_us(tmp_path: Path, mark: str) -> None:
    program = tmp_path / "ffmpeg"
    hangs = "trap '' HUP INT TERM CONT PIPE; exec sleep 600"
    program.write_text(
        f"""#!/bin/sh\ncase "$*" in *{mark}*) {hangs};; esac\nexec {ffmpeg.ffmpeg_path()} "$@"\n"""
    )
    program.chmod(0o755)
    sound = tmp_path / "sound.wav"
    sound.write_bytes(a_sound())

    with a_trim(sound, tmp_path, IMAGEIO_FFMPEG_EXE=str(program)) as us:
        hung = the_ffmpeg_of(us, "sleep 600")
        us.kill()
        us.wait()

        eventually_sync("it has ended", lambda: not _runs(hung), within=10)


@contextmanager
def a_trim(file: Path, temporary: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that trims ``file``; whatever is left of it ends with the test."""
    us = subprocess.Popen(
        [sys.executable, "-m", "tests.support.trimming", str(file)],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.defpath, "TMPDIR": str(temporary), **settings},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield us
    finally:
        us.kill()
        us.wait()


def the_ffmpeg_of(us: subprocess.Popen[bytes], mark: str) -> int:
    """The id of the child whose command line has ``mark`` in it, past the programs that guard it."""
    seen: list[int] = []

    def look() -> bool:
        for child in psutil.Process(us.pid).children():
            with suppress(psutil.NoSuchProcess):
                command = child.cmdline()
                if command and "setpriv prlimit nice".find(Path(command[0]).name) < 0:
                    seen.extend([child.pid] if mark in " ".join(command) else [])
        return bool(seen)

    eventually_sync("it is at its work", look, within=30, every=0.002)
    return seen[0]


def a_file(directory: Path) -> Path:
    """A sound that a playlist may name."""
    path = directory / "secret.wav"
    path.write_bytes(a_sound())
    return path


def a_playlist(kind: str, entry: str) -> bytes:
    if kind == "concat":
        return f"ffconcat version 1.0\nfile '{entry}'\n".encode()
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{entry}\n#EXT-X-ENDLIST\n".encode()


def test_the_programs_that_guard_it_are_those_that_linux_has() -> None:
    assert ffmpeg.guarded() is (sys.platform == "linux" and shutil.which("setpriv") is not None)
