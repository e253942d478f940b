"""Pulls plugs, and puts them back: kills, freezes, silences, alarms; and restarts what has died."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

from deploy.local.prove import crash_points, meters
from deploy.local.prove.crash_points import Kind
from deploy.local.prove.installation import Installation, Replica, ask
from deploy.local.prove.schedule import REPLICAS, Pull
from deploy.local.stack import processes
from deploy.local.stack.errors import StackError
from deploy.local.system import STOP_WITHIN_S, NotReady

DONE, SKIPPED, UNREACHED, FAILED = "done", "skipped", "unreached", "failed"

# So long a service has to come to a crash point, under load. Then it is killed where it is.
REACHED_WITHIN_S = 20.0
ORDER_EVERY_S = 3.0
LOOK_EVERY_S = 0.2
# Shorter silence need not be noticed: a heartbeat is missed twice first.
NOTICED_AFTER_S = 35.0
# So long creates have to hang on their way, before their buyer is put to sleep.
HELD_UP_S = 1.5
# What is under way by then is the ingress's to finish.
LED_OVER_WITHIN_S = 10.0
PARTS = ("rabbitmq", "postgres")


@dataclass(slots=True, kw_only=True)
class Pulled:
    """A pull and what came of it. Times are Unix seconds: when the plug was out, when somebody began
    to put it back, when it was back in, and when everything that had been due by then was done
    (None: not seen). ``seen`` holds what was measured meanwhile, by its name."""

    pull: Pull
    outcome: str = DONE
    why: str = ""
    out_at: float = 0.0
    healing_at: float | None = None
    back_at: float | None = None
    settled_at: float | None = None
    waited_for: str = ""  # the kind of thing that was done last
    seen: dict[str, Any] = field(default_factory=dict)

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

    async def pull(self, pull: Pull) -> Pulled:
        """Pull one plug and put it back. Whatever comes of it is noted, nothing is raised."""
        pulled = Pulled(pull=pull, out_at=self._now())
        self.pulled.append(pulled)
        try:
            match pull.plug:
                case "kill" | "crash" | "freeze":
                    with self._replica(pull) as replica:
                        await self._of_a_service(pull, pulled, replica)
                case "stale":
                    with self._replica(pull) as replica, self._hold("link:provider"):
                        await self._stale(pull, replica)
                case "roll":
                    await self._roll(pull, pulled)
                case "drop":
                    await self._drop(pull)
                case _:
                    await self._of_a_part(pull, pulled)
        except Busy as busy:
            pulled.outcome, pulled.why = SKIPPED, f"{busy} was pulled already"
        except (StackError, NotReady, OSError) as error:
            pulled.outcome, pulled.why = FAILED, str(error)
        pulled.back_at = self._now()
        return pulled

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

    async def _stale(self, pull: Pull, buyer: Replica) -> None:
        """Let a buyer's creates hang on their way, put it to sleep until others have bought in its
        place, and wake it: it goes on where it was."""
        self._on.links.provider.fall_silent()
        try:
            await asyncio.sleep(HELD_UP_S)
            buyer.signal(SIGSTOP)
            try:
                await asyncio.sleep(pull.seconds)
            finally:
                buyer.signal(SIGCONT)
        finally:
            self._on.links.provider.speak()

    async def _roll(self, pull: Pull, pulled: Pulled) -> None:
        """End every process of a service, or of all (``services``), kindly and start it again, each
        when the one before is ready. Before an ingress is asked to end, the front door sends nothing
        new to it, on no connection, as an orchestrator's does that reads requests."""
        drains = pulled.seen.setdefault("drains", [])
        front = self._on.links.front
        for name in sorted(self._on.replicas, key=lambda name: name.rpartition("-")[2]):
            replica = self._on.replicas[name]
            if pull.aim not in ("services", replica.service):
                continue
            if replica.held is not None or not replica.running:
                raise Busy(name)
            with self._holding(replica, "roll"):
                if replica.service == "ingress":
                    front.lead_to(*self._doors(but=replica))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LED_OVER_WITHIN_S):
                            await front.lead_over()
                mark, began = replica.last, time.monotonic()
                await asyncio.to_thread(partial(replica.child.stop, within=STOP_WITHIN_S))
                drains.append(
                    {
                        "replica": name,
                        "seconds": round(time.monotonic() - began, 2),
                        "exit_code": processes.exit_code(mark),
                    }
                )
                await asyncio.to_thread(replica.start)
                await asyncio.to_thread(replica.system.wait_ready, replica.service)
                front.lead_to(*self._doors())

    def _doors(self, *, but: Replica | None = None) -> list[str]:
        return [
            replica.system.layout.ingress_url
            for replica in self._on.replicas.values()
            if replica.service == "ingress" and replica is not but
        ]

    # ---- parts and links

    async def _of_a_part(self, pull: Pull, pulled: Pulled) -> None:
        match pull.plug:
            case "broker" | "database" | "stop":
                with self._hold(pull.aim):
                    await self._part_away(pull, pulled, pull.aim, kindly=pull.plug == "stop")
            case "both":
                with self._hold(PARTS[0]), self._hold(PARTS[1]):
                    await self._part_away(pull, pulled, *PARTS)
            case "alarm" | "disk":
                with self._hold("rabbitmq"):
                    await self._alarm(pull, pulled)
            case "partition":
                with self._hold(f"link:{pull.aim}"):
                    await self._partition(pull, pulled)
            case "s3":
                with self._hold("link:s3"):
                    await self._ill_bucket(pull)
            case unknown:
                raise ValueError(f"no plug is called {unknown}")

    async def _part_away(
        self, pull: Pull, pulled: Pulled, *parts: str, kindly: bool = False
    ) -> None:
        ends = [
            self._on.part(name).end_kindly if kindly else self._on.part(name).kill for name in parts
        ]
        await asyncio.gather(*(asyncio.to_thread(end) for end in ends))
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            pulled.healing_at = self._now()
            await asyncio.gather(*(asyncio.to_thread(self._on.start_part, name) for name in parts))

    async def _alarm(self, pull: Pull, pulled: Pulled) -> None:
        kind = "memory" if pull.plug == "alarm" else "disk"
        broker = meters.Broker(self._on.parts)
        try:
            await asyncio.to_thread(self._on.alarm, True, kind)
            pulled.out_at = self._now()
            before = await asyncio.to_thread(broker.queued)
            await asyncio.sleep(pull.seconds)
            pulled.seen["queued"] = (before, await asyncio.to_thread(broker.queued))
        finally:
            pulled.healing_at = self._now()
            await asyncio.to_thread(self._on.alarm, False, kind)

    async def _partition(self, pull: Pull, pulled: Pulled) -> None:
        link, watching = self._on.links.named(pull.aim), []
        if pull.seconds >= NOTICED_AFTER_S:
            services, _ = meters.NOTICED_BY[pull.aim]
            noticed = pulled.seen.setdefault("noticed_s", {})
            for name in (f"{service}-{REPLICAS[1]}" for service in services):
                url = self._on.replicas[name].health_url
                failed = await asyncio.to_thread(meters.failed_calls, url)
                noticed[name] = None
                watching.append(self._notice(url, pull.aim, failed, noticed, name))
        pulled.out_at = self._now()
        link.fall_silent()
        tasks = [asyncio.create_task(each) for each in watching]
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            pulled.healing_at = self._now()
            link.speak()

    async def _notice(
        self, url: str, link: str, failed: float, noticed: dict[str, float | None], name: str
    ) -> None:
        """Look until a process says that its link is of no use, and note after how long."""
        began = time.monotonic()
        while True:
            if await asyncio.to_thread(meters.has_noticed, url, link, failed_before=failed):
                noticed[name] = round(time.monotonic() - began, 1)
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _drop(self, pull: Pull) -> None:
        """Let the provider lose webhooks of what is bought meanwhile."""
        share = float(pull.aim.removesuffix(" %")) / 100
        rule = json.dumps({"fault": "drop_webhooks", "rate": share}).encode()
        made = await asyncio.to_thread(ask, self._on.control("faults"), method="POST", body=rule)
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            path = f"faults/{json.loads(made)['id']}"
            await asyncio.to_thread(ask, self._on.control(path), method="DELETE")

    async def _ill_bucket(self, pull: Pull) -> None:
        both = (self._on.links.s3, self._on.links.first_s3)
        for link in both:
            link.sicken()
        try:
            await asyncio.sleep(pull.seconds)
        finally:
            for link in both:
                link.heal()
