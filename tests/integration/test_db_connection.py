"""What a transaction promises, and what its errors say."""

import asyncio
import socket
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from shared.db import connection as connection_module
from shared.db import jobs, journal, slots
from shared.db.connection import Connection, Database, open_database
from shared.db.jobs import NewJob
from shared.db.slots import NewSlot
from shared.errors import DatabaseUnavailable, Permanent, Transient
from tests.support.cut_link import link_to
from tests.support.purchases import NOON, a_job, news, the_job
from tests.support.waiting import eventually


async def test_a_process_starts_while_postgres_is_away_and_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with open_database(f"postgresql://app:pw@127.0.0.1:{port}/x", name="test") as away:
            with pytest.raises(DatabaseUnavailable) as raised:
                await away.ping()

    assert "pw" not in str(raised.value)
    assert raised.value.__cause__ is not None


async def test_a_refused_password_holds_the_work_and_is_not_told(database_url: str) -> None:
    parts = urlsplit(database_url)
    wrong = parts._replace(netloc=f"{parts.username}:hunter2@{parts.hostname}:{parts.port}")

    async with open_database(wrong.geturl(), name="test") as database:
        with pytest.raises(DatabaseUnavailable) as raised:
            await database.ping()

    assert "hunter2" not in str(raised.value)


async def test_a_commit_whose_answer_is_lost_is_unknown_and_may_have_happened(
    database: Database, database_url: str
) -> None:
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    job_id = uuid4()
    async with link_to(parts.hostname, parts.port) as link:
        netloc = f"{parts.username}:{parts.password}@127.0.0.1:{link.port}"
        async with open_database(parts._replace(netloc=netloc).geturl(), name="cut") as cut:

            async def order() -> None:
                async with cut.transaction() as tx:
                    await jobs.insert(tx, an_order(job_id))
                    await slots.insert_all(tx, job_id, [NewSlot(ordinal=1, model="m", input={})])
                    link.lose_the_answer_to(b"COMMIT")

            with pytest.raises(DatabaseUnavailable, match="outcome of a commit is unknown"):
                await order()

            assert not await cut.slots_due.wait(0)

    # It had been committed; redoing the work by its key finds that out.
    async with database.transaction() as tx:
        assert not await jobs.insert(tx, an_order(job_id))


async def test_a_backend_that_dies_before_the_commit_leaves_nothing(database: Database) -> None:
    job_id = uuid4()

    async def order() -> None:
        async with database.transaction() as tx:
            await jobs.insert(tx, an_order(job_id))
            await end_backend(database, tx)

    with pytest.raises(DatabaseUnavailable):
        await order()

    async with database.connection() as connection:
        assert await jobs.get(connection, job_id) is None


