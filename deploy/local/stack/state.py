"""What a stack must remember to be found again: ports, secrets, processes. One file, owner only."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.stack.errors import StackError
from deploy.local.stack.processes import Mark

VERSION = 1


@dataclass(slots=True)
class PartState:
    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Mark] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def become(self, other: "PartState") -> None:
        self.ports, self.secrets = other.ports, other.secrets
        self.processes, self.facts = other.processes, other.facts


@dataclass(slots=True)
class StackState:
    """``home`` holds the parts' files; it is the root itself wherever the servers can reach it."""

    home: Path
    throwaway: bool
    owner: Mark | None
    watchdog: Mark | None
    parts: dict[str, PartState]


def path_of(root: Path) -> Path:
    return root / "stack.json"


def read(root: Path) -> StackState | None:
    """None: no stack was ever started here."""
    try:
        text = path_of(root).read_text()
    except FileNotFoundError:
        return None
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise StackError(
                f"{path_of(root)} was written by another version of the stack; remove the stack"
                f" and its data with `{nuke_command(root)}`."
            )
        return StackState(
            home=Path(data["home"]),
            throwaway=data["throwaway"],
            owner=_mark(data["owner"]),
            watchdog=_mark(data["watchdog"]),
            parts={name: _part(part) for name, part in data["parts"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise StackError(
            f"{path_of(root)} cannot be understood; remove the stack and its data with"
            f" `{nuke_command(root)}`."
        ) from fault


def write(root: Path, state: StackState) -> None:
    """Replace the file whole: a reader sees the old one or the new one, never half of one."""
    text = json.dumps({"version": VERSION} | asdict(state) | {"home": str(state.home)}, indent=2)
    draft = path_of(root).with_suffix(".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path_of(root))


def up_command(root: Path) -> str:
    return f"python -m deploy.local.stack up --root {root}"


def nuke_command(root: Path) -> str:
    return f"python -m deploy.local.stack nuke --root {root}"


@contextmanager
def lock(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock between processes; ``waiting`` is called once if somebody else has it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever had it may have removed the stack, lock and all: then we hold a ghost.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                yield
                return
        finally:
            os.close(handle)


def _mark(data: dict[str, object] | None) -> Mark | None:
    return None if data is None else Mark(int(str(data["pid"])), str(data["began"]))


def _part(data: dict[str, dict[str, object]]) -> PartState:
    marks = {name: _mark(mark) for name, mark in data["processes"].items()}  # type: ignore[arg-type]
    return PartState(
        ports={name: int(str(port)) for name, port in data["ports"].items()},
        secrets={name: str(secret) for name, secret in data["secrets"].items()},
        processes={name: mark for name, mark in marks.items() if mark is not None},
        facts={name: str(fact) for name, fact in data["facts"].items()},
    )
