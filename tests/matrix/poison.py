"""F16: one message in a hundred is poison: it crashes its process, hangs, or cannot be read.

Consumers as processes of their own, started again when they die, and a steady stream: first without
poison, then with it, so that what the others suffer can be told.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aio_pika

from services.reconciler.bring_back import BringBack
from services.reconciler.rounds import every
from shared.db.connection import open_database
from shared.messaging.publisher import Publisher, open_publisher
from shared.messaging.topology import AGGREGATOR_SLOTS
from tests.matrix.ground import Ground, Rooms
from tests.matrix.promises import Promise, all_of, at_most, none, told
from tests.matrix.victim import CRASHES, HANGS, MALFORMED
from tests.support.consuming import an_event
from tests.support.waiting import a_pause, eventually

PROJECT = Path(__file__).parents[2]
REPLICAS = 3
PER_SECOND = 50.0
ONE_IN = 100
MOST_STARTS = 5
WORSE = 1.5  # the others' p99, beside that of a stream without poison
HANDLE_WITHIN_S = 2.0  # minutes in production: a hang is known by its deadline only
SETTLES_WITHIN_S = 1800.0


@dataclass(slots=True)
class Stream:
    """What became of a stream; messages by their ids, moments by the machine's running clock."""

    bad: set[str] = field(default_factory=set)
    sent_at: dict[str, float] = field(default_factory=dict)
    done_at: dict[str, float] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    parked: set[str] = field(default_factory=set)
    deaths: int = 0

    @property
    def good(self) -> set[str]:
        return self.sent_at.keys() - self.bad

    @property
    def p99(self) -> float:
        """Seconds from the publish to the end of the handling, of what is no poison."""
        took = sorted(
            self.done_at[name] - self.sent_at[name] for name in self.good & self.done_at.keys()
        )
        return took[min(len(took) - 1, int(0.99 * len(took)))]


async def crashing(ground: Ground, times: int) -> list[Promise]:
    """Poison that ends the process which handles it."""
    return await _beside(ground, times, CRASHES)


async def hanging(ground: Ground, times: int) -> list[Promise]:
    """Poison whose handling never ends."""
    return await _beside(ground, times, HANGS)


async def malformed(ground: Ground, times: int) -> list[Promise]:
    """Poison that says nothing of what it is."""
    return await _beside(ground, times, MALFORMED)


async def _beside(ground: Ground, times: int, poison: bytes) -> list[Promise]:
    async with ground.rooms() as rooms:
        plain = await _stream(rooms, min(times, 2_000), None)
    async with ground.rooms() as rooms:
        stream = await _stream(rooms, times, poison)
    return [
        all_of("poison parked for a person", len(stream.parked & stream.bad), len(stream.bad)),
        at_most(
            "starts of one", MOST_STARTS, max((stream.starts[b] for b in stream.bad), default=0), ""
        ),
        none("innocent one that was parked", sorted(stream.parked - stream.bad)),
        none("innocent one that was not handled", sorted(stream.good - stream.done_at.keys())),
        at_most("the others' p99", WORSE, stream.p99 / plain.p99, "× without poison"),
        told("p99 without and with, ms", f"{plain.p99 * 1e3:.0f}, {stream.p99 * 1e3:.0f}"),
        told("processes that died", stream.deaths),
    ]


async def _stream(rooms: Rooms, times: int, poison: bytes | None) -> Stream:
    """``times`` messages at a steady pace through consumers that are started again."""
    stream, stop = Stream(), asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="darkroom-matrix-") as folder:
        notes = Path(folder) / "notes"
        notes.touch()
        async with (
            open_database(rooms.database_url, name="matrix") as database,
            open_publisher(rooms.amqp_url, name="matrix") as publisher,
        ):
            bring_back = BringBack(database=database, publish=publisher.publish)
            tending = asyncio.create_task(_tended(rooms, notes, stream, stop))
            bringing = asyncio.create_task(
                every(
                    timedelta(seconds=0.2), "bring_back", bring_back.run_once, chance=lambda: 0.5
                )(stop)
            )
            try:
                await _ready(rooms.amqp_url)
                await _publish(publisher, times, poison, stream)

                async def all_over() -> tuple[int, int]:
                    _read(notes, stream)
                    async with database.connection() as db:
                        rows = await db.fetch(
                            "SELECT event_id FROM parked_message WHERE due_at IS NULL"
                        )
                    stream.parked = {row["event_id"] for row in rows}
                    return (
                        len(stream.good - stream.done_at.keys()),
                        len(stream.bad) - len(rows),
                    )

                await eventually(
                    "all of it is handled or parked",
                    all_over,
                    holds=lambda left: left[0] <= 0 and left[1] <= 0,
                    within=SETTLES_WITHIN_S,
                    every=0.5,
                )
            finally:
                stop.set()
                await asyncio.gather(tending, bringing)
    return stream


async def _publish(publisher: Publisher, times: int, poison: bytes | None, stream: Stream) -> None:
    """Each at its time, whatever became of those before."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as under_way:
        for number in range(times):
            await a_pause(max(0.0, began + number / PER_SECOND - time.monotonic()))
            bad = poison is not None and number % ONE_IN == ONE_IN // 2
            event = an_event(body=poison if poison is not None and bad else b"{}")
            stream.sent_at[event.id] = time.monotonic()
            if bad:
                stream.bad.add(event.id)
            under_way.create_task(publisher.publish(event, timeout=60))


async def _ready(amqp_url: str) -> None:
    async def consumers() -> int:
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            channel = await connection.channel()
            declared = await channel.declare_queue(AGGREGATOR_SLOTS.name, passive=True)
            return declared.declaration_result.consumer_count or 0

    await eventually(
        "all consumers are there", consumers, holds=lambda n: n == REPLICAS, within=300, every=0.5
    )


async def _tended(rooms: Rooms, notes: Path, stream: Stream, stop: asyncio.Event) -> None:
    """So many consumers, each started again when it dies, until the end."""

    async def one() -> None:
        while not stop.is_set():
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.matrix.victim", rooms.amqp_url, rooms.database_url),
                *(str(notes), str(HANDLE_WITHIN_S)),
                env={"PATH": os.defpath, "PYTHONPATH": str(PROJECT)},
                cwd=PROJECT,
            )
            ended = asyncio.create_task(process.wait())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if ended.done():
                stream.deaths += 1
                continue
            process.terminate()
            await ended

    await asyncio.gather(*(one() for _ in range(REPLICAS)))


def _read(notes: Path, stream: Stream) -> None:
    """What the consumers have noted so far."""
    stream.starts.clear()
    for line in notes.read_text().splitlines():
        word, name, at = line.split(" ")
        if word == "start":
            stream.starts[name] += 1
        else:
            stream.done_at.setdefault(name, float(at))