async def test_a_backend_that_dies_between_statements_is_told_by_the_next_one(
    database: Database,
) -> None:
    async def ask_a_dead_one() -> None:
        async with database.transaction() as tx:
            await end_backend(database, tx)
            await tx.fetchval("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await ask_a_dead_one()

    await database.ping()


async def test_a_broken_law_is_loud_and_not_an_outage(database: Database) -> None:
    job_id = await a_job(database)

    with pytest.raises(asyncpg.CheckViolationError, match="job_counts_each_slot_once"):
        async with database.transaction() as tx:
            await jobs.add_counts(tx, job_id, stored=2, failed=0)

    assert (await the_job(database, job_id)).stored == 0


async def test_a_call_that_is_wrong_is_loud_and_not_an_outage(database: Database) -> None:
    with pytest.raises(asyncpg.InterfaceError):
        async with database.transaction() as tx:
            await tx.fetchval("SELECT 1", "an argument too many")


async def test_of_two_in_a_deadlock_one_may_try_again(database: Database) -> None:
    one, two = await a_job(database), await a_job(database)
    both_hold = asyncio.Barrier(2)

    async def lock_both(first: object, second: object) -> None:
        async with database.transaction() as tx:
            await tx.execute("SELECT 1 FROM job WHERE id = $1 FOR UPDATE", first)
            await both_hold.wait()
            await tx.execute("SELECT 1 FROM job WHERE id = $1 FOR UPDATE", second)

    results = await asyncio.gather(lock_both(one, two), lock_both(two, one), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["NoneType", "Transient"]


async def test_a_lock_that_is_held_too_long_may_be_tried_again(database: Database) -> None:
    job_id = await a_job(database)

    async def wait_for_it() -> None:
        async with database.transaction() as tx:
            await tx.execute("SET LOCAL lock_timeout = '50ms'")
            await jobs.lock(tx, job_id)

    async with database.transaction() as holder:
        await jobs.lock(holder, job_id)
        with pytest.raises(Transient):
            await wait_for_it()


async def test_a_swallowed_error_never_passes_for_a_commit(database: Database) -> None:
    async def swallow() -> None:
        async with database.transaction() as tx:
            with pytest.raises(asyncpg.UndefinedTableError):
                await tx.fetchval("SELECT 1 FROM nothing_of_that_name")

    with pytest.raises(RuntimeError, match="rolled back instead of committed"):
        await swallow()


async def test_a_text_that_postgres_cannot_keep_is_never_tried_again(database: Database) -> None:
    with pytest.raises(Permanent, match="NUL"):
        async with database.transaction() as tx:
            await jobs.insert(tx, an_order(uuid4(), metadata={"note": "a\x00b"}))


async def test_canceling_a_transaction_leaves_no_lock_behind(database: Database) -> None:
    job_id = await a_job(database)
    locked = asyncio.Event()

    async def hold() -> None:
        async with database.transaction() as tx:
            await jobs.lock(tx, job_id)
            locked.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await locked.wait()
    holder.cancel()
    await asyncio.wait([holder])

    async with asyncio.timeout(5), database.transaction() as tx:
        assert await jobs.lock(tx, job_id) is not None


async def test_canceling_a_statement_that_waits_leaves_the_pool_whole(database: Database) -> None:
    job_id = await a_job(database)
    async with database.transaction() as holder:
        await jobs.lock(holder, job_id)

        async def wait_for_it() -> None:
            async with database.transaction() as tx:
                await jobs.lock(tx, job_id)

        waiting = [asyncio.create_task(wait_for_it()) for _ in range(3)]
        await asyncio.wait(waiting, timeout=0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    async with asyncio.timeout(5), database.transaction() as tx:
        assert await jobs.lock(tx, job_id) is not None


async def test_a_full_pool_is_an_outage_and_not_a_wait_for_ever(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(database_url, name="test", max_size=1) as database:
        async with database.transaction():
            monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 0.05)
            with pytest.raises(DatabaseUnavailable):
                await database.ping()


async def test_two_tasks_on_one_transaction_are_a_fault_of_ours(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(RuntimeError, match="two tasks"):
            await asyncio.gather(tx.fetchval("SELECT pg_sleep(0.1)"), tx.fetchval("SELECT 1"))
        await eventually("the first statement ends", lambda: _idle(tx))


async def _idle(tx: Connection) -> bool:
    try:
        return bool(await tx.fetchval("SELECT true"))
    except RuntimeError:
        return False


async def test_a_transaction_is_over_after_its_block(database: Database) -> None:
    async with database.transaction() as tx:
        pass

    with pytest.raises(RuntimeError, match="after its block"):
        await tx.fetchval("SELECT 1")


async def test_bells_ring_after_the_commit_and_only_then(database: Database) -> None:
    async with database.transaction() as tx:
        await journal.say(tx, news("p1", "succeeded"))
        assert not await database.facts_owed.wait(0)

    assert await database.facts_owed.wait(0)
    assert not await database.slots_due.wait(0)


async def test_no_bell_rings_for_what_was_rolled_back(database: Database) -> None:
    async def fail_at_the_end() -> None:
        async with database.transaction() as tx:
            await journal.say(tx, news("p1", "succeeded"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail_at_the_end()

    assert not await database.facts_owed.wait(0)


async def test_no_bell_rings_for_a_fact_that_was_said_before(database: Database) -> None:
    fact = news("p1", "succeeded")
    async with database.transaction() as tx:
        assert await journal.say(tx, fact)
    await database.facts_owed.wait(0)

    async with database.transaction() as tx:
        assert not await journal.say(tx, fact)

    assert not await database.facts_owed.wait(0)


async def test_sessions_are_bounded_and_named(database: Database) -> None:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
            ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"],
        )
        name = await connection.fetchval("SELECT current_setting('application_name')")

    assert all(timedelta(milliseconds=int(row["setting"])) > timedelta(0) for row in rows)
    assert name == "darkroom-test"


def an_order(job_id: object, **order: object) -> NewJob:
    return NewJob(id=job_id, recipe="variations", n=1, ordered_at=NOON, **order)  # type: ignore[arg-type]


async def end_backend(database: Database, tx: Connection) -> None:
    pid = await tx.fetchval("SELECT pg_backend_pid()")
    async with database.connection() as other:
        await other.fetchval("SELECT pg_terminate_backend($1)", pid)

        async def alive() -> int:
            return int(
                await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid)
            )

        await eventually("the backend ends", alive, holds=lambda count: count == 0)
