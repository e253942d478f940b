"""One child process that outlives the command that started it: its pid file, log and end."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Child:
    """A process under ``folder``: ``<name>.pid`` (pid and start time) and ``<name>.log``.

    The start time tells our process from another that got its number later.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start ``command`` in a session of its own, its output appended to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # Reaped by whoever asks next; a finished child that nobody reaps would look alive.
        _STARTED[process.pid] = process
        self._pid_file.write_text(
            json.dumps({"pid": process.pid, "started": _start_time(process.pid)})
        )

    def pid(self) -> int | None:
        """The process's id while it runs, else None."""
        try:
            saved = json.loads(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid: int = saved["pid"]
        if pid in _STARTED:
            _STARTED[pid].poll()
        return pid if saved["started"] and _start_time(pid) == saved["started"] else None

    def running(self) -> bool:
        return self.pid() is not None

    def terminate(self) -> None:
        """Ask it to finish."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait_gone(5.0)

    def stop(self, within: float) -> None:
        """Ask it to finish; end it if it does not within ``within`` seconds."""
        self.terminate()
        self.wait_gone(within)

    def wait_gone(self, within: float) -> None:
        """Return when it is gone, ending it hard after ``within`` seconds."""
        deadline = time.monotonic() + within
        while self.running():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                deadline += 5.0
            time.sleep(0.02)
        self._pid_file.unlink(missing_ok=True)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _signal(self, signum: signal.Signals) -> None:
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)


_STARTED: dict[int, "subprocess.Popen[bytes]"] = {}


def _start_time(pid: int) -> str | None:
    """When process ``pid`` began, in a form that only compares; None if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _start_time_by_ps(pid)
    return None if fields[0] == "Z" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    # macOS has no /proc.
    seen = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return seen.stdout.strip() or None
