"""The one place that runs ffmpeg: for so long, so large, on one file that has no name.

What it reads and writes are files that only two processes have open: in memory on Linux, on disk
and without a name elsewhere. They go with the last process that holds them, so nothing is left
behind, however we end. ffmpeg itself ends with us: the kernel kills it when the thread that started
it is gone, and that thread waits here until ffmpeg has ended. (Said by a program on the way to
ffmpeg and not between fork and exec, where a process with threads must run no code of its own.)

ffmpeg can open nothing but the descriptors that it was given, and takes only the format and the
decoders that we name by the file's first bytes: a playlist in disguise reads no file and no address.

Everything here blocks; callers run it in threads, a bounded number at a time. A caller who is
cancelled leaves his thread behind for at most ``DEADLINE_S``.

Where the guards of Linux are missing (macOS) the bounds are: our deadline, ffmpeg's own limit of
CPU time, which also ends it if we are killed, and its own limit of the output's size.
"""

import functools
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, BinaryIO

from shared.errors import Misconfigured, Permanent, Transient

DEADLINE_S = 30.0  # of the wall, for one run; a minute of music takes a third of a second
CPU_S = 20  # for one run; beyond that a file is made to be slow
MEMORY_BYTES = 1024 * 1024 * 1024  # of addresses; a run has about 40 MB of it in use
SAID_BYTES = 16 * 1024  # the last of what it says is kept: errors and sums come at the end
OUTPUT_MOST_BYTES = 256 * 1024 * 1024

# The format that each content type is read as, and the only decoders that may open it.
_READ_AS = {
    "audio/wav": ("wav", "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le"),
    "audio/mpeg": ("mp3", "mp3,mp3float"),
    "audio/flac": ("flac", "flac"),
    "audio/ogg": ("ogg", "vorbis,libvorbis,opus,libopus"),
}
# A flac has a checksum in each frame: checked, and believed. Elsewhere players forgive more.
_CHECKED = {"audio/flac": ("-err_detect", "crccheck+explode")}

# Dies with us, may not grow, writes no core, and lets the services go first.
_GUARD = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("prlimit", f"--as={MEMORY_BYTES}", f"--fsize={OUTPUT_MOST_BYTES + 1024 * 1024}", "--core=0"),
    *("nice", "-n", "5"),
)


class Refused(Permanent):
    """ffmpeg does not take this file, or would need more for it than it may have."""


class Hung(Transient):
    """ffmpeg was not done in time, and has been killed."""


def ffmpeg_path() -> str:
    """The ffmpeg that we run: ``IMAGEIO_FFMPEG_EXE``, the locked package's, else the system's.

    The package's first, because then the same bytes become the same file on every machine. Raises
    Misconfigured.
    """
    import imageio_ffmpeg

    try:
        found: str | None = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        found = None
    if found is None:
        raise Misconfigured("there is no ffmpeg: install it, or name it by IMAGEIO_FFMPEG_EXE")
    return found


