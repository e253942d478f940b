"""What leaving costs: ``python -m tests.benchmark.drain``.

Under a steady load, storage and aggregator go from one process to eight and back to one, then every
service is restarted, one process after another. Real processes with accounts of their own, broker,
Postgres (fsync on), bucket and HTTP; two ingresses stand behind a balancer that asks who is ready.
The witness, which shares no code with the services, says whether anything was lost or done twice;
the provider's log says how the front door answered; the services' logs what was redelivered.

Exits 1 where a promise is broken.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.logins import Logins, create_roles, create_users
from deploy.local.prove import orders
from deploy.local.prove.installation import SHARED_BY_BOTH, put_originals
from deploy.local.prove.witness import Evidence, judge
from deploy.local.stack import processes
from deploy.local.system import SERVICES, System
from shared.clock import utc_now
from shared.envelope import Envelope
from shared.messaging.publisher import open_publisher
from tests.benchmark.rig import machine, parts, percentile, say
from tests.support.balancer import balanced
from tests.support.waiting import a_pause, eventually
from tests.support.world import read_ledger

SCALED = ("storage", "aggregator")
MOST = 8
DRAIN_WITHIN_S = 30.0
EMULATED = {
    "EMULATOR_COLD_START_S": "0.1",
    "EMULATOR_RUN_S": "1.0",
    "EMULATOR_CREATES_PER_MINUTE": "600000",
    "EMULATOR_READS_PER_MINUTE": "600000",
    "EMULATOR_LONGEST_SIDE": "64",
}
OPTIONS = {
    "REPLICATE_CREATES_PER_MINUTE": "600000",
    "SOURCE_PREFIXES": orders.FOLDER,
    "INGRESS_LINGER_SECONDS": "1",
    "LOG_LEVEL": "INFO",
}


@dataclass(frozen=True, slots=True)
class Left:
    """How one process left."""

    service: str
    seconds: float
    code: int | None

    @property
    def well(self) -> bool:
        return self.code == 0 and self.seconds <= DRAIN_WITHIN_S


@dataclass(slots=True)
class Fleet:
    """Every process of the run: two of each service, and more of those that are scaled."""

    root: Path
    parts: Mapping[str, str]
    front: str
    systems: list[System] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def grow(self, services: Sequence[str]) -> System:
        """One more process of each of ``services``; the first ones bring the emulator."""
        first = self.systems[0] if self.systems else None
        options = OPTIONS | {"PUBLIC_BASE_URL": self.front}
        if first is not None:
            of_first = first.layout.environment()
            options |= {name: of_first[name] for name in SHARED_BY_BOTH}
            options["REPLICATE_BASE_URL"] = first.layout.emulator_url
        system = System(
            self.root / f"{len(self.systems)}",
            self.parts,
            options=options,
            emulator=EMULATED if first is None else None,
            services=services,
            logins=Logins(),
        )
        system.up()
        self.systems.append(system)
        return system

    def leave(self, system: System, service: str) -> None:
        """Ask one process to finish, and note how it did."""
        child = system.child(service)
        mark, began = child.mark, time.monotonic()
        child.stop(within=DRAIN_WITHIN_S + 5)
        self.left.append(Left(service, time.monotonic() - began, processes.exit_code(mark)))

    def restart(self, system: System, service: str) -> None:
        self.leave(system, service)
        system.start(service)
        system.wait_ready(service)

    def redelivered(self) -> int:
        """Deliveries of this run that came a second time, in the services' own words."""
        return sum(
            line.get("event") == "message.handled" and line["redelivered"] is True
            for system in self.systems
            for service in system.services
            for line in _lines(system.child(service).log)
        )

    def end(self) -> None:
        for system in reversed(self.systems):
            system.down()


@contextmanager
def a_fleet(root: Path, named: Mapping[str, str], front: str) -> Iterator[Fleet]:
    fleet = Fleet(root, named, front)
    try:
        yield fleet
    finally:
        fleet.end()


async def load(url: str, seed: int, per_second: float, ordered: list[str]) -> None:
    """Order jobs at a steady pace until cancelled."""
    async with open_publisher(url, name="drain") as publisher:
        for order in orders.draw(seed, 10**6, cancels=False):
            await publisher.publish(
                Envelope(
                    id=f"order-{order.job_id}",
                    type="upload.received",
                    source="benchmark",
                    time=utc_now(),
                    subject=str(order.job_id),
                    body=json.dumps(order.body).encode(),
                )
            )
            ordered.append(str(order.job_id))
            await a_pause(1 / per_second)


