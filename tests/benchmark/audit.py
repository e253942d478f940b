"""What a round of the audit costs beside 100,000 predictions: all of them, and the last half hour.

``python -m tests.benchmark.audit``. A real Postgres with fsync, filled as finished jobs leave it;
each law is asked once to warm up and then three times, and the middle one counts.
"""

import argparse
import asyncio
import statistics
import time
from datetime import timedelta

from shared.clock import utc_now
from shared.db.audit import breaches
from shared.db.connection import Database, open_database
from shared.db.laws import LAWS
from tests.benchmark.rig import machine, parts, say
from tests.support.many_jobs import fill

GOAL_S = 1.0  # for the round of each minute
SETTLED = timedelta(minutes=5)
TIMES = 3


async def round_of(database: Database, span: timedelta) -> dict[str, float]:
    """Seconds that each law takes; raises where a law finds something that is not there."""
    took: dict[str, float] = {}
    for law in LAWS:
        seconds = []
        for _ in range(1 + TIMES):
            async with database.connection() as db:
                began = time.perf_counter()
                found = await breaches(db, law, since=utc_now() - span, settled=SETTLED)
                seconds.append(time.perf_counter() - began)
            assert not found, found[:3]
        took[law.name] = statistics.median(seconds[1:])
    return took


async def measure(url: str, *, predictions: int, slots: int, over: timedelta) -> bool:
    async with open_database(url, name="benchmark", max_size=2) as database:
        began = time.perf_counter()
        await fill(url, jobs=predictions // slots, slots=slots, span=over)
        say(f"{predictions} predictions of {over} filled in {time.perf_counter() - began:.0f} s")
        held = True
        for what, span in (("all of it", over + SETTLED), ("30 minutes", timedelta(minutes=30))):
            took = await round_of(database, span)
            whole = sum(took.values())
            say(f"{what}: {len(took)} laws in {whole * 1000:.0f} ms; the slowest:")
            for name in sorted(took, key=lambda name: -took[name])[:5]:
                say(f"    {name:<24} {took[name] * 1000:7.0f} ms")
            held = whole < GOAL_S
        return held


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--predictions", type=int, default=100_000)
    arguments.add_argument("--slots", type=int, default=10)
    arguments.add_argument("--hours", type=float, default=24.0)
    chosen = arguments.parse_args()
    say(machine("asyncpg"))
    with parts() as environment:
        held = asyncio.run(
            measure(
                environment["DATABASE_URL"],
                predictions=chosen.predictions,
                slots=chosen.slots,
                over=timedelta(hours=chosen.hours),
            )
        )
    say(f"aim: half an hour of it within {GOAL_S:g} s: {'held' if held else 'NOT held'}")
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