def ffmpeg_version() -> str:
    """The first line that it says of itself, proving that it runs here. Raises Misconfigured."""
    try:
        ran = subprocess.run(
            [ffmpeg_path(), "-version"], capture_output=True, check=True, timeout=10, env={}
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Misconfigured(f"ffmpeg does not run here ({type(error).__name__})") from error
    return ran.stdout.decode(errors="replace").partition(" Copyright")[0]


def guarded() -> bool:
    """Whether the kernel bounds it and ends it with us."""
    return _guard() != ()


def nameless() -> BinaryIO:
    """A file for reading and writing that never has a name and ends with whoever has it open."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("darkroom", os.MFD_CLOEXEC), "w+b")
    # Without a name from its first moment, or (where the system cannot) from the next one.
    return tempfile.TemporaryFile()


def stream(
    given: BinaryIO,
    content_type: str,
    options: Sequence[str],
    hear: Callable[[bytes], None],
) -> str:
    """Read ``given`` as ``content_type``; every piece of the output goes through ``hear``.

    Returns the last of what ffmpeg said. Raises Refused, Hung, Transient, Misconfigured, or what
    ``hear`` raises, which ends it.
    """
    return _run(given, content_type, (*options, "-fd", "1", "fd:"), (), hear)


def write(
    given: BinaryIO,
    content_type: str,
    options: Sequence[str],
    *,
    most_bytes: int = OUTPUT_MOST_BYTES,
) -> bytes:
    """Read ``given`` as ``content_type`` and return the file that ``options`` make of it.

    Raises as ``stream``; Refused also where it would have more than ``most_bytes``.
    """
    with nameless() as out:
        # It stops by itself just past the limit; what it left unfinished is not kept.
        target = ("-fs", str(most_bytes + 1), "-fd", str(out.fileno()), "fd:")
        _run(given, content_type, (*options, *target), (out.fileno(),), _nothing)
        if out.seek(0, os.SEEK_END) > most_bytes:
            raise Refused(f"the result has more than {most_bytes} bytes")
        out.seek(0)
        return out.read()


def _run(
    given: BinaryIO,
    content_type: str,
    target: Sequence[str],
    more: Sequence[int],
    hear: Callable[[bytes], None],
) -> str:
    demuxer, decoders = _READ_AS[content_type]
    given.flush()
    given.seek(0)
    command = [
        *_guard(),
        *(ffmpeg_path(), "-hide_banner", "-nostdin", "-nostats"),
        *("-v", "error", "-xerror"),
        *("-timelimit", str(CPU_S), "-filter_threads", "1"),
        *("-protocol_whitelist", "fd", "-codec_whitelist", decoders, "-threads", "1"),
        *_CHECKED.get(content_type, ()),
        *("-f", demuxer, "-fd", str(given.fileno()), "-i", "fd:"),
        *("-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-threads", "1", "-fflags", "+bitexact", "-flags:a", "+bitexact"),
        *target,
    ]
    deadline = time.monotonic() + DEADLINE_S
    child = _started(command, (given.fileno(), *more))
    try:
        said = _listen(child, hear, deadline)
        child.wait(timeout=max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise Hung(f"ffmpeg was not done within {DEADLINE_S:g} s") from error
    finally:
        _end(child)
    return _judged(child.returncode, said.decode(errors="replace"))


def _started(command: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            process_group=0,
            env={"LC_ALL": "C", "PATH": os.defpath},
            cwd="/",
        )
    except (FileNotFoundError, PermissionError) as error:
        raise Misconfigured(f"ffmpeg cannot be started: {error.strerror}") from error
    except OSError as error:
        raise Transient(f"ffmpeg cannot be started now: {error.strerror}") from error


def _listen(
    child: subprocess.Popen[bytes], hear: Callable[[bytes], None], deadline: float
) -> bytearray:
    """Read both pipes until both are closed; the last of what came through the second."""
    said = bytearray()

    def note(words: bytes) -> None:
        said.extend(words)
        del said[:-SAID_BYTES]

    with selectors.DefaultSelector() as pipes:
        for pipe, take in ((child.stdout, hear), (child.stderr, note)):
            assert pipe is not None  # noqa: S101 - asked for where it was started
            pipes.register(pipe, selectors.EVENT_READ, take)
        while pipes.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in pipes.select(left):
                if piece := os.read(key.fd, 256 * 1024):
                    key.data(piece)
                else:
                    pipes.unregister(key.fileobj)
    return said


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill whatever of it still runs, and leave no zombie and no pipe."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdout, child.stderr):
        _close(pipe)


def _judged(code: int, said: str) -> str:
    match -code:
        case 0:
            return said
        case signal.SIGXCPU:
            raise Refused(f"the file needs more than {CPU_S} s of computing")
        case signal.SIGXFSZ:
            raise Refused(f"the result has more than {OUTPUT_MOST_BYTES} bytes")
        case signal.SIGKILL | signal.SIGTERM | signal.SIGINT:
            # By somebody else: an operator, or the kernel where memory ran out.
            raise Transient("ffmpeg was killed at its work")
    first = said.strip().partition("\n")[0]
    shown = "".join(letter if letter.isprintable() else " " for letter in first)[:200]
    raise Refused(f"ffmpeg does not take it (exit {code}): {shown}")


@functools.cache
def _guard() -> tuple[str, ...]:
    """What stands before ffmpeg on Linux; nothing where these programs are missing or cannot."""
    words = (shutil.which(_GUARD[0]) or "", *_GUARD[1:])
    try:
        subprocess.run([*words, "true"], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ()
    return words


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()


def _nothing(_: bytes) -> None:
    """For runs whose output is a file."""
