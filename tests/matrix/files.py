"""F15: a bucket and a file host on a bad day: every file that can be had is ours, byte for byte."""

import asyncio
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

import aio_pika
from prometheus_client import REGISTRY

from services.reconciler.bring_back import BringBack
from shared.clock import utc_now
from shared.db.connection import open_database
from shared.messaging.publisher import open_publisher
from shared.messaging.topology import STORAGE_URGENT
from tests.matrix.ground import Ground
from tests.matrix.house import House, a_house, buy
from tests.matrix.ill_bucket import Ill, IllBucket, an_ill_bucket
from tests.matrix.promises import Promise, Run, all_of, none, told
from tests.support.file_host import FileHost, a_file_host
from tests.support.photos import a_tiny_photo
from tests.support.waiting import eventually

LOT = 100
SETTLES_WITHIN_S = 1800.0
HEADROOM = timedelta(minutes=5)  # before its end every file is ours: T + 55 min


@dataclass(slots=True)
class IllFiles:
    """Answers of a file host: each path is ill so many times, and well after."""

    host: FileHost
    wanted: dict[str, str] = field(default_factory=dict)  # path → sha256
    asked: Counter[str] = field(default_factory=Counter)

    def offer(self, data: bytes, ill: "Reply | None", times: int) -> str:
        """Offer ``data`` at a path of its own; its address."""
        path = f"/{secrets.token_hex(12)}.png"
        well = _ok(data)

        async def send(writer: asyncio.StreamWriter) -> None:
            self.asked[path] += 1
            if ill is not None and self.asked[path] <= times:
                await ill(self.host, writer, data)
            else:
                writer.write(well)
                await writer.drain()

        self.wanted[path] = hashlib.sha256(data).hexdigest()
        return self.host.answer_with(path, send)


Reply = Callable[[FileHost, asyncio.StreamWriter, bytes], Awaitable[None]]