async def measured(fleet: Fleet, *, per_second: float, rest_s: float) -> list[str]:
    """Run the load through both phases; the jobs that were ordered."""
    ordered: list[str] = []
    loading = asyncio.create_task(load(fleet.parts["AMQP_URL"], 1, per_second, ordered))
    try:
        await a_pause(rest_s)
        while len(fleet.systems) < MOST:
            await asyncio.to_thread(fleet.grow, SCALED)
        say(f"{MOST} processes of {' and '.join(SCALED)}")
        await a_pause(rest_s)
        for system in reversed(fleet.systems[1:]):
            for service in SCALED:
                await asyncio.to_thread(fleet.leave, system, service)
        say(f"one process of {' and '.join(SCALED)}")
        await a_pause(rest_s)
        for service in SCALED:
            await asyncio.to_thread(fleet.systems[1].start, service)
        for service in SERVICES:
            for system in fleet.systems[:2]:
                await asyncio.to_thread(fleet.restart, system, service)
        say("every process was restarted")
        await a_pause(rest_s)
        if loading.done():
            loading.result()
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    return ordered


async def settled(database_url: str, jobs: int, *, within: float) -> None:
    """Every job has ended and has its report, and nothing is owed."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:

        async def left() -> tuple[int, int]:
            over = await pool.fetchval(
                "SELECT count(*) FROM job WHERE ended_at IS NOT NULL"
                " AND (state <> 'completed' OR report <> 'pending')"
            )
            owed = await pool.fetchval("SELECT count(*) FROM journal WHERE published_at IS NULL")
            return jobs - over, owed

        await eventually(
            "every job is over", left, holds=lambda seen: seen == (0, 0), within=within, every=1
        )


def tell(fleet: Fleet, jobs: int, deliveries: Sequence[Mapping[str, Any]]) -> bool:
    """Print the figures; whether every promise was kept."""
    verdict = judge(Evidence.of(fleet.systems[0].ledger, fleet.parts))
    bad = [one for one in deliveries if not one["heard"]]
    seconds = [one.seconds for one in fleet.left]
    ill = [one for one in fleet.left if not one.well]
    say(f"\n{jobs} jobs, {verdict.counts.get('purchases', 0)} purchases")
    say(f"processes that left        {len(fleet.left)}")
    say(
        f"  drain                    p50 {percentile(seconds, 0.5):.1f} s  max {max(seconds):.1f} s"
    )
    say(f"  not 0, or later than {DRAIN_WITHIN_S:g} s {len(ill)}  {ill or ''}")
    say(f"lost                       {len(verdict.lost)}")
    say(f"done twice                 {len(verdict.duplicated)}")
    say(f"unaccounted purchases      {len(verdict.unaccounted)}")
    say(f"stuck                      {len(verdict.stuck)}")
    say(f"webhooks at the front door {len(deliveries)}, not 2xx {len(bad)}")
    for one in bad[:10]:
        say(f"  {one['status']} {one['error']} attempt {one['attempt']}")
    say(f"redelivered messages       {fleet.redelivered()}")
    return verdict.clean and not bad and not ill


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(errors="replace").splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # the tail of a process that was cut off, or a library's own words
        if isinstance(told, dict):
            yield told


async def run(root: Path, environment: Mapping[str, str], asked: argparse.Namespace) -> bool:
    named = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
    await asyncio.to_thread(create_roles, named["DATABASE_URL"])
    await asyncio.to_thread(create_users, environment)
    await asyncio.to_thread(put_originals, named)
    async with AsyncExitStack() as until:
        # The balancer is there before those who are told its address.
        places: list[str] = []
        way = await until.enter_async_context(balanced(places))
        fleet = until.enter_context(a_fleet(root, named, f"http://127.0.0.1:{way.port}"))
        for _ in range(2):
            system = await asyncio.to_thread(fleet.grow, SERVICES)
            places.append(system.layout.ingress_url)
        say("two processes of every service")
        jobs = await measured(fleet, per_second=asked.jobs_per_second, rest_s=asked.rest_seconds)
        await settled(named["DATABASE_URL"], len(jobs), within=asked.settle_seconds)
        deliveries = [e for e in read_ledger(fleet.systems[0]) if e["kind"] == "delivery"]
        return await asyncio.to_thread(tell, fleet, len(jobs), deliveries)


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--jobs-per-second", type=float, default=2.0)
    reading.add_argument("--rest-seconds", type=float, default=15.0, help="between the steps")
    reading.add_argument("--settle-seconds", type=float, default=300.0)
    asked = reading.parse_args()
    say(machine("aio-pika", "asyncpg", "aiohttp", "aioboto3", "uvloop"))
    with parts() as environment, tempfile.TemporaryDirectory(prefix="darkroom-bench-") as root:
        well = asyncio.run(run(Path(root), environment, asked))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
