"""What an audit costs beside 100,000 predictions: all of them, and the last half hour.

``python -m tests.benchmark.audit``. A real Postgres with fsync, filled as finished jobs leave it;
each law is asked once to warm up and then three times, and the middle one counts. Then the provider's
list of all of it, as it is once it has been read (its pages are the provider's to measure), and the
files of the latest jobs against a real bucket.
"""

import argparse
import asyncio
import hashlib
import resource
import statistics
import time
from collections.abc import AsyncIterator
from datetime import timedelta

from shared.clock import utc_now
from shared.db.audit import breaches, jobs_since, kept_by, purchases
from shared.db.connection import Database, open_database
from shared.db.laws import LAWS
from shared.domain.prediction import Prediction, read_prediction
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from shared.sweep import Pace, Sweep
from tests.benchmark.rig import machine, parts, say
from tests.support.many_jobs import fill

GOAL_S = 1.0  # for the round of each minute
SETTLED = timedelta(minutes=5)
TIMES = 3
PAGE = 100


async def round_of(database: Database, span: timedelta) -> dict[str, float]:
    """Seconds that each law takes; raises where a law finds something that is not there."""
    took: dict[str, float] = {}
    for law in LAWS:
        seconds = []
        for _ in range(1 + TIMES):
            async with database.transaction() as tx:
                began = time.perf_counter()
                found = await breaches(tx, law, since=utc_now() - span, settled=SETTLED)
                seconds.append(time.perf_counter() - began)
            assert not found, found[:3]
        took[law.name] = statistics.median(seconds[1:])
    return took


async def list_of(database: Database) -> AsyncIterator[tuple[Prediction, ...]]:
    """Every prediction that was bought, newest first, in pages of a hundred."""
    async with database.connection() as db:
        rows = await db.fetch(
            "SELECT prediction_id, created_at, completed_at FROM prediction ORDER BY created_at DESC"
        )
    for begin in range(0, len(rows), PAGE):
        yield tuple(
            read_prediction(
                {
                    "id": row["prediction_id"],
                    "status": "succeeded",
                    "created_at": row["created_at"].isoformat(),
                    "completed_at": row["completed_at"].isoformat(),
                }
            )
            for row in rows[begin : begin + PAGE]
        )


async def provider(database: Database, over: timedelta) -> None:
    now = utc_now()
    began = time.perf_counter()
    found = [
        finding
        async for finding in purchases(
            database, list_of(database), since=now - over - SETTLED, now=now, settled=SETTLED
        )
    ]
    took = time.perf_counter() - began
    assert not found, found[:3]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(f"the provider's list of all of it, both ways: {took:.1f} s, {memory:.0f} MiB RSS at most")


async def files(database: Database, bucket: Bucket, span: timedelta) -> None:
    since, data = utc_now() - span, bytes(1000)
    async with database.connection() as db:
        jobs = await jobs_since(
            db, since, open_too=False, after=None, settled=SETTLED, limit=100_000
        )
        job_ids = list(jobs)
        kept = await kept_by(db, job_ids)
        digest = hashlib.sha256(data).hexdigest()
        await db.execute("UPDATE artifact SET sha256 = $2 WHERE job_id = ANY($1)", job_ids, digest)
    room = asyncio.Semaphore(16)

    async def put(key: str) -> None:
        async with room:
            await bucket.put(key, data, content_type="image/png")

    await asyncio.gather(*(put(file.key) for file in kept))
    for what, pace in (("by size", None), ("read", Pace(50e6, clock=time.monotonic))):
        now = utc_now() + SETTLED  # what was just put counts as settled
        sweep = Sweep(
            database=database, bucket=bucket, since=since, now=now, settled=SETTLED, pace=pace
        )
        began = time.perf_counter()
        found = [finding async for finding in sweep.findings()]
        took = time.perf_counter() - began
        assert not found, found[:3]
        say(f"{sweep.seen.files} files of {sweep.seen.jobs} jobs {what}: {took:.1f} s")


async def measure(
    url: str, store: BucketSettings | None, *, predictions: int, slots: int, over: timedelta
) -> bool:
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
        await provider(database, over)
        if store is not None:
            async with open_bucket(store) as bucket:
                await files(database, bucket, timedelta(hours=1))
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
                BucketSettings(
                    **{
                        name.lower(): value
                        for name, value in environment.items()
                        if name.startswith(("S3_", "AWS_"))
                    }  # type: ignore[arg-type]
                ),
                predictions=chosen.predictions,
                slots=chosen.slots,
                over=timedelta(hours=chosen.hours),
            )
        )
    say(f"aim: half an hour of it within {GOAL_S:g} s: {'held' if held else 'NOT held'}")
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
