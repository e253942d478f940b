"""Processes of our own: started apart from us, recognised later, never mistaken for another's.

A pid alone names nothing, because the kernel gives it to somebody else after the process has died.
So we write down when the process began as well, and signal only what still answers to both.
"""

import atexit
import contextlib
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.stack.errors import StackError

# Every part carries this variable, so that its processes can be found even if their pids
# were never written down (we were killed between starting one and saying so).
TAG = "DARKROOM_STACK_HOME"

# The caller's PATH is not asked: a stack behaves alike whoever starts it.
PATH = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"
    "/opt/homebrew/sbin:/opt/homebrew/bin"
)

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Mark:
    """A process that we started: its pid, and the moment it began as the kernel tells it."""

    pid: int
    began: str


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user whose rights the servers get when root starts the stack."""

    uid: int
    gid: int


def account() -> Account | None:
    """None: we are not root, so the servers run as we do."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


# Only a parent can reap. Until it does, a dead child keeps its pid and looks alive.
_children: dict[int, subprocess.Popen[bytes]] = {}
_exit_codes: dict[Mark, int] = {}  # of children that were found dead


@atexit.register
def _leave_running() -> None:
    """What we started outlives us on purpose; without this, Python complains of each on leaving."""
    for child in _children.values():
        child.returncode = child.returncode or 0


def launch(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
    run_as: Account | None,
) -> Mark:
    """Start a process in a session of its own, so that Ctrl-C and our own end pass it by."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(word) for word in argv],
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=run_as.uid if run_as else None,
            group=run_as.gid if run_as else None,
            extra_groups=[] if run_as else None,
        )
    _children[child.pid] = child
    # A child that has ended already has no beginning to read; the mark then matches nothing.
    return Mark(child.pid, began(child.pid) or "ended at once")


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    run_as: Account | None = None,
    timeout: float = 60,
    text: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end; what it printed is in the result, whatever its code.

    Raises StackError where it has not ended after ``timeout`` seconds.
    """
    try:
        return subprocess.run(
            [str(word) for word in argv],
            env=dict(environment),
            cwd=directory,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            user=run_as.uid if run_as else None,
            group=run_as.gid if run_as else None,
            extra_groups=[] if run_as else None,
        )
    except subprocess.TimeoutExpired as late:
        raise StackError(f"{Path(argv[0]).name} did not end within {timeout:g} s") from late


def began(pid: int) -> str | None:
    """Say when a process began, in words that no other process ever shares. None: it is dead."""
    if _PROC.joinpath("self/stat").exists():
        return _began_by_proc(pid)
    return _began_by_ps(pid)


def _began_by_proc(pid: int) -> str | None:
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_text()
        boot = _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may itself hold brackets and spaces: count from the last one.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{start_ticks}"


def descends(pid: int, ancestors: Collection[int]) -> bool:
    """Say whether a process is one of ``ancestors``, or a child or grandchild of one."""
    while pid > 1:
        if pid in ancestors:
            return True
        try:
            stat = _PROC.joinpath(str(pid), "stat").read_text()
        except OSError:
            return False
        pid = int(stat.rpartition(")")[2].split()[1])
    return False


def _began_by_ps(pid: int) -> str | None:
    shown = run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], environment={"PATH": PATH, "LC_ALL": "C"}
    )
    state, _, moment = shown.stdout.strip().partition(" ")
    return None if not moment or state.startswith("Z") else re.sub(r"\s+", " ", moment.strip())


def alive(mark: Mark | None) -> bool:
    """Say whether exactly this process still runs; one that got its pid later is not it."""
    if mark is None:
        return False
    child, seen = _children.get(mark.pid), began(mark.pid)
    if child is not None and (seen is None or child.poll() is not None):
        # Another thread may look at the same moment: its poll says "nothing yet" to ours, and a
        # child that nobody asks about again would stay behind dead.
        _exit_codes[mark] = child.wait()
        _children.pop(mark.pid, None)
        return False
    return seen == mark.began


def send(mark: Mark | None, number: signal.Signals) -> None:
    """Signal the process if it is still ours."""
    if mark is not None and alive(mark):
        # It may end between the look and the signal; then there is nothing to signal.
        with contextlib.suppress(ProcessLookupError):
            os.kill(mark.pid, number)


def end(mark: Mark | None, *, politely: signal.Signals, patience: float) -> None:
    """Ask the process to end; after ``patience`` seconds make it. Returns when it is gone."""
    send(mark, politely)
    if not gone_within(mark, patience):
        send(mark, signal.SIGKILL)
        gone_within(mark, 10)


def gone_within(mark: Mark | None, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def exit_code(mark: Mark | None) -> int | None:
    """How a process of this very process ended, a signal as a negative number. None: it runs, or
    somebody else started it."""
    return None if mark is None or alive(mark) else _exit_codes.get(mark)


def without_tag(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != TAG}


def strays(home: Path) -> list[Mark]:
    """Find processes that carry this stack's tag. Empty where the kernel has no ``/proc``."""
    wanted = f"{TAG}={home}".encode()
    found = []
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            tagged = wanted in entry.joinpath("environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or belongs to somebody else: not ours either way
        moment = began(int(entry.name)) if tagged else None
        if moment is not None:
            found.append(Mark(int(entry.name), moment))
    return found