def _ok(data: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + data


def _status(line: str, *headers: str) -> Reply:
    told = "".join(f"{header}\r\n" for header in headers)

    async def reply(_host: FileHost, writer: asyncio.StreamWriter, _data: bytes) -> None:
        writer.write(f"HTTP/1.1 {line}\r\n{told}Content-Length: 0\r\n".encode())
        writer.write(b"Connection: close\r\n\r\n")
        await writer.drain()

    return reply


async def _truncated(_host: FileHost, writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(_ok(data)[: -len(data) // 2])
    await writer.drain()


async def _stalled(host: FileHost, writer: asyncio.StreamWriter, data: bytes) -> None:
    await _truncated(host, writer, data)
    await host.released()


async def _redirect(host: FileHost, writer: asyncio.StreamWriter, data: bytes) -> None:
    elsewhere = host.serve("/elsewhere.png", data)
    await _status("302 Found", f"Location: {elsewhere}")(host, writer, data)


# ---- faults that pass: everything is stored in the end


def of_the_bucket(ill: Ill) -> Run:
    """Every PUT of a file is spoiled once, twice or three times, and then well."""

    async def run(ground: Ground, times: int) -> list[Promise]:
        return await _stored_in_the_end(ground, times, bucket=ill)

    return run


def of_the_host(name: str) -> Run:
    """Every file is refused once or twice, and then well."""

    async def run(ground: Ground, times: int) -> list[Promise]:
        return await _stored_in_the_end(ground, times, file=PASSING[name])

    return run


PASSING: dict[str, Reply] = {
    "429": _status("429 Too Many Requests", "Retry-After: 1"),
    "500": _status("500 Internal Server Error"),
    "truncated": _truncated,
    "stalled": _stalled,
}


async def _stored_in_the_end(
    ground: Ground, times: int, *, bucket: Ill | None = None, file: Reply | None = None
) -> list[Promise]:
    missing, differs, late, open_jobs = [], [], [], 0
    ill_bucket: IllBucket
    async with (
        ground.rooms() as rooms,
        a_file_host() as host,
        an_ill_bucket(rooms.bucket["S3_ENDPOINT_URL"]) as ill_bucket,
    ):
        through = replace(rooms, bucket=rooms.bucket | {"S3_ENDPOINT_URL": ill_bucket.url})
        async with a_house(through, origin=host.origin) as house:
            files, expected = IllFiles(host), dict[tuple[UUID, int], str]()
            if bucket is not None:
                ill_bucket.spoils = lambda key, before: (
                    bucket if "/generated/" in key and before < 1 + len(key) % 3 else None
                )
            for start in range(0, times, LOT):
                expected |= await _succeed(house, files, min(LOT, times - start), file)
            await house.settled(within=SETTLES_WITHIN_S)
            rows = await house.rows(
                "SELECT job_id, ordinal, key, sha256, bytes FROM artifact WHERE kind = 'generated'"
            )
            kept = {(row["job_id"], row["ordinal"]): row for row in rows}
            missing = [f"{job}.{n}" for job, n in expected if (job, n) not in kept]
            differs = await _differing(house, kept, expected)
            late = await house.rows(
                """SELECT a.job_id, a.ordinal FROM artifact a JOIN slot s USING (job_id, ordinal)
                    WHERE a.created_at > s.expires_at - $1::interval""",
                HEADROOM,
            )
            [still] = await house.rows("SELECT count(*) AS n FROM job WHERE ended_at IS NULL")
            open_jobs = int(still["n"])
    spoiled = sum(ill_bucket.spoiled.values()) if bucket else sum(files.asked.values()) - times
    return [
        all_of("stored", len(kept), times),
        none("output without a file", missing),
        none("file whose sha256 is not the output's", differs),
        none("file that came later than five minutes before its end", late),
        none("job that did not end", open_jobs),
        Promise(
            what="each was spoiled at least once", measured=str(spoiled), kept=spoiled >= times
        ),
        told("answers of the bucket", dict(ill_bucket.answers)),
    ]


async def _differing(
    house: House,
    kept: dict[tuple[UUID, int], dict[str, Any]],
    expected: dict[tuple[UUID, int], str],
) -> list[str]:
    """Files whose bytes in the bucket are not those that were offered."""
    bucket = await house.connections.bucket(house.settings)
    found = []
    for name, row in kept.items():
        data = await bucket.get_bytes(row["key"], limit=1_000_000)
        if not hashlib.sha256(data).hexdigest() == row["sha256"] == expected[name]:
            found.append(row["key"])
    return found


async def _succeed(
    house: House, files: IllFiles, count: int, ill: Reply | None, *, ill_times: int | None = None
) -> dict[tuple[UUID, int], str]:
    """So many purchases succeed, each with a file of its own; the sha256 of each."""
    expected = {}
    waiting = []
    for number, (job_id, ordinal, prediction_id) in enumerate(await buy(house.database, count)):
        # Another picture each, so that no file can stand in for another.
        data = a_tiny_photo(seed=secrets.randbelow(2**31))
        url = files.offer(data, ill, ill_times or 1 + number % 2)
        expected[job_id, ordinal] = files.wanted[url.removeprefix(files.host.origin)]
        body = {
            "id": prediction_id,
            "status": "succeeded",
            "completed_at": utc_now().isoformat(),
            "output": [url],
        }
        waiting.append(house.told(json.dumps(body).encode(), f"msg_{prediction_id}"))
    answers = await asyncio.gather(*waiting)
    assert set(answers) == {204}, answers
    return expected


# ---- faults that stay


async def redirected(ground: Ground, times: int) -> list[Promise]:
    """A host that sends us elsewhere: we do not go, and the slot says that it has no file."""
    promises, host = await _lost(ground, times, _redirect, code="unusable_output")
    followed = sum("/elsewhere.png" in request for request in host.requests)
    return [*promises, none("redirect that was followed", followed)]


async def expired(ground: Ground, times: int) -> list[Promise]:
    """A host that has the file no more: expired is a result of its own, told by a number."""
    before = _expired()
    promises, _ = await _lost(ground, times, _status("404 Not Found"), code="expired")
    return [*promises, all_of("each is counted as expired", int(_expired() - before), times)]


async def _lost(
    ground: Ground, times: int, reply: Reply, *, code: str
) -> tuple[list[Promise], FileHost]:
    async with ground.rooms() as rooms, a_file_host() as host:
        async with a_house(rooms, origin=host.origin) as house:
            files = IllFiles(host)
            for start in range(0, times, LOT):
                await _succeed(house, files, min(LOT, times - start), reply, ill_times=10**9)
            await house.settled(within=SETTLES_WITHIN_S)
            slots = await house.rows("SELECT state, failure_code FROM slot")
            said = await house.rows("SELECT count(*) AS n FROM journal WHERE type = 'slot.failed'")
            still = await house.rows("SELECT id FROM job WHERE ended_at IS NULL")
            kept = await house.rows("SELECT key FROM artifact")
    so = sum((slot["state"], slot["failure_code"]) == ("failed", code) for slot in slots)
    return [
        all_of(f"each slot is failed, {code}", so, times),
        all_of("each is stated once", int(said[0]["n"]), times),
        none("job that did not end", still),
        none("file that was kept", kept),
    ], host


async def earliest_first(ground: Ground, times: int) -> list[Promise]:
    """Nothing can be put for a while; what was parked meanwhile comes back in the order in which it
    expires, whatever order it was parked in."""
    async with (
        ground.rooms() as rooms,
        a_file_host() as host,
        an_ill_bucket(rooms.bucket["S3_ENDPOINT_URL"]) as ill_bucket,
    ):
        through = replace(rooms, bucket=rooms.bucket | {"S3_ENDPOINT_URL": ill_bucket.url})
        ill_bucket.spoils = lambda key, _before: Ill.ERROR_503 if "/generated/" in key else None
        async with a_house(through, origin=host.origin, retries=False) as house:
            files = IllFiles(host)
            for start in range(0, times, LOT):
                await _succeed(house, files, min(LOT, times - start), None)
            await eventually(
                "all of it is parked",
                partial(house.rows, "SELECT 1 FROM parked_message WHERE due_at IS NOT NULL"),
                holds=lambda rows: len(rows) == times,
                within=SETTLES_WITHIN_S,
            )
        ill_bucket.spoils = lambda _key, _before: None
        async with (
            open_database(rooms.database_url, name="matrix") as database,
            open_publisher(rooms.amqp_url, name="matrix") as publisher,
        ):
            async with database.connection() as db:
                rows = await db.fetch(
                    """UPDATE parked_message
                          SET due_at = now(), expires_at = now() + interval '5 minutes'
                              + random() * interval '50 minutes'
                    RETURNING event_id, expires_at"""
                )
            wanted = {row["event_id"]: row["expires_at"] for row in rows}
            bring_back = BringBack(database=database, publish=publisher.publish)
            while (await bring_back.run_once())["brought_back"]:
                pass
        order = await _lying(rooms.amqp_url)
        async with a_house(through, origin=host.origin) as house:
            await house.settled(within=SETTLES_WITHIN_S)
            kept = await house.rows("SELECT key FROM artifact WHERE kind = 'generated'")
    times_of = [wanted[name] for name in order if name in wanted]
    return [
        all_of("brought back to the queue that is served first", len(times_of), times),
        none("one behind another that expires later", sum(b < a for a, b in pairwise(times_of))),
        all_of("stored", len(kept), times),
    ]


async def _lying(amqp_url: str) -> list[str]:
    """The event ids in the urgent queue, in its order; they are given back to it."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(STORAGE_URGENT.name, ensure=False)
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append(str(message.headers["cloudEvents:id"]))
        return found


def _expired() -> float:
    return REGISTRY.get_sample_value("darkroom_outputs_expired_total") or 0.0
