"""What ``darkroom parked`` says where there is nothing to do, and what it never takes along."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID, uuid4

from shared.clock import utc_now
from shared.db import parked
from shared.db.connection import Database
from shared.db.parked import Parked, Which
from shared.envelope import Envelope
from tests.integration.test_cli import darkroom
from tests.support.purchases import a_job

QUEUE = "darkroom.storage.outputs"


async def a_parked(
    database: Database,
    *,
    due: timedelta | None,
    subject: str | None = None,
    queue: str = QUEUE,
    event_type: str = "prediction.succeeded",
    reason: str = "no",
    event_id: str | None = None,
) -> UUID:
    envelope = Envelope(
        id=event_id or f"e-{uuid4()}",
        type=event_type,
        source="test",
        time=utc_now(),
        body=b"{}",
        subject=subject,
    )
    await Parked(database).park(queue, envelope, reason=reason, trace=None, attempts=1, due_in=due)
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


async def test_for_programs_what_other_teams_call_theirs_is_a_line_for_each_message(
    database: Database, database_url: str
) -> None:
    nasty = "x[red]y\n1\u20282\x853\x0b4\x1b[2J5\U0001f469\u200d\U0001f680"
    told = "x[red]y 1 2 3 4 [2J5\U0001f469\u200d\U0001f680"
    message = await a_parked(
        database, due=None, subject=nasty, queue=nasty, event_type=nasty, reason=nasty
    )
    env = {"DATABASE_URL": database_url, "COLUMNS": "40"}

    _, listed, err = await darkroom(env, "parked", "list")
    _, dry, _ = await darkroom(env, "parked", "discard", "--all", "--dry-run")
    _, shown, _ = await darkroom(env, "parked", "show", str(message))

    lines = shown.splitlines()
    assert [line for line in lines if line.startswith(("queue", "job", "reason"))] == [
        f"queue      {told}",
        f"job        {told}",
        f"reason     {told}",
    ]
    assert "\x1b" not in shown
    head, line = listed.rstrip("\n").split("\n")
    assert head.split() == ["id", "queue", "type", "job", "state", "tries", "parked", "reason"], err
    assert line.startswith(str(message))
    assert line.count(told) == 4
    assert listed.splitlines() == [head, line]
    assert dry.splitlines()[1:] == [f"      1  {told}  {told}  the latest: {told}"]


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


async def test_a_message_says_how_often_it_was_parked_before(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url}
    job_id = str(await a_job(database))
    for _ in range(2):
        parked_once = await a_parked(database, due=None, subject=job_id, event_id="e-again")
        async with database.transaction() as tx:
            assert await parked.brought_back(tx, parked_once, 1)
    await a_parked(database, due=None, subject=job_id, event_id="e-again")
    await a_parked(database, due=None, subject=job_id, event_id="e-first")

    _, again, err = await darkroom(env, "parked", "show", "e-again")
    _, first, _ = await darkroom(env, "parked", "show", "e-first")
    _, told, _ = await darkroom(env, "parked", "show", "e-again", "--json")
    _, silent, _ = await darkroom(env, "parked", "show", "e-first", "--json")

    assert "before     parked 2 times, last brought back 20" in again, err
    assert "before" not in first
    assert json.loads(told)[0]["parked_before"]["times"] == 2
    assert json.loads(silent)[0]["parked_before"] is None


# ---- what is named by the beginning of its id


async def named(database: Database, message_id: UUID, new: UUID) -> UUID:
    """The same message under an id that a test can foresee."""
    async with database.transaction() as tx:
        await tx.execute("UPDATE parked_message SET id = $2 WHERE id = $1", message_id, new)
    return new


async def test_a_message_is_meant_by_the_beginning_that_a_narrow_list_shows(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url}
    job_id = await a_job(database)
    await a_parked(database, due=None)
    message = await a_parked(database, due=None, subject=str(job_id))

    on_a_terminal = env | {"COLUMNS": "150", "FORCE_COLOR": "1", "NO_COLOR": "1"}
    _, narrow, _ = await darkroom(on_a_terminal, "parked", "list", "--job", str(job_id)[:8])
    _, listed, _ = await darkroom(env, "parked", "list", "--job", str(job_id)[:13], "--json")
    begins = str(message)[:8]
    _, shown, err = await darkroom(env, "parked", "show", begins, "--json")
    _, dry, _ = await darkroom(env, "parked", "replay", begins.upper(), "--dry-run")
    _, replayed, _ = await darkroom(env, "parked", "replay", begins)
    _, gone, which = await darkroom(env, "parked", "discard", begins, "--any", "--yes")

    assert which.strip() == f"{begins} is {message}"
    assert begins in narrow
    assert str(message) not in narrow
    assert str(job_id)[:8] in narrow
    assert [one["id"] for one in json.loads(listed)] == [str(message)]
    assert [one["id"] for one in json.loads(shown)] == [str(message)], err
    assert "1 would be brought back" in dry
    assert "1 brought back" in replayed
    assert "1 discarded" in gone
    async with database.connection() as db:
        assert len(await parked.listing(db, limit=9)) == 1


async def test_a_beginning_that_several_messages_have_does_nothing_and_names_them(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url}
    ids = [
        await named(database, await a_parked(database, due=None), UUID(int=0xBADCAFE << 96 | n))
        for n in (1, 2)
    ]

    several = await darkroom(env, "parked", "discard", "0badcafe", "--yes")
    nobodys = await darkroom(env, "parked", "replay", "0badcafd")
    _, gone, _ = await darkroom(env, "parked", "discard", str(ids[0]), "--yes")

    assert several[0] == nobodys[0] == 1
    assert all(str(one) in several[2] for one in ids)
    assert "several parked messages begin with 0badcafe" in several[2]
    assert "no parked message that begins with 0badcafd is known here" in nobodys[2]
    assert "1 discarded" in gone


async def test_a_whole_id_is_one_however_it_is_spelled(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url}
    message = await a_parked(database, due=None)

    for spelled in (message.hex, str(message).upper()):
        _, shown, err = await darkroom(env, "parked", "show", spelled, "--json")
        assert [one["id"] for one in json.loads(shown)] == [str(message)], err


async def test_an_event_that_is_called_by_digits_alone_is_no_beginning(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url}
    by_event = await a_parked(database, due=None, event_id="20261122")
    await named(
        database, await a_parked(database, due=None), UUID("20261122-0000-4000-8000-000000000001")
    )

    _, shown, err = await darkroom(env, "parked", "show", "20261122", "--json")

    assert [one["id"] for one in json.loads(shown)] == [str(by_event)], err


async def test_the_beginning_of_a_job_whose_order_is_only_parked_is_known(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url}
    job_id = uuid4()
    message = await a_parked(database, due=None, subject=str(job_id))
    await a_parked(database, due=None, subject="invoice 17")

    _, listed, err = await darkroom(env, "parked", "list", "--job", str(job_id)[:8], "--json")
    code, _, said = await darkroom(env, "parked", "list", "--job", "0badcafe")
    wrong, _, complaint = await darkroom(env, "parked", "list", "--job", "invoice")

    assert [one["id"] for one in json.loads(listed)] == [str(message)], err
    assert (code, said.strip()) == (1, "no job that begins with 0badcafe is known here")
    assert wrong == 2
    assert "is no job id" in complaint
