"""A message may be junk, and a handler may die of it: nothing is lost, and the innocent pass."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pika.data
import pytest

from shared.db import parked
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.envelope import Envelope
from shared.errors import Transient
from shared.messaging.consumer import open_subscriptions
from shared.messaging.publisher import open_publisher
from tests.support.consuming import SLOTS, Seen, an_event, depth, published_by_a_stranger, working
from tests.support.waiting import eventually


class Broken:
    """A handler that fails with what a stranger sent, and takes the rest."""

    def __init__(self) -> None:
        self.seen = Seen()

    async def __call__(self, envelope: Envelope) -> None:
        if envelope.id.startswith("innocent"):
            await self.seen(envelope)
        else:
            raise Transient("later")


def not_utf8(value: str) -> Any:
    """Have pika write four bytes that are no UTF-8 wherever it is told to write ``value``."""
    strict: Callable[[list[bytes], str], int] = pika.data.encode_short_string

    def lax(pieces: list[bytes], text: str) -> int:
        if text != value:
            return strict(pieces, text)
        pieces.append(b"\x04\xff\xfe\xfd\xfc")
        return 5

    return patch.object(pika.data, "encode_short_string", lax)


@pytest.mark.parametrize(
    "properties",
    [
        {"message_id": "m", "headers": {"note": "a\x00b"}},
        {"message_id": "m", "headers": {"no\x00te": "a"}},
        {"message_id": "m", "headers": {"cloudEvents:time": "0001-01-01T00:00:00+23:59"}},
        {"message_id": "m", "timestamp": 2**62},
        {"message_id": "MARK"},
        {"message_id": "m", "headers": {"MARK": 1}},
    ],
    ids=lambda p: next(iter(p.get("headers") or p)) if "MARK" not in str(p) else str(list(p)),
)
async def test_junk_from_a_stranger_is_parked_at_once_and_the_next_message_is_handled(
    amqp_url: str, database: Database, properties: dict[str, Any]
) -> None:
    handle = Broken()

    async def kept() -> list[parked.ParkedMessage]:
        async with database.connection() as tx:
            return await parked.listing(tx, limit=10)

    # With one slot and no room behind it: a delivery that got lost on the way would stop the queue.
    with not_utf8("MARK"):
        for number in range(3):
            body = b'{"junk": %d}' % number
            await asyncio.to_thread(published_by_a_stranger, amqp_url, body, **properties)
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(subscriptions, handle, parking=Parked(database), concurrency=1),
    ):
        await publisher.publish(an_event("innocent"))
        await eventually("the innocent is handled", handle.seen.count, within=10)
        [message, *_] = await eventually("the junk is parked", kept)
    assert message.body.startswith(b'{"junk"')
    assert await depth(amqp_url) == 0


async def test_a_message_that_ends_its_process_is_dead_after_five_starts_and_innocents_pass(
    amqp_url: str, database: Database, database_url: str, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    starts.touch()
    names = ["killer", *(f"innocent-{number}" for number in range(6))]
    async with open_publisher(amqp_url, name="t") as publisher:
        for name in names:
            await publisher.publish(an_event(name))

    ends: list[int] = []
    while not ends or (ends[-1] != 0 and len(ends) < 9):
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.mortal", amqp_url, database_url, str(starts)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        ends.append(await asyncio.wait_for(worker.wait(), 60))

    async with database.connection() as tx:
        [message] = await parked.listing(tx, limit=10)
    told = starts.read_text().split()
    assert (message.event_id, message.is_dead) == ("killer", True)
    assert "ended the process" in message.reason
    assert 1 <= told.count("killer") <= 5
    assert set(told) == set(names)
    assert await depth(amqp_url, SLOTS.name) == 0
    print(f"the killer was started {told.count('killer')} times, in {len(ends)} processes")
