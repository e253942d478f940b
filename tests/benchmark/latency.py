"""What Darkroom adds: from the last webhook to `job.completed`, and from an order to `job.accepted`.

``python -m tests.benchmark.latency``. Real processes, broker, Postgres (fsync on), bucket and HTTP;
jobs come one after another at a steady pace. The reference is the bare parts in the same run: the
same file fetched and put into the bucket, three messages published and consumed, three commits,
one after the other and with no system around them.
"""

import argparse
import asyncio
import logging
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import structlog

from deploy.local.system import System
from shared.clock import utc_now
from shared.domain import keys
from shared.events import KeySource, UploadReceived, state
from shared.messaging.publisher import Publisher, open_publisher
from shared.messaging.watch import Watch, watching
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from tests.benchmark.rig import machine, parts, percentile, say
from tests.support.photos import a_photo
from tests.support.waiting import a_pause

RUN_S = 1.0


async def order(bucket: Bucket, publisher: Publisher, photo: bytes) -> tuple[UUID, float]:
    """Order one job; its id, and when the event went out."""
    job_id = uuid4()
    key = f"{keys.originals(job_id)}photo.jpg"
    await bucket.put(key, photo, content_type="image/jpeg")
    fact = UploadReceived(recipe="variations", job_id=job_id, source=KeySource(key=key))
    at = time.time()  # noqa: TID251 - compared with what other processes write down
    await publisher.publish(state(fact, source="benchmark", now=utc_now()))
    return job_id, at


async def observe(
    watch: Watch, ordered: dict[str, float], jobs: int
) -> tuple[list[float], list[float]]:
    """Seconds to `job.accepted`, and from the last webhook to `job.completed`, for each job."""
    accepted: list[float] = []
    completed: list[float] = []
    last_webhook: dict[str, float] = {}
    async with asyncio.timeout(600):
        while len(completed) < jobs:
            for event in await watch.next(timeout=5.0):
                now, job = time.time(), event.subject or ""  # noqa: TID251
                match event.type:
                    case "job.accepted":
                        accepted.append(now - ordered[job])
                    case "prediction.succeeded":
                        received = datetime.fromisoformat(event.extensions["received-at"])
                        last_webhook[job] = max(last_webhook.get(job, 0.0), received.timestamp())
                    case "job.completed":
                        completed.append(now - last_webhook[job])
    return accepted, completed


async def bare(
    url: str, bucket: Bucket, publisher: Publisher, watch: Watch, database_url: str, rounds: int
) -> list[float]:
    """The same work by hand: seconds for each round."""
    taken = []
    async with aiohttp.ClientSession() as http, asyncpg.create_pool(database_url) as pool:
        await pool.execute(
            "CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, at timestamptz)"
        )
        for number in range(rounds):
            began = time.monotonic()
            async with http.get(url) as answer:
                picture = await answer.read()
            await bucket.put(f"bare/{number}.png", picture, content_type="image/png")
            for _ in range(3):
                await pool.execute("INSERT INTO bare (at) VALUES (now())")
                fact = UploadReceived(recipe="none", job_id=uuid4())
                envelope = state(fact, source="benchmark", now=utc_now())
                await publisher.publish(replace(envelope, type="bare.hop"))
                while not await watch.next(timeout=5.0):
                    pass
            taken.append(time.monotonic() - began)
    return taken


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
    amqp_url = environment["AMQP_URL"]
    async with open_bucket(settings) as bucket, open_publisher(amqp_url, name="bench") as publisher:
        ordered: dict[str, float] = {}
        async with watching(
            amqp_url, hears=("job.*", "prediction.succeeded"), name="bench"
        ) as watch:
            watcher = asyncio.create_task(observe(watch, ordered, jobs))
            for _ in range(jobs):
                job_id, at = await order(bucket, publisher, photo)
                ordered[str(job_id)] = at
                await a_pause(1 / per_second)
            accepted, completed = await watcher
        told("order → job.accepted", accepted, "p99 ≤ 50 ms")
        told("last webhook → job.completed", completed, "p50 ≤ 100 ms, p99 ≤ 500 ms")
        async with (
            asyncpg.create_pool(environment["DATABASE_URL"]) as pool,
            watching(amqp_url, hears=("bare.*",), name="bench-bare") as hops,
        ):
            key = await pool.fetchval("SELECT key FROM artifact WHERE kind = 'generated' LIMIT 1")
            url = await bucket.link(key, lifetime=timedelta(hours=1))
            alone = await bare(url, bucket, publisher, hops, environment["DATABASE_URL"], 50)
        told("reference: the bare parts", alone, "")
        ratio = percentile(completed, 0.5) / percentile(alone, 0.5)
        say(f"\nlast webhook → job.completed is {ratio:.2f} × the bare parts (medians)")


def told(what: str, seconds: list[float], goal: str) -> None:
    p50, p99 = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
    aim = f"  (goal: {goal})" if goal else ""
    say(f"{what:30} p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  n {len(seconds)}{aim}")


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--jobs", type=int, default=100)
    reading.add_argument("--per-second", type=float, default=1.0)
    asked = reading.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    say(machine("aio-pika", "asyncpg", "aiohttp", "aioboto3", "uvloop"))
    say(f"{asked.jobs} jobs of three pictures, {asked.per_second:g} a second")
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
