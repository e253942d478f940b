"""What each service weighs: start-up time, resident memory, idle processor time, idle queries.

``python -m tests.benchmark.weight``. Every service alone in its process, started one after another
on real parts; then all stand idle for a while. The reference is a bare interpreter that has
imported the same client libraries and does nothing.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import psutil

from deploy.local.system import System
from tests.benchmark.rig import machine, parts, say
from tests.support.waiting import a_pause

LIBRARIES = "import aio_pika, asyncpg, aiohttp, structlog, pydantic, prometheus_client, uvloop"


def rss_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def processor_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def bare_interpreter() -> tuple[float, float]:
    """Seconds and MiB of a process that only imports."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", f"{LIBRARIES}; print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        took, weighs = time.monotonic() - began, rss_mib(process.pid)
        process.kill()
    return took, weighs


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--idle-seconds", type=float, default=20.0)
    asked = reading.parse_args()
    say(machine("aio-pika", "asyncpg", "aiohttp", "aioboto3", "uvloop"))
    with parts() as environment, tempfile.TemporaryDirectory(prefix="darkroom-bench-") as root:
        wanted = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
        system = System(Path(root), wanted, emulator={})
        began_s: dict[str, float] = {}
        try:
            system.start("emulator")
            system.wait_ready("emulator")
            for name in system.services:
                began = time.monotonic()
                system.start(name)
                system.wait_ready(name)
                began_s[name] = time.monotonic() - began
            pids = {n: m.pid for n in system.services if (m := system.child(n).mark)}
            before = {name: processor_s(pid) for name, pid in pids.items()}
            queries_before = queries(environment["DATABASE_URL"])
            asyncio.run(a_pause(asked.idle_seconds))
            queries_s = (queries(environment["DATABASE_URL"]) - queries_before) / asked.idle_seconds
            say(f"{'service':12} {'ready after':>12} {'resident':>10} {'idle processor':>15}")
            for name, pid in pids.items():
                idle = (processor_s(pid) - before[name]) / asked.idle_seconds * 100
                say(f"{name:12} {began_s[name]:10.2f} s {rss_mib(pid):6.0f} MiB {idle:13.2f} %")
        finally:
            system.down()
    took, weighs = bare_interpreter()
    say(f"{'reference':12} {took:10.2f} s {weighs:6.0f} MiB   (an interpreter with the libraries)")
    say(f"\nall services idle together: {queries_s:.1f} queries a second")
    say("goals: ≤ 120 MiB, < 2 % of a processor, < 10 queries a second for a consumer")


def queries(database_url: str) -> int:
    """Transactions that the database has ended so far; an idle service's are one query each."""

    async def ask() -> int:
        connection = await asyncpg.connect(database_url)
        try:
            return int(
                await connection.fetchval(
                    """SELECT xact_commit + xact_rollback FROM pg_stat_database
                        WHERE datname = current_database()"""
                )
            )
        finally:
            await connection.close()

    return asyncio.run(ask())


if __name__ == "__main__":
    main()
