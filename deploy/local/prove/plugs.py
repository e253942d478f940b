"""Pulls plugs, and puts them back: kills, freezes, silences, alarms; and restarts what has died."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

from deploy.local.prove import crash_points
from deploy.local.prove.crash_points import Kind
from deploy.local.prove.installation import Installation, Replica
from deploy.local.prove.schedule import REPLICAS, Pull
from deploy.local.stack import processes
from deploy.local.stack.errors import StackError
from deploy.local.system import STOP_WITHIN_S, NotReady

DONE, SKIPPED, UNREACHED, FAILED = "done", "skipped", "unreached", "failed"

# So long a service has to come to a crash point, under load. Then it is killed where it is.
REACHED_WITHIN_S = 20.0
ORDER_EVERY_S = 3.0
LOOK_EVERY_S = 0.2


@dataclass(slots=True, kw_only=True)
class Pulled:
    """A pull and what came of it. Times are Unix seconds: when the plug was out, when it was back
    in, and when everything that had been due by then was done (None: not seen)."""

    pull: Pull
    outcome: str = DONE
    why: str = ""
    out_at: float = 0.0
    back_at: float | None = None
    settled_at: float | None = None
    waited_for: str = ""  # the kind of thing that was done last

    @property
    def settle_s(self) -> float | None:
        if self.back_at is None or self.settled_at is None:
            return None
        return max(0.0, self.settled_at - self.back_at)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"settle_s": self.settle_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A service that ended though nobody had pulled its plug."""

    replica: str
    at: float
    exit_code: int | None
    last_words: str


class Busy(Exception):
    """Another pull has what this one aims at."""


class Plugs:
    """Everything that can be pulled on one installation."""

    def __init__(
        self,
        installation: Installation,
        *,
        now: Callable[[], float],
        order: Callable[[Kind], Awaitable[None]],
    ) -> None:
        """``order`` places one order of a kind that comes past a crash point."""
        self._on = installation
        self._now = now
        self._order = order
        self._held: set[str] = set()  # parts and links; replicas know it themselves
        self.pulled: list[Pulled] = []
        self.deaths: list[Death] = []

    @property
    def out(self) -> list[str]:
        """What is pulled at this moment, for people."""
        return [
            f"{p.pull.plug} {p.pull.aim}" for p in self.pulled if p.back_at is None and p.out_at
        ]

    async def pull(self, pull: Pull) -> None:
        """Pull one plug and put it back. Whatever comes of it is noted, nothing is raised."""
        pulled = Pulled(pull=pull, out_at=self._now())
        self.pulled.append(pulled)
        try:
            match pull.plug:
                case "kill" | "crash" | "freeze":
                    with self._replica(pull) as replica:
                        await self._of_a_service(pull, pulled, replica)
                case "broker" | "database":
                    with self._hold(pull.aim):
                        await self._kill_a_part(pull)
                case "alarm":
                    with self._hold(pull.aim):
                        await self._alarm(pull)
                case "partition":
                    with self._hold(f"link:{pull.aim}"):
                        await self._partition(pull)
                case "s3":
                    with self._hold("link:s3"):
                        await self._ill_bucket(pull)
                case unknown:
                    raise ValueError(f"no plug is called {unknown}")
        except Busy as busy:
            pulled.outcome, pulled.why = SKIPPED, f"{busy} was pulled already"
        except (StackError, NotReady, OSError) as error:
            pulled.outcome, pulled.why = FAILED, str(error)
        pulled.back_at = self._now()

    async def supervise(self) -> None:
        """Start again what has died, until cancelled: kubelet's part in this play."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for replica in self._on.dead():
                with self._holding(replica, "restart"):
                    self._note(replica)
                    await asyncio.to_thread(replica.start)

    def _note(self, replica: Replica) -> None:
        self.deaths.append(
            Death(
                replica=replica.name,
                at=self._now(),
                exit_code=processes.exit_code(replica.last),
                last_words=replica.child.tail(12),
            )
        )

    # ---- holding

    @contextmanager
    def _hold(self, name: str) -> Iterator[None]:
        if name in self._held:
            raise Busy(name)
        self._held.add(name)
        try:
            yield
        finally:
            self._held.discard(name)

    @contextmanager
    def _replica(self, pull: Pull) -> Iterator[Replica]:
        """The replica that is aimed at; its sister, where it is in another pull's hand."""
        service, _, letter = pull.aim.rpartition("-")
        for name in (letter, *(other for other in REPLICAS if other != letter)):
            replica = self._on.replicas[f"{service}-{name}"]
            if replica.held is None and replica.running:
                with self._holding(replica, pull.plug):
                    yield replica
                return
        raise Busy(service)

    @contextmanager
    def _holding(self, replica: Replica, why: str) -> Iterator[None]:
        replica.held = why
        try:
            yield
        finally:
            replica.held = None

    # ---- services

    async def _of_a_service(self, pull: Pull, pulled: Pulled, replica: Replica) -> None:
        match pull.plug:
            case "kill":
                await asyncio.to_thread(replica.child.kill)
            case "freeze":
                replica.signal(SIGSTOP)
                try:
                    await asyncio.sleep(pull.seconds)
                finally:
                    replica.signal(SIGCONT)
                return
            case _:
                await self._crash(pull, pulled, replica)
        await asyncio.to_thread(replica.start)

    async def _crash(self, pull: Pull, pulled: Pulled, replica: Replica) -> None:
        """End it kindly, and let it run again until it comes to its crash point."""
        point = crash_points.point(str(pull.point))
        await asyncio.to_thread(lambda: replica.child.stop(within=STOP_WITHIN_S))
        command = crash_points.command(point, pull.hit)
        await asyncio.to_thread(replica.start, command)
        mark, kind = replica.last, crash_points.KINDS[point.kind]
        until = self._now() + REACHED_WITHIN_S
        reached = False
        while not reached and self._now() < until:
            # Its sister takes some of them.
            await self._order(kind)
            reached = await asyncio.to_thread(processes.gone_within, mark, ORDER_EVERY_S)
        if not reached:
            pulled.outcome, pulled.why = UNREACHED, "its service did not come there in time"
            await asyncio.to_thread(replica.child.kill)
        elif (code := processes.exit_code(mark)) != -SIGKILL:
            pulled.outcome = FAILED
            pulled.why = f"it ended with {code} instead: {replica.child.tail(6)}"

    # ---- parts and links

    async def _kill_a_part(self, pull: Pull) -> None:
        await asyncio.to_thread(self._on.part(pull.aim).kill)
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            await asyncio.to_thread(self._on.start_part, pull.aim)

    async def _alarm(self, pull: Pull) -> None:
        try:
            await asyncio.to_thread(self._on.alarm, True)
            await asyncio.sleep(pull.seconds)
        finally:
            await asyncio.to_thread(self._on.alarm, False)

    async def _partition(self, pull: Pull) -> None:
        link = self._on.links.named(pull.aim)
        link.fall_silent()
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            link.speak()

    async def _ill_bucket(self, pull: Pull) -> None:
        both = (self._on.links.s3, self._on.links.first_s3)
        for link in both:
            link.sicken()
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            for link in both:
                link.heal()
