"""The three parts as one thing that is up or down, in one directory."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL
from threading import Lock
from typing import TypeVar

from deploy.local.stack import ports, processes, shelter, state
from deploy.local.stack.errors import StackError
from deploy.local.stack.isolation import Isolation
from deploy.local.stack.part import Part, Place, Report
from deploy.local.stack.postgres import Postgres
from deploy.local.stack.processes import Mark, alive
from deploy.local.stack.rabbitmq import RabbitMQ
from deploy.local.stack.s3 import S3
from deploy.local.stack.state import PartState, StackState

ROOT = Path(".darkroom")
PROJECT = Path(__file__).parents[3]
AnyPart = TypeVar("AnyPart", bound=Part)
KINDS: tuple[type[Part], ...] = (Postgres, S3, RabbitMQ)


def silent(_: str) -> None:
    """For callers who do not want to watch."""


class Stack(Isolation):
    """A private Postgres, S3 and RabbitMQ under ``root``.

    ``throwaway``: for tests; trades safety of the data for speed, and ends by SIGKILL.
    ``owner``: a pid; when that process dies, however it dies, the stack is removed with its data.
    ``tools``: where programs are kept that had to be fetched; stacks may share them.

    Every method may be called from any process that may read the root.
    """

    def __init__(
        self,
        root: Path = ROOT,
        *,
        throwaway: bool = False,
        owner: int | None = None,
        tools: Path | None = None,
    ) -> None:
        self.root = root.resolve()
        self._throwaway = throwaway
        self._owner = owner
        self._tools = tools
        self._writing = Lock()
        self._choosing = Lock()
        self._chosen: set[int] = set()
        # Read when something is asked: a file that cannot be understood must not keep ``nuke`` away.
        self._state: StackState | None = None
        self._parts: dict[str, Part] = {}

    @classmethod
    def load(cls, root: Path = ROOT) -> "Stack":
        """A stack that was started before, by whomever; ``StackError`` if there is none."""
        stack = cls(root)
        stack._reread()
        if stack._state is None:
            raise StackError(
                f"No stack lives under {root}; start one with `{state.up_command(root)}`."
            )
        return stack

    @property
    def postgres(self) -> Postgres:
        return self._part(Postgres)

    @property
    def s3(self) -> S3:
        return self._part(S3)

    @property
    def rabbitmq(self) -> RabbitMQ:
        return self._part(RabbitMQ)

    def up(self, report: Report = silent) -> None:
        """Make sure that all three run and answer; what runs already is left alone."""
        with self._alone(report):
            self._reread()
            if self._state is None:
                self._state = self._begin(report)
                self._parts = self._furnish()
            self._remember()
            self._end_strays(report)
            with ThreadPoolExecutor(len(KINDS)) as pool:
                starts = [pool.submit(part.up, report) for part in self._parts.values()]
            # All have come to an end here; the first sentence is the one that people get.
            for start in starts:
                start.result()
            self._begin_watchdog()

    def down(self, report: Report = silent) -> None:
        """End all three and keep their data. Nothing of the stack runs afterwards."""
        with self._alone(report):
            self._reread()
            self._end(kindly=not self._throwaway)

    def nuke(self, report: Report = silent) -> None:
        """End all three at once and remove everything that the stack ever wrote."""
        with self._alone(report):
            # A state that cannot be read is one of the things that this command mends.
            with contextlib.suppress(StackError):
                self._reread()
            self._end(kindly=False)
            self._remove()
        self._state = None
        self._parts = {}
        with contextlib.suppress(OSError):
            self.root.rmdir()  # stays if somebody else keeps something there

    def status(self) -> dict[str, str]:
        """One line per part, for people."""
        self._reread()
        if self._state is None:
            return {kind.name: "never started here" for kind in KINDS}
        return {
            name: f"runs (pid {part.pid}) at {part.where}" if part.running else "is stopped"
            for name, part in self._parts.items()
        }

    @property
    def running(self) -> bool:
        """All three run."""
        self._reread()
        return len(self._parts) == len(KINDS) and all(p.running for p in self._parts.values())

    @property
    def owner_is_gone(self) -> bool:
        """Somebody was to remove this stack and has died before."""
        self._reread()
        return (
            self._state is not None
            and self._state.owner is not None
            and not alive(self._state.owner)
        )

    def environment(self) -> dict[str, str]:
        """The variables that lead the services to the three parts."""
        self._reread()
        if not self._parts:
            raise StackError(f"No stack lives under {self.root}; start it first.")
        return {
            name: value
            for part in self._parts.values()
            for name, value in part.environment().items()
        }

    def pids(self) -> list[int]:
        """Everything that runs for this stack."""
        self._reread()
        found = [mark.pid for part in self._parts.values() for mark in part.marks() if alive(mark)]
        strays = [mark.pid for home in self._homes() for mark in processes.strays(home)]
        return sorted({*found, *strays})

    # -- inside ------------------------------------------------------------------------------

    def _begin(self, report: Report) -> StackState:
        run_as = processes.account()
        self._refuse_leftovers(self.root)
        home = shelter.home_of(self.root, run_as, report)
        self._refuse_leftovers(home)
        owner = None
        if self._owner is not None:
            owner = Mark(self._owner, processes.began(self._owner) or "gone before we looked")
        return StackState(home, self._throwaway, owner, None, {})

    def _refuse_leftovers(self, home: Path) -> None:
        """Data whose password is lost cannot be used, and is not ours to throw away."""
        for directory in (home / kind.name for kind in KINDS):
            if directory.exists():
                raise StackError(
                    f"{directory} is there but {state.path_of(self.root)}, which held its password,"
                    f" is not; remove the rest with `{state.nuke_command(self.root)}`."
                )

    def _furnish(self) -> dict[str, Part]:
        if self._state is None:
            return {}
        self._throwaway = self._state.throwaway
        place = Place(
            home=self._state.home,
            tools=self._tools or self._state.home / "tools",
            run_as=processes.account(),
            throwaway=self._throwaway,
            remember=self._remember,
            choose_ports=self._choose_ports,
        )
        return {
            kind.name: kind(place, self._state.parts.setdefault(kind.name, PartState()))
            for kind in KINDS
        }

    def _reread(self) -> None:
        """Another process may have started, stopped or moved parts since we looked."""
        found = state.read(self.root)
        if found is None:
            self._state, self._parts = None, {}
            return
        for name, part in self._parts.items():
            # In place: whoever holds a part of ours goes on with what is true now.
            part.state.become(found.parts.get(name, PartState()))
            found.parts[name] = part.state
        self._state = found
        self._parts = self._parts or self._furnish()

    def _choose_ports(self, part: Part) -> list[int]:
        """One part at a time, since they start in parallel and must not choose alike."""
        with self._choosing:
            taken = self._state.parts.values() if self._state else ()
            avoid = {port for other in taken for port in other.ports.values()} | self._chosen
            seed = f"{self.root}/{part.name}"
            run_as = processes.account()
            chosen = ports.choose(
                len(part.port_names),
                seed=seed,
                avoid=avoid,
                grpc=part.grpc,
                server=run_as.uid if run_as else os.getuid(),
            )
            self._chosen.update(chosen)
            return chosen

    def _remember(self) -> None:
        with self._writing:
            if self._state is not None:
                state.write(self.root, self._state)

    @contextlib.contextmanager
    def _alone(self, report: Report) -> Iterator[None]:
        def waiting() -> None:
            report(f"another process is at work on the stack under {self.root}; waiting for it")

        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with state.lock(self.root / "stack.lock", waiting):
            yield

    def _end(self, *, kindly: bool) -> None:
        stops = [part.end_kindly if kindly else part.end_now for part in self._parts.values()]
        with ThreadPoolExecutor(len(KINDS)) as pool:
            ends = [pool.submit(stop) for stop in stops]
        # The watchdog may be the one who does this; it ends by itself then.
        watchdog = self._state.watchdog if self._state else None
        if watchdog is not None and watchdog.pid != os.getpid():
            processes.end(watchdog, politely=SIGKILL, patience=10)
        for home in self._homes():
            for stray in processes.strays(home):
                processes.end(stray, politely=SIGKILL, patience=10)
        self._remember()
        for end in ends:
            end.result()

    def _end_strays(self, report: Report) -> None:
        """End what an interrupted start began and never wrote down."""
        known = [mark.pid for part in self._parts.values() for mark in part.marks() if alive(mark)]
        if self._state is not None and self._state.watchdog is not None:
            known.append(self._state.watchdog.pid)
        for stray in (mark for home in self._homes() for mark in processes.strays(home)):
            if not processes.descends(stray.pid, known):
                report(f"ending a process that an interrupted start left behind (pid {stray.pid})")
                processes.end(stray, politely=SIGKILL, patience=10)

    def _homes(self) -> list[Path]:
        """Where the files are; where they may be, if nothing tells any more."""
        return [self._state.home] if self._state else [self.root, shelter.elsewhere(self.root)]

    def _begin_watchdog(self) -> None:
        if self._state is None or self._state.owner is None or alive(self._state.watchdog):
            return
        self._state.watchdog = processes.launch(
            [sys.executable, "-m", "deploy.local.stack.watchdog", self.root],
            environment={"PATH": processes.PATH, processes.TAG: str(self._state.home)},
            directory=PROJECT,
            log=self._state.home / "watchdog.log",
            run_as=None,
        )
        self._remember()

    def _remove(self) -> None:
        for home in self._homes():
            for directory in (*(kind.name for kind in KINDS), "programs", "tools"):
                if (home / directory).exists():
                    shutil.rmtree(home / directory)
            for file in (*(f"{kind.name}.log" for kind in KINDS), "watchdog.log"):
                (home / file).unlink(missing_ok=True)
            if home != self.root and home.exists():
                home.rmdir()
        for file in ("stack.json", "stack.draft", "stack.lock"):
            (self.root / file).unlink(missing_ok=True)

    def _part(self, kind: type[AnyPart]) -> AnyPart:
        if not self._parts:
            self._reread()
        part = self._parts.get(kind.name)
        if not isinstance(part, kind):
            raise StackError(f"No stack lives under {self.root}; start it first.")
        return part
