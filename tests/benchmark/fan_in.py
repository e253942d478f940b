"""One job of 10,000 slots: how fast the aggregator counts closings, and that it ends once.

``python -m tests.benchmark.fan_in``. The reference handles the same messages with the plain
pattern, one transaction for each: lock the job, count this slot, add one, ask whether it is done.
Real broker, real Postgres with fsync; each side in this process, alone, on the same queue.
"""

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog
import uvloop

from services.aggregator.handlers import EndJobs
from services.aggregator.settings import Settings
from shared import recipes
from shared.clock import utc_now
from shared.db.connection import Database, open_database
from shared.db.parked import Parked
from shared.domain.slot import FailureCode
from shared.envelope import Envelope
from shared.events import SlotFailed, read, state
from shared.messaging import topology
from shared.messaging.consumer import Subscriptions, open_subscriptions
from shared.messaging.publisher import Publisher, open_publisher
from tests.benchmark.rig import machine, parts, say
from tests.support.waiting import eventually

GOAL = 1000.0


async def a_job(pool: "asyncpg.Pool[asyncpg.Record]", n: int) -> UUID:
    """A running job whose slots are all closed and not yet counted."""
    job_id = uuid4()
    await pool.execute(
        """INSERT INTO job (id, recipe, n, state, ordered_at, running_at)
           VALUES ($1, 'variations', $2, 'running', now(), now())""",
        job_id,
        n,
    )
    await pool.execute(
        """INSERT INTO slot (job_id, ordinal, model, input, state, failure_code, failure_detail)
           SELECT $1, o, 'm', '{}', 'failed', 'provider', 'x' FROM generate_series(1, $2) AS o""",
        job_id,
        n,
    )
    return job_id


async def say_all_closed(publisher: Publisher, job_id: UUID, n: int) -> None:
    """Publish every closing, each confirmed."""
    now = utc_now()
    room = asyncio.Semaphore(200)

    async def one(ordinal: int) -> None:
        fact = SlotFailed(
            job_id=job_id, ordinal=ordinal, attempt=1, code=FailureCode.PROVIDER, detail="x"
        )
        async with room:
            await publisher.publish(state(fact, source="benchmark", now=now), timeout=30)

    await asyncio.gather(*(one(ordinal) for ordinal in range(1, n + 1)))


async def run(
    start: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    pool: "asyncpg.Pool[asyncpg.Record]",
    job_id: UUID,
) -> float:
    """Seconds from the consumer's start until the job has ended."""
    stop = asyncio.Event()
    began = time.monotonic()
    worker = asyncio.create_task(start(stop))
    try:
        await eventually(
            "the job ends",
            lambda: pool.fetchval("SELECT ended_at FROM job WHERE id = $1", job_id),
            within=600,
            every=0.02,
        )
        return time.monotonic() - began
    finally:
        stop.set()
        await worker


def ours(
    database: Database, subscriptions: Subscriptions
) -> Callable[..., Coroutine[Any, Any, None]]:
    batch: int = Settings.model_fields["aggregator_batch"].default
    end_jobs = EndJobs(database=database, recipes={r.name: r for r in recipes.RECIPES}, now=utc_now)
    return subscriptions.worker(
        topology.AGGREGATOR_SLOTS,
        end_jobs.one,
        handle_many=end_jobs.many,
        batch=batch,
        concurrency=1,
        parking=Parked(database),
    )


def plain(
    pool: "asyncpg.Pool[asyncpg.Record]", database: Database, subscriptions: Subscriptions
) -> Callable[..., Coroutine[Any, Any, None]]:
    async def one(envelope: Envelope) -> None:
        fact = read(SlotFailed, envelope)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM job WHERE id = $1 FOR UPDATE", fact.job_id)
            counted = await connection.fetchval(
                """UPDATE slot SET counted_at = now()
                    WHERE job_id = $1 AND ordinal = $2 AND counted_at IS NULL RETURNING true""",
                fact.job_id,
                fact.ordinal,
            )
            if counted:
                done = await connection.fetchval(
                    "UPDATE job SET failed = failed + 1 WHERE id = $1 RETURNING failed = n",
                    fact.job_id,
                )
                if done:
                    await connection.execute(
                        "UPDATE job SET state = 'failed', ended_at = now() WHERE id = $1",
                        fact.job_id,
                    )

    return subscriptions.worker(
        topology.AGGREGATOR_SLOTS, one, concurrency=8, parking=Parked(database)
    )


async def measured(environment: dict[str, str], n: int, rounds: int) -> None:
    amqp_url, database_url = environment["AMQP_URL"], environment["DATABASE_URL"]
    async with (
        asyncpg.create_pool(database_url, max_size=10) as pool,
        open_database(database_url, name="benchmark") as database,
        open_publisher(amqp_url, name="benchmark") as publisher,
    ):
        rates: dict[str, list[float]] = {"darkroom": [], "one transaction each": []}
        for _ in range(rounds):
            for name, measured_rates in rates.items():
                job_id = await a_job(pool, n)
                await say_all_closed(publisher, job_id, n)
                async with open_subscriptions(amqp_url, name=f"benchmark-{name}") as subscriptions:
                    worker = (
                        ours(database, subscriptions)
                        if name == "darkroom"
                        else plain(pool, database, subscriptions)
                    )
                    seconds = await run(worker, pool, job_id)
                measured_rates.append(n / seconds)
                ends = await pool.fetchval(
                    "SELECT count(*) FROM journal WHERE job_id = $1 AND type LIKE 'job.%'", job_id
                )
                ended = f", {ends} end in the journal" if name == "darkroom" else ""
                say(f"{name:22} {n} closings in {seconds:6.2f} s: {n / seconds:7.0f}/s{ended}")
        best = {name: sorted(values)[len(values) // 2] for name, values in rates.items()}
        ratio = best["darkroom"] / best["one transaction each"]
        say(
            f"\nmedian {best['darkroom']:.0f}/s (goal: ≥ {GOAL:.0f}/s), "
            f"{ratio:.1f} × one transaction each"
        )


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--slots", type=int, default=10_000)
    reading.add_argument("--rounds", type=int, default=3)
    asked = reading.parse_args()
    say(machine("aio-pika", "asyncpg", "uvloop"))
    # A line per delivery would measure the terminal.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with parts() as environment:
        uvloop.run(measured(environment, asked.slots, asked.rounds))


if __name__ == "__main__":
    main()
