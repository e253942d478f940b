"""Durable acknowledgements of our ingress against two others, on one broker and under one load.

``python -m tests.benchmark.ingress``, on a broker of its own with production's settings. The three
take turns, each as one process, and the load comes from another. Prints the machine, the versions,
every round, and the medians with their ratios.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aio_pika
import psutil

from shared.messaging import topology
from tests.benchmark.rig import machine, parts, say
from tests.support.waiting import eventually_sync

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HERE = "tests.benchmark.ingress"
OURS, REFERENCE, NAIVE = "darkroom", "fastapi+faststream", "aiohttp+aio-pika"
LIBRARIES = (
    *("aiohttp", "aio-pika", "aiormq", "svix", "uvloop"),
    *("fastapi", "faststream", "starlette", "uvicorn"),
)


@dataclass(frozen=True, slots=True)
class Round:
    accepted_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    server_us: float  # processor time of the ingress for one webhook
    rss_mib: float


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--rounds", type=int, default=3)
    reading.add_argument("--webhooks", type=int, default=10_000)
    reading.add_argument("--connections", type=int, default=64)
    reading.add_argument("--only", choices=(OURS, REFERENCE, NAIVE))
    asked = reading.parse_args()
    say(f"{machine(*LIBRARIES)}; load {psutil.getloadavg()[0]:.1f}")
    say(f"uvicorn parses HTTP with {'httptools' if find_spec('httptools') else 'h11'}")
    with parts() as environment:
        compare(environment["AMQP_URL"], asked)


def compare(amqp_url: str, asked: argparse.Namespace) -> None:
    rounds: dict[str, list[Round]] = {OURS: [], REFERENCE: [], NAIVE: []}
    names = [asked.only] if asked.only else list(rounds)
    for number in range(asked.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with running(name, amqp_url) as (process, port):
                load(port, webhooks=1_000, connections=asked.connections)  # warm
                result = measure(
                    process, port, webhooks=asked.webhooks, connections=asked.connections
                )
            asyncio.run(purge(amqp_url))
            rounds[name].append(result)
            say(
                f"{name:20} {result.accepted_per_second:7.0f}/s  p50 {result.p50_ms:6.1f} ms  "
                f"p99 {result.p99_ms:6.1f} ms  {result.server_us:5.0f} µs of processor each  "
                f"{result.rss_mib:4.0f} MiB"
            )
    if not asked.only:
        conclude(rounds)
    if asked.only in (None, OURS):
        with running(OURS, amqp_url) as (process, port):
            load(port, webhooks=1_000, connections=asked.connections)
            steady = measure(
                process, port, webhooks=10_000, connections=asked.connections, per_second=500
            )
        say(
            f"{OURS} at 500/s, open loop, 20 s: p50 {steady.p50_ms:.1f} ms, "
            f"p99 {steady.p99_ms:.1f} ms, max {steady.max_ms:.1f} ms (goal: p99 ≤ 25 ms)"
        )


def conclude(rounds: dict[str, list[Round]]) -> None:
    rate = {
        name: statistics.median(r.accepted_per_second for r in results)
        for name, results in rounds.items()
    }
    cost = {
        name: statistics.median(r.server_us for r in results) for name, results in rounds.items()
    }
    say("medians: " + ", ".join(f"{name} {value:.0f}/s" for name, value in rate.items()))
    for other in (REFERENCE, NAIVE):
        say(
            f"{OURS} against {other}: {rate[OURS] / rate[other]:.2f} × the acknowledgements, "
            f"{cost[OURS] / cost[other]:.2f} × the processor time for each"
            + (" (goal: ≥ 3 ×)" if other == REFERENCE else "")
        )


def measure(
    process: psutil.Process, port: int, *, webhooks: int, connections: int, per_second: float = 0.0
) -> Round:
    before = process.cpu_times()
    result = load(port, webhooks=webhooks, connections=connections, per_second=per_second)
    after = process.cpu_times()
    if set(result["statuses"]) != {"204"}:
        raise SystemExit(f"not every webhook was accepted: {result['statuses']}")
    spent = after.user - before.user + after.system - before.system
    return Round(
        accepted_per_second=result["accepted_per_second"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        max_ms=result["max_ms"],
        server_us=spent / webhooks * 1e6,
        rss_mib=process.memory_info().rss / 2**20,
    )


def load(port: int, *, webhooks: int, connections: int, per_second: float = 0.0) -> dict[str, Any]:
    told = subprocess.run(
        [
            *(sys.executable, "-m", f"{HERE}.load", "--port", str(port), "--secret", SECRET),
            *("--webhooks", str(webhooks), "--connections", str(connections)),
            *("--per-second", str(per_second)),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = json.loads(told.stdout)
    return result


@contextmanager
def running(name: str, amqp_url: str) -> Iterator[tuple[psutil.Process, int]]:
    """One ingress in a process of its own, on a free port, ready. Ours runs as in production,
    with its log (JSON, into a file)."""
    port = free_port()
    log = Path(tempfile.mkstemp(prefix="darkroom-bench-", suffix=".log")[1])
    environment = {
        "PATH": os.defpath,
        "AMQP_URL": amqp_url,
        "REPLICATE_WEBHOOK_SECRET": SECRET,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "HEALTH_HOST": "127.0.0.1",
        "HEALTH_PORT": "0",
        "LOG_FORMAT": "json",
    }
    command = {
        OURS: ["-m", "services.ingress"],
        REFERENCE: ["-m", f"{HERE}.fastapi_faststream", amqp_url, SECRET, str(port)],
        NAIVE: ["-m", f"{HERE}.aiohttp_aiopika", amqp_url, SECRET, str(port)],
    }[name]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=output, stderr=output
        )
    try:
        eventually_sync(f"{name} listens", lambda: is_open(port, process, log), within=60)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(timeout=40)
        log.unlink()


def is_open(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise SystemExit(f"it did not start:\n{log.read_text()}")
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def purge(amqp_url: str) -> None:
    """Empty the queue that the load filled, so that every round begins alike."""
    connection = await aio_pika.connect(amqp_url)
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue(topology.STORAGE_OUTPUTS.name, ensure=False)
        await queue.purge()


if __name__ == "__main__":
    main()
