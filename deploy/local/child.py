"""One process of the system that outlives the command that started it: its mark, log and end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from signal import SIGKILL, SIGTERM

from deploy.local.stack import processes
from deploy.local.stack.processes import Mark


class Child:
    """A process by name; ``folder`` holds ``<name>.mark`` and ``<name>.log``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._mark_file = folder / f"{name}.mark"

    def start(self, command: Sequence[str], environment: Mapping[str, str], *, at: Path) -> None:
        """Start ``command`` in the directory ``at``; what it says is appended to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        mark = processes.launch(
            command, environment=environment, directory=at, log=self.log, run_as=None
        )
        self._mark_file.write_text(json.dumps(asdict(mark)))

    @property
    def mark(self) -> Mark | None:
        """The process, if it runs."""
        try:
            mark = Mark(**json.loads(self._mark_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return mark if processes.alive(mark) else None

    @property
    def running(self) -> bool:
        return self.mark is not None

    def terminate(self) -> None:
        """Ask it to finish, and do not wait."""
        processes.send(self.mark, SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        processes.end(self.mark, politely=SIGKILL, patience=10)

    def stop(self, *, within: float) -> None:
        """Ask it to finish; end it hard after ``within`` seconds."""
        processes.end(self.mark, politely=SIGTERM, patience=within)

    def tail(self, lines: int = 5) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""
