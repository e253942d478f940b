"""From an order to `job.accepted`, recipe by recipe: what another team's submit waits for.

``python -m tests.benchmark.orders``. A real generator, broker, Postgres (fsync on) and bucket; the
recipes that order nothing but words take turns at a steady pace.
"""

import argparse
import asyncio
import logging
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from deploy.local.system import System
from shared.clock import utc_now
from shared.events import UploadReceived, state
from shared.messaging.publisher import Publisher, open_publisher
from shared.messaging.watch import watching
from tests.benchmark.rig import machine, parts, percentile, say
from tests.support.waiting import a_pause

ORDERS: dict[str, dict[str, Any]] = {
    "sound-effect": {"prompt": "rain on a tin roof", "seconds": 3.4},
    "background-music": {"prompt": "a calm piano", "duration": 12},
    "studio-concepts": {
        "prompt": "a lagoon with fish",
        "surface": {"width": 8, "height": 6},
        "colours": ["#102030", "#40A0F0", "#F0E0C0"],
    },
}


async def measured(system: System, orders: int, per_second: float) -> None:
    amqp_url = system.layout.parts["AMQP_URL"]
    taken: dict[str, list[float]] = defaultdict(list)
    async with (
        open_publisher(amqp_url, name="bench") as publisher,
        watching(amqp_url, hears=("job.accepted", "job.failed"), name="bench") as watch,
    ):
        ordering = asyncio.create_task(order(publisher, orders, per_second))
        heard: dict[str, float] = {}
        async with asyncio.timeout(orders / per_second + 60):
            while len(heard) < orders:
                for event in await watch.next(timeout=5.0):
                    if event.type == "job.failed":
                        raise SystemExit(f"an order failed: {event.body.decode()}")
                    heard.setdefault(event.subject or "", time.monotonic())
        for recipe, job_id, at in await ordering:
            taken[recipe].append(heard[job_id] - at)
    for recipe, seconds in taken.items():
        p50, p99 = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
        say(f"{recipe:20} p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  n {len(seconds)}")


async def order(
    publisher: Publisher, orders: int, per_second: float
) -> list[tuple[str, str, float]]:
    """Recipe, job and time of each order, published one after the other."""
    sent = []
    for number in range(orders):
        recipe = list(ORDERS)[number % len(ORDERS)]
        fact = UploadReceived(recipe=recipe, job_id=uuid4(), params=ORDERS[recipe])
        sent.append((recipe, str(fact.job_id), time.monotonic()))
        await publisher.publish(state(fact, source="benchmark", now=utc_now()))
        await a_pause(1 / per_second)
    return sent


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--orders", type=int, default=300)
    reading.add_argument("--per-second", type=float, default=10.0)
    asked = reading.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    say(machine("aio-pika", "asyncpg", "uvloop"))
    say(f"{asked.orders} orders, {asked.per_second:g} a second (goal: under 1 s, better 50 ms)")
    with parts() as environment, tempfile.TemporaryDirectory(prefix="darkroom-bench-") as root:
        wanted = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
        system = System(Path(root), wanted, emulator={}, services=("generator",))
        try:
            system.up()
            asyncio.run(measured(system, asked.orders, asked.per_second))
        finally:
            system.down()


if __name__ == "__main__":
    main()
