"""F21: far more webhooks than an ingress can take: each is accepted, or told to come again."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import aio_pika
import aio_pika.exceptions

from shared.messaging.topology import STORAGE_OUTPUTS
from tests.benchmark.ingress.__main__ import OURS, SECRET, running
from tests.matrix.ground import Ground
from tests.matrix.promises import Promise, all_of, at_most, none, told
from tests.support.waiting import eventually

BURST, BURST_S = 10_000, 10.0
TIMES_CAPACITY = 3.0
FLOOD_S = 600.0
RATED_PER_SECOND = 500.0
RATED_S = 20.0
CONNECTIONS = 700  # more than are handled at once (512), and fewer than are let in (900)
ACK_WITHIN_MS = 1_000.0
# One load after another: every webhook is signed before its clock starts, and no file may be larger
# than a queue that somebody can look at.
SLICE_S = 20.0
AS_FAST_AS_IT_GOES = 1_000_000.0


async def burst(ground: Ground, times: int) -> list[Promise]:
    """10,000 webhooks in ten seconds."""
    return await _flooded(ground, times, [(BURST, BURST / BURST_S)])


async def flood(ground: Ground, times: int) -> list[Promise]:
    """Three times what the ingress can take, for ten minutes."""
    async with ground.rooms() as rooms:
        with running(OURS, rooms.amqp_url) as (_, port):
            found = await _load(port, 5_000, AS_FAST_AS_IT_GOES, connections=64)
    capacity = found["answers"].get("204", 0) / found["seconds"]
    rate = TIMES_CAPACITY * capacity
    slices = max(1, round(FLOOD_S / SLICE_S))
    promises = await _flooded(ground, times, [(int(rate * SLICE_S), rate)] * slices)
    return [*promises, told("capacity, webhooks a second", round(capacity))]


async def rated(ground: Ground, times: int) -> list[Promise]:
    """What it is made for, again and again."""
    worst, answers = 0.0, Counter[str]()
    async with ground.rooms() as rooms:
        with running(OURS, rooms.amqp_url) as (_, port):
            for _ in range(times):
                webhooks = int(RATED_S * RATED_PER_SECOND)
                found = await _load(port, webhooks, RATED_PER_SECOND, connections=64)
                worst = max(worst, float(found["p99_ms"]))
                answers.update(found["answers"])
                await _taken(rooms.amqp_url)
    return [
        at_most(f"ack p99 at {RATED_PER_SECOND:g} a second", ACK_WITHIN_MS, worst, "ms"),
        all_of("accepted", answers["204"], answers.total()),
    ]


async def _flooded(ground: Ground, times: int, loads: list[tuple[int, float]]) -> list[Promise]:
    answers: Counter[str] = Counter()
    lying, slowest = 0, 0.0
    async with ground.rooms() as rooms:
        with running(OURS, rooms.amqp_url) as (process, port):
            for _ in range(times):
                for webhooks, per_second in loads:
                    found = await _load(port, webhooks, per_second, connections=CONNECTIONS)
                    answers.update(found["answers"])
                    slowest = max(slowest, float(found["p99_ms"]))
                    # Nobody hears them here, and a queue of millions measures the disk.
                    lying += await _taken(rooms.amqp_url)
            alive = process.is_running()
            after = await _load(port, 500, AS_FAST_AS_IT_GOES, connections=16)
    others = {what: n for what, n in answers.items() if what not in ("204", "429", "503")}
    return [
        none(
            "other answer than accepted, 429 or 503",
            [f"{n} × {what}" for what, n in others.items()],
        ),
        # One whose confirm came too late was answered 503, and lies there all the same.
        Promise(
            what="every accepted one lies in the queue",
            measured=f"{lying} lie there, {answers['204']} were accepted",
            kept=answers["204"] <= lying <= answers["204"] + answers["503"],
        ),
        all_of("accepted right after", after["answers"].get("204", 0), 500),
        Promise(what="the process lives", measured=str(alive), kept=alive),
        told("answers", dict(answers)),
        told("p99 of all answers, ms", slowest),
    ]


async def _load(port: int, webhooks: int, per_second: float, *, connections: int) -> dict[str, Any]:
    """Load from a process of its own; what it tells."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.matrix.flooder", str(port), SECRET),
        *(str(webhooks), str(connections), str(per_second)),
        stdout=subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load ended with {process.returncode}")
    found: dict[str, Any] = json.loads(said)
    return found


async def _taken(amqp_url: str) -> int:
    """How many webhooks lie in the queue; they are taken out."""

    async def let_in() -> aio_pika.abc.AbstractConnection | None:
        # A broker that has just been flooded may cut off whoever comes.
        with suppress(*aio_pika.exceptions.CONNECTION_EXCEPTIONS):
            return await aio_pika.connect(amqp_url)
        return None

    connection = await eventually("the broker lets us in", let_in)
    assert connection is not None
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(STORAGE_OUTPUTS.name, ensure=False)
        return (await queue.purge()).message_count or 0
