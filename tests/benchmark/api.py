"""What front ends wait for: the answer to an order, and the time from a commit to a watcher's line.

``python -m tests.benchmark.api``. A real API process, broker, Postgres (fsync on) and bucket; the orders
come at a steady pace, the watchers from a process of their own as plain sockets. Goals: an order is
answered within 50 ms (p99); a change is seen within 250 ms (p95) by 1,000 watchers.
"""

import argparse
import asyncio
import json
import logging
import os
import tempfile
import time
from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import structlog

from deploy.local.system import System
from shared.clock import utc_now
from shared.db import journal
from shared.db.connection import Database, open_database
from shared.domain.slot import SlotState
from shared.events import JobAccepted, state
from shared.messaging.publisher import open_publisher
from shared.messaging.relay import relay
from tests.benchmark.rig import machine, parts, percentile, say
from tests.support.purchases import a_slot
from tests.support.waiting import a_pause

ORDER = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof"}}


async def submitting(url: str, orders: int, per_second: float) -> None:
    taken: list[float] = []
    refused: Tally[str] = Tally()
    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            began = time.perf_counter()
            headers = {"Idempotency-Key": uuid4().hex}
            async with session.post(f"{url}/v1/jobs", json=ORDER, headers=headers) as answer:
                told = await answer.json(content_type=None)
            if answer.status == 202:
                taken.append(time.perf_counter() - began)
            else:
                refused[f"{answer.status} {told['code']}"] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(orders):
                group.create_task(one())
                await a_pause(1 / per_second)
    if refused:
        say(f"not taken: {dict(refused)}")
    p50, p95, p99 = (percentile(taken, share) * 1000 for share in (0.5, 0.95, 0.99))
    say(f"order → answer: p50 {p50:.1f} ms  p95 {p95:.1f} ms  p99 {p99:.1f} ms  n {len(taken)}")


class Line(asyncio.Protocol):
    """One watcher: notes when each of its events came, by the progress that it tells."""

    def __init__(self, request: bytes, seen: dict[float, float]) -> None:
        self._request = request
        self._seen = seen
        self._rest = b""
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                self._seen.setdefault(json.loads(line[6:])["slots"][0]["progress"], at)
                if not self.began.done():
                    self.began.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.began.done():
            self.began.set_exception(ConnectionError("the stream did not begin"))


async def watching(
    system: System, database: Database, *, watchers: int, jobs: int, changes: int
) -> None:
    job_ids = [
        (await a_slot(database, SlotState.RUNNING, prediction_id=f"p{number}")).job_id
        for number in range(jobs)
    ]
    address = urlsplit(system.layout.api_url)
    host, port = str(address.hostname), int(address.port or 0)
    loop = asyncio.get_running_loop()
    seen: list[tuple[UUID, dict[float, float]]] = []
    lines: list[Line] = []
    for number in range(watchers):
        job_id = job_ids[number % jobs]
        request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        mine: dict[float, float] = {}
        _, line = await loop.create_connection(
            lambda request=request, mine=mine: Line(request, mine),  # type: ignore[misc]
            host,
            port,
        )
        seen.append((job_id, mine))
        lines.append(line)
    await asyncio.wait_for(asyncio.gather(*(line.began for line in lines)), 60)
    say(f"{watchers} streams on {jobs} jobs are open")

    committed: dict[tuple[UUID, int], float] = {}
    for step in range(1, changes + 1):
        for job_id in job_ids:
            async with database.transaction() as tx:
                await tx.execute(
                    "UPDATE prediction SET status = 'processing', progress = $2 WHERE job_id = $1",
                    job_id,
                    step / (changes + 1),
                )
                fact = JobAccepted(job_id=job_id, recipe="variations", n=1)
                await journal.say(
                    tx, state(fact, source="benchmark", now=utc_now(), event_id=uuid4().hex)
                )
            committed[job_id, step] = time.monotonic()
            await a_pause(1 / jobs)
    await a_pause(3)
    _tell(seen, committed, changes)


def _tell(
    seen: Sequence[tuple[UUID, dict[float, float]]],
    committed: dict[tuple[UUID, int], float],
    changes: int,
) -> None:
    taken, missed = [], 0
    for job_id, mine in seen:
        for step in range(1, changes + 1):
            # As the view reckons: taken up to a tenth, then three quarters of the work.
            progress = 0.1 + 0.75 * step / (changes + 1)
            at = next((t for told, t in mine.items() if abs(told - progress) < 1e-3), None)
            if at is None:
                missed += 1
            else:
                taken.append(max(0.0, at - committed[job_id, step]))
    p50, p95, p99 = (percentile(taken, share) * 1000 for share in (0.5, 0.95, 0.99))
    say(
        f"commit → watcher: p50 {p50:.0f} ms  p95 {p95:.0f} ms  p99 {p99:.0f} ms"
        f"  n {len(taken)}, {missed} states passed over for newer ones"
    )


async def measured(system: System, asked: argparse.Namespace) -> None:
    await submitting(system.layout.api_url, asked.orders, asked.per_second)
    database_url = system.layout.parts["DATABASE_URL"]
    async with AsyncExitStack() as until:
        database = await until.enter_async_context(open_database(database_url, name="bench"))
        publisher = await until.enter_async_context(
            open_publisher(system.layout.parts["AMQP_URL"], name="bench")
        )
        stop = asyncio.Event()
        relaying = asyncio.create_task(relay(database, publisher)(stop))
        try:
            await watching(
                system,
                database,
                watchers=asked.watchers,
                jobs=asked.jobs,
                changes=asked.changes,
            )
        finally:
            stop.set()
            await relaying


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--orders", type=int, default=500)
    reading.add_argument("--per-second", type=float, default=50.0)
    reading.add_argument("--watchers", type=int, default=1000)
    reading.add_argument("--jobs", type=int, default=20)
    reading.add_argument("--changes", type=int, default=10)
    asked = reading.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    _raise_open_files()
    say(machine("aiohttp", "asyncpg", "uvloop"))
    options = {"API_REQUESTS_PER_SECOND": "0", "LOG_LEVEL": "WARNING"}
    with parts() as environment, tempfile.TemporaryDirectory(prefix="darkroom-bench-") as root:
        wanted = {k: v for k, v in environment.items() if not k.startswith("DARKROOM_")}
        system = System(Path(root), wanted, options=options, emulator=None, services=("api",))
        try:
            system.up()
            asyncio.run(measured(system, asked))
        finally:
            system.down()


def _raise_open_files() -> None:
    """As many as the system lets this process, and its children, have."""
    if os.name == "posix":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
