"""How much of a job's time has a name: the share over many jobs of every recipe, stage by stage.

``python -m tests.benchmark.waterfall``. Real processes, broker, Postgres (fsync on), bucket and HTTP;
the recipes take turns at a steady pace. Every second is counted from the order to the count of each
slot; what no record explains, a gap or a time that two names claim, counts as unnamed.
"""

import argparse
import asyncio
import json
import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import structlog

from deploy.local.system import System
from shared.clock import utc_now
from shared.db import times
from shared.db.connection import Database, open_database
from shared.domain import keys
from shared.domain.slowest import as_data, sentence
from shared.domain.waterfall import Stage, Waterfall, waterfall
from shared.events import KeySource, UploadReceived, state
from shared.messaging.publisher import Publisher, open_publisher
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from tests.benchmark.orders import ORDERS
from tests.benchmark.rig import machine, parts, percentile, say
from tests.support.photos import a_photo
from tests.support.waiting import a_pause, eventually

PHOTOS = ("variations", "restoration")
RECIPES = (*PHOTOS, *ORDERS)
RUN_S = 1.0
GOAL = 0.99


async def order(
    bucket: Bucket, publisher: Publisher, photo: bytes, jobs: int, per_second: float
) -> dict[UUID, str]:
    """The recipe of each job, in the order in which they were ordered."""
    placed: dict[UUID, str] = {}
    for number in range(jobs):
        recipe, job_id, source = RECIPES[number % len(RECIPES)], uuid4(), None
        if recipe in PHOTOS:
            key = f"{keys.originals(job_id)}photo.jpg"
            await bucket.put(key, photo, content_type="image/jpeg")
            source = KeySource(key=key)
        fact = UploadReceived(
            recipe=recipe, job_id=job_id, source=source, params=ORDERS.get(recipe, {})
        )
        await publisher.publish(state(fact, source="benchmark", now=utc_now()))
        placed[job_id] = recipe
        await a_pause(1 / per_second)
    return placed


async def over(database: Database, jobs: int) -> None:
    async def done() -> int:
        async with database.connection() as db:
            count: int = await db.fetchval(
                "SELECT count(*) FROM job WHERE ended_at IS NOT NULL AND report <> 'pending'"
            )
        return count

    await eventually("every job has its report", done, holds=lambda n: n == jobs, within=600)


async def measured(system: System, jobs: int, per_second: float) -> None:
    environment = system.layout.parts
    settings = BucketSettings(
        s3_bucket=environment["S3_BUCKET"],
        s3_endpoint_url=environment["S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_default_region=environment["AWS_DEFAULT_REGION"],
    )
    photo = await asyncio.to_thread(a_photo)
    async with (
        open_bucket(settings) as bucket,
        open_publisher(environment["AMQP_URL"], name="bench") as publisher,
        open_database(environment["DATABASE_URL"], name="bench") as database,
    ):
        placed = await order(bucket, publisher, photo, jobs, per_second)
        await over(database, jobs)
        falls, read_s = [], []
        for job_id in placed:
            began = time.monotonic()
            async with database.connection() as db:
                known = await times.read(db, job_id)
            assert known is not None
            falls.append(waterfall(known))
            json.dumps(as_data(falls[-1]))
            read_s.append(time.monotonic() - began)
    tell(falls, list(placed.values()), read_s)


def tell(falls: Sequence[Waterfall], recipes: Sequence[str], read_s: Sequence[float]) -> None:
    lanes = [lane for fall in falls for lane in fall.lanes]
    whole = sum(lane.seconds for lane in lanes)
    unnamed = sum(lane.unnamed_seconds for lane in lanes)
    shares = [fall.named for fall in falls]
    say(f"\n{len(falls)} jobs, {len(lanes)} slots, {whole:.0f} s of waiting in all")
    say(
        f"named: {1 - unnamed / whole:.4%} of all time; of a job: least {min(shares):.4%}, "
        f"p1 {percentile(shares, 0.01):.4%}; below {GOAL:.0%}: "
        f"{sum(share < GOAL for share in shares)} jobs"
    )
    shifted = sum(lane.shifts is None or bool(lane.shifts) for lane in lanes)
    say(f"slots with a clock that had to be shifted: {shifted}")
    by_recipe: defaultdict[str, list[float]] = defaultdict(list)
    for fall, recipe in zip(falls, recipes, strict=True):
        by_recipe[recipe].append(fall.named)
    for recipe, named in by_recipe.items():
        say(f"  {recipe:20} least {min(named):.4%}  n {len(named)}")
    say(f"\n{'stage':18} {'p50':>9} {'p99':>9}  share of all time")
    for stage in Stage:
        seconds = [lane.by_stage().get(stage, 0.0) for lane in lanes]
        if any(seconds):
            p50, p99 = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
            say(f"{stage:18} {p50:6.1f} ms {p99:6.1f} ms  {sum(seconds) / whole:.2%}")
    say(f"\nreading and cutting one job: p50 {percentile(read_s, 0.5) * 1000:.1f} ms")
    say(f"the last one: {sentence(falls[-1])['en']}")


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--jobs", type=int, default=100)
    reading.add_argument("--per-second", type=float, default=1.0)
    asked = reading.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    say(machine("aio-pika", "asyncpg", "aiohttp", "aioboto3", "uvloop"))
    say(
        f"{asked.jobs} jobs of {len(RECIPES)} recipes, {asked.per_second:g} a second (goal: {GOAL:.0%})"
    )
    with parts() as environment, tempfile.TemporaryDirectory(prefix="darkroom-bench-") as root:
        wanted = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
        emulator = {"EMULATOR_COLD_START_S": "0.2", "EMULATOR_RUN_S": str(RUN_S)}
        system = System(Path(root), wanted, emulator=emulator)
        try:
            system.up()
            asyncio.run(measured(system, asked.jobs, asked.per_second))
        finally:
            system.down()


if __name__ == "__main__":
    main()
