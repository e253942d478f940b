"""What ``darkroom parked`` says where there is nothing to do, and what it never takes along."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

from shared.clock import utc_now
from shared.db import parked
from shared.db.connection import Database
from shared.db.parked import Parked, Which
from shared.envelope import Envelope
from tests.integration.test_cli import darkroom

QUEUE = "darkroom.storage.outputs"


async def a_parked(database: Database, *, due: timedelta | None) -> UUID:
    envelope = Envelope(
        id=f"e-{uuid4()}", type="prediction.succeeded", source="test", time=utc_now(), body=b"{}"
    )
    await Parked(database).park(QUEUE, envelope, reason="no", trace=None, attempts=1, due_in=due)
    async with database.connection() as db:
        [message] = await parked.listing(db, Which(named=[envelope.id]), limit=1)
    return message.id


async def test_nothing_to_do_is_said_in_words(database: Database, database_url: str) -> None:
    env = {"DATABASE_URL": database_url}

    empty, replayed, discarded = await asyncio.gather(
        darkroom(env, "parked", "list"),
        darkroom(env, "parked", "replay", "--all"),
        darkroom(env, "parked", "discard", "--all"),
    )

    assert (empty[0], empty[1].strip()) == (0, "nothing is parked")
    assert (replayed[0], replayed[1].strip()) == (0, "nothing is parked that fits")
    assert (discarded[0], discarded[1].strip()) == (0, "nothing is parked that fits")


async def test_a_message_that_only_waits_is_not_said_to_be_nowhere(
    database: Database, database_url: str
) -> None:
    waiting = await a_parked(database, due=timedelta(hours=1))
    env = {"DATABASE_URL": database_url}

    dead_only = await darkroom(env, "parked", "replay", str(waiting))
    nowhere = await darkroom(env, "parked", "replay", str(uuid4()))
    any_of_them = await darkroom(env, "parked", "replay", str(waiting), "--any")

    assert dead_only[0] == nowhere[0] == 1
    assert "it waits for its time" in dead_only[2]
    assert "--any" in dead_only[2]
    assert "nothing is parked under" in nowhere[2]
    assert "1 brought back" in any_of_them[1]


async def test_what_is_parked_after_the_look_is_not_discarded_with_the_rest(
    database: Database,
) -> None:
    seen = await a_parked(database, due=None)
    async with database.connection() as db:
        meant = Which(dead=True, until=await db.fetchval("SELECT clock_timestamp()"))
    later = await a_parked(database, due=None)

    async with database.transaction() as tx:
        assert await parked.discard(tx, meant) == 1
        left = await parked.listing(tx, limit=9)

    assert [message.id for message in left] == [later]
    assert seen != later
