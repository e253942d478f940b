"""What the three parts have in common: start, be ready, stop; and what is done when one cannot."""

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import ClassVar

from deploy.local.stack import ports, shelter
from deploy.local.stack.errors import StackError
from deploy.local.stack.processes import (
    PATH,
    TAG,
    Account,
    Mark,
    alive,
    end,
    gone_within,
    launch,
    send,
)
from deploy.local.stack.state import PartState

READY_WITHIN_S = 90.0  # about 4 s when alone; a busy machine is no reason to give up
ANSWERS_WITHIN_S = 10.0  # a part that runs already answers at once, or it hangs
TRIES = 3

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part lives, and with whose rights."""

    home: Path
    tools: Path  # programs that were fetched; stacks may share them
    run_as: Account | None
    throwaway: bool
    remember: Callable[[], None]  # writes the stack's state file
    choose_ports: Callable[["Part"], list[int]]  # free ones, that no other part has


class Part(ABC):
    name: ClassVar[str]
    title: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    grpc: ClassVar[bool] = False  # it listens a second time, ``ports.GRPC`` higher
    politely: ClassVar[Signals] = SIGTERM
    patience: ClassVar[float] = 20.0

    def __init__(self, place: Place, state: PartState) -> None:
        self.place = place
        self.state = state

    @property
    def directory(self) -> Path:
        return self.place.home / self.name

    @property
    def log(self) -> Path:
        return self.place.home / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return alive(self.state.processes.get("main"))

    @property
    def pid(self) -> int | None:
        mark = self.state.processes.get("main")
        return mark.pid if mark is not None and alive(mark) else None

    @property
    def where(self) -> str:
        """The address that people look for first, without a secret."""
        return f"127.0.0.1:{self.state.ports[self.port_names[0]]}"

    @abstractmethod
    def provide(self, report: Report) -> None:
        """Find the programs, or fetch them; a sentence if that is impossible."""

    @abstractmethod
    def begin(self) -> None:
        """Lay out the files if need be and start the process, without waiting for it."""

    @abstractmethod
    def answers(self) -> bool:
        """Ask it, with its own credentials, so that a stranger on the port is no answer."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that lead the services to it."""

    def up(self, report: Report) -> bool:
        """Make sure that it runs and answers. False: it did already."""
        if self.running:
            if self._ready(ANSWERS_WITHIN_S):
                return False
            report(f"{self.title} runs but does not answer; it is ended and started again")
            self.end_now()
        started = time.monotonic()
        self.provide(report)
        for attempt in range(TRIES):
            self._settle_ports(report, fresh=attempt > 0)
            self.place.remember()
            if self._begin_and_wait():
                report(f"{self.title} is ready ({time.monotonic() - started:.1f} s)")
                return True
            gave_up_itself = not self.running
            self.end_now()
            # It may have lost a port to somebody who let go of it since: others are worth a try.
            if not gave_up_itself:
                break
        raise StackError(self._did_not_start())

    def start(self) -> None:
        """Start it again where it was, on the same ports, and wait until it answers."""
        well = self._ready(READY_WITHIN_S) if self.running else self._begin_and_wait()
        if not well:
            raise StackError(self._did_not_start())

    def stop(self) -> None:
        """End it in its own way. A throwaway stack has nothing to save, so it is quick."""
        if self.place.throwaway:
            self.end_now()
        else:
            self.end_kindly()

    def kill(self) -> None:
        """End it as a crash would (``kill -9``)."""
        mark = self.state.processes.get("main")
        send(mark, SIGKILL)
        gone_within(mark, 10)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing answers, until ``resume``."""
        send(self.state.processes.get("main"), SIGSTOP)

    def resume(self) -> None:
        send(self.state.processes.get("main"), SIGCONT)

    def end_kindly(self) -> None:
        self.resume()  # a stopped process hears nothing
        for mark in self.marks():
            end(mark, politely=self.politely, patience=self.patience)
        self.state.processes.clear()

    def end_now(self) -> None:
        for mark in self.marks():
            end(mark, politely=SIGKILL, patience=10)
        self.state.processes.clear()

    def marks(self) -> list[Mark]:
        """Its processes, the main one first."""
        return sorted(self.state.processes.values(), key=self._main_first)

    def _main_first(self, mark: Mark) -> bool:
        return mark != self.state.processes.get("main")

    def launch(self, name: str, argv: list[str | Path], extra: Mapping[str, str]) -> None:
        self.state.processes[name] = launch(
            argv,
            environment=self.surroundings(extra),
            directory=self.directory,
            log=self.log,
            run_as=self.place.run_as,
        )

    def surroundings(self, extra: Mapping[str, str]) -> dict[str, str]:
        """All that its processes get to see of an environment: nothing of the caller's."""
        common = {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
            TAG: str(self.place.home),
        }
        return common | dict(extra)

    def own_directory(self, name: str = "") -> Path:
        return shelter.own_directory(self.directory / name, self.place.run_as)

    def own_file(self, name: str, text: str) -> Path:
        return shelter.own_file(self.directory / name, text, self.place.run_as)

    def _settle_ports(self, report: Report, *, fresh: bool) -> None:
        """Keep the ports of last time where they are still free; else take others."""
        now = self.state.ports
        if not fresh and now and all(map(ports.is_free, self._ports_to_bind())):
            return
        if now:
            report(f"somebody else listens on a port of {self.title}: taking others")
        self.end_now()  # a helper that outlived it would stay behind on the old ports
        chosen = self.place.choose_ports(self)
        self.state.ports = dict(zip(self.port_names, chosen, strict=True))

    def _ports_to_bind(self) -> list[int]:
        mine = list(self.state.ports.values())
        return mine + ([port + ports.GRPC for port in mine] if self.grpc else [])

    def _begin_and_wait(self) -> bool:
        with ports.held(self._ports_to_bind()):
            self.begin()
            self.place.remember()
            return self._ready(READY_WITHIN_S)

    def _did_not_start(self) -> str:
        words = (
            self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        )
        last = f"; its last words: {words[-1].strip()}" if words else ""
        return f"{self.title} did not start{last} (more in {self.log})."

    def _ready(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while self.running and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.05)
        return False


def accepts_connections(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def speaks_amqp(port: int) -> bool:
    """Greet as a client does, and see whether a broker greets back."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as wire:
            wire.sendall(b"AMQP\x00\x00\x09\x01")
            return len(wire.recv(1)) == 1
    except OSError:
        return False
