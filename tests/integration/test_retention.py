"""What is past its time goes, what is not stays: on a real Postgres and a real bucket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.reconciler.retention import Kept, Retention
from shared.clock import utc_now
from shared.db import artifacts, jobs, journal, parked, retention
from shared.db.connection import Database
from shared.db.retention import Kind
from shared.domain.identity import artifact_id
from shared.domain.job import JobState
from shared.events import Artifact, JobAccepted, state
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from tests.support.purchases import NOON, a_job, the_job

BYTES = b"what was made"
DAY = timedelta(days=1)
MONTH = 30 * DAY


@pytest.fixture
async def store(bucket: dict[str, str]) -> AsyncIterator[Bucket]:
    settings = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    async with open_bucket(settings) as opened:
        yield opened


def keeping(database: Database, store: Bucket, **kept: Any) -> Retention:
    return Retention(database=database, bucket=store, kept=Kept(**kept), now=utc_now)


async def an_ended_job(
    database: Database, store: Bucket, *files: tuple[Kind, str], age: timedelta = 2 * MONTH
) -> UUID:
    """A job that ended that long ago, with these files (``{}`` stands for the job)."""
    job_id = await a_job(database)
    for number, (kind, name) in enumerate(files):
        key = name.format(job_id)
        await store.put(key, BYTES, content_type="image/png")
        file = Artifact(
            id=artifact_id(key),
            kind=kind,
            key=key,
            content_type="image/png",
            bytes=len(BYTES),
            sha256=hashlib.sha256(BYTES).hexdigest(),
            ordinal=1,
            attempt=1,
            index=number,
        )
        async with database.transaction() as tx:
            await artifacts.insert(tx, job_id, file)
    async with database.transaction() as tx:
        await said(tx, job_id)
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=1, reason="a wish")
    await aged(database, job_id, age)
    return job_id


async def said(tx: Any, job_id: UUID) -> None:
    fact = JobAccepted(job_id=job_id, recipe="variations", n=1)
    heard = replace(
        state(fact, source="generator", now=NOON),
        extensions={"webhook-id": "msg_1", "webhook-signature": "v1,x", "darkroom-slot": "a.1.1.t"},
    )
    await journal.hear(tx, heard, outcome="planned", job_id=job_id)


async def aged(database: Database, job_id: UUID, age: timedelta) -> None:
    async with database.transaction() as tx:
        for table, column, name in (
            ("job", "ended_at", "id"),
            ("artifact", "created_at", "job_id"),
            ("journal", "recorded_at", "job_id"),
        ):
            await tx.execute(
                f"UPDATE {table} SET {column} = now() - $2::interval WHERE {name} = $1",  # noqa: S608
                job_id,
                age,
            )


async def keys(store: Bucket, prefix: str = "jobs/") -> set[str]:
    return {info.key async for info in store.list(prefix)}


async def value(database: Database, sql: str, *args: object) -> Any:
    async with database.connection() as db:
        return await db.fetchval(sql, *args)


async def test_nothing_is_deleted_unless_a_setting_says_so(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database, store, ("original", "jobs/{}/original/a.png"))
    await store.put(f"jobs/{uuid4()}/original/b.png", BYTES, content_type="image/png")
    before = await keys(store)

    did = await keeping(database, store).run_once()

    assert not any(did.values())
    assert await keys(store) == before
    assert (await the_job(database, job_id)).id == job_id


async def test_files_of_one_kind_go_after_their_time_and_their_rows_remember_them(
    database: Database, store: Bucket
) -> None:
    mine: tuple[tuple[Kind, str], ...] = (
        ("original", "jobs/{}/original/a.png"),
        ("generated", "jobs/{}/generated/1-1-1.png"),
    )
    old = await an_ended_job(database, store, *mine)
    young = await an_ended_job(database, store, *mine, age=DAY)

    did = await keeping(database, store, files={"original": MONTH}).run_once()

    assert did["original_files_deleted"] == 1
    assert await keys(store) == {
        f"jobs/{old}/generated/1-1-1.png",
        f"jobs/{young}/original/a.png",
        f"jobs/{young}/generated/1-1-1.png",
    }
    async with database.connection() as db:
        assert [file.kind for file in await artifacts.of_job(db, old)] == ["generated"]
    gone = "SELECT count(*) FROM artifact WHERE deleted_at IS NOT NULL AND sha256 <> ''"
    assert await value(database, gone) == 1


async def test_an_original_that_lies_in_a_shared_folder_is_not_ours_to_delete(
    database: Database, store: Bucket
) -> None:
    await an_ended_job(database, store, ("original", "library/{}.png"))

    did = await keeping(database, store, files={"original": MONTH}).run_once()

    assert did["original_files_deleted"] == 0
    assert len(await keys(store, "library/")) == 1


async def test_files_of_a_job_that_is_open_or_waits_for_its_report_stay(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database, store, ("generated", "jobs/{}/generated/1-1-1.png"))
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET ended_at = NULL, state = 'running' WHERE id = $1", job_id)
    keeps = keeping(database, store, files={"generated": MONTH}, jobs=MONTH)

    open_still = await keeps.run_once()
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE job SET ended_at = now() - interval '60 days', state = 'completed' WHERE id = $1",
            job_id,
        )
    waiting = await keeping(database, store, files={"generated": MONTH}).run_once()

    assert (open_still["generated_files_deleted"], open_still["jobs_deleted"]) == (0, 0)
    assert waiting["generated_files_deleted"] == 0


async def test_bodies_go_after_their_time_with_what_proves_them_and_the_rows_stay(
    database: Database, store: Bucket
) -> None:
    old = await an_ended_job(database, store)
    young = await an_ended_job(database, store, age=DAY)

    did = await keeping(database, store, bodies=MONTH).run_once()
    again = await keeping(database, store, bodies=MONTH).run_once()

    async with database.connection() as db:
        [gone], [kept] = await journal.of_job(db, old), await journal.of_job(db, young)
    assert (did["bodies_cleared"], again["bodies_cleared"]) == (1, 0)
    assert (gone.body, gone.headers) == (None, {"webhook-id": "msg_1"})
    assert kept.body is not None


async def test_a_fact_that_the_relay_still_owes_keeps_its_body_and_holds_what_follows(
    database: Database, store: Bucket
) -> None:
    owed = await an_ended_job(database, store)
    after = await an_ended_job(database, store)
    async with database.transaction() as tx:
        await tx.execute("UPDATE journal SET published_at = NULL WHERE job_id = $1", owed)

    held = await keeping(database, store, bodies=MONTH, jobs=MONTH).run_once()
    async with database.transaction() as tx:
        await tx.execute("UPDATE journal SET published_at = now()")
    on = await keeping(database, store, bodies=MONTH).run_once()

    assert (held["bodies_cleared"], held["jobs_deleted"]) == (0, 1)
    assert on["bodies_cleared"] == 1
    assert await value(database, "SELECT count(*) FROM job WHERE id = $1", after) == 0


async def test_a_job_past_its_retention_goes_whole_and_its_tombstone_adds_up(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(
        database, store, ("original", "jobs/{}/original/a.png"), ("report", "jobs/{}/report/r.html")
    )
    await store.put(f"jobs/{job_id}/generated/9-9-9.png", BYTES, content_type="image/png")
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO prediction (job_id, ordinal, attempt, token, model, create_deadline,"
            " cost_micros, predict_seconds) VALUES ($1, 1, 1, $2, 'm', now(), 4200, 3.5)",
            job_id,
            "t" * 16,
        )
        await parked.park(
            tx,
            "darkroom.report.jobs",
            state(JobAccepted(job_id=job_id, recipe="v", n=1), source="x", now=NOON),
            reason="no",
            trace=None,
            attempts=1,
            due_in=None,
        )

    did = await keeping(database, store, jobs=MONTH).run_once()

    assert did["jobs_deleted"] == 1
    assert await keys(store) == set()
    for table in ("job", "slot", "prediction", "artifact", "journal", "parked_message"):
        assert await value(database, f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608
    async with database.connection() as db:
        row = await db.fetchrow("SELECT * FROM tombstone")
        assert await retention.is_buried(db, job_id)
    assert row is not None
    assert (row["state"], row["n"], row["canceled"], row["purchases"]) == ("canceled", 1, 1, 1)
    assert (row["cost_micros"], row["predict_seconds"]) == (4200, 3.5)


async def test_what_comes_of_a_deleted_job_leaves_no_body_behind(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database, store)
    await keeping(database, store, jobs=MONTH).run_once()

    async with database.transaction() as tx:
        await said(tx, job_id)

    async with database.connection() as db:
        [entry] = await journal.of_job(db, job_id)
    assert (entry.body, entry.headers) == (None, {})


async def test_objects_that_no_row_has_go_when_they_are_old_and_those_of_open_jobs_stay(
    database: Database, store: Bucket
) -> None:
    known = await an_ended_job(database, store, ("original", "jobs/{}/original/a.png"))
    open_job = await a_job(database)
    stranger = uuid4()
    for key in (
        f"jobs/{known}/generated/9-9-9.png",
        f"jobs/{open_job}/generated/9-9-9.png",
        f"jobs/{stranger}/original/never-ordered.png",
        "jobs/readme.txt",
    ):
        await store.put(key, BYTES, content_type="image/png")

    young = await keeping(database, store, orphans=DAY).run_once()
    # The store stamps objects by its own clock: our day is over.
    later = replace(
        keeping(database, store, orphans=DAY), now=lambda: utc_now() + DAY + timedelta(minutes=1)
    )
    old = await later.run_once()

    assert (young["orphans_deleted"], old["orphans_deleted"]) == (0, 2)
    assert await keys(store) == {
        f"jobs/{known}/original/a.png",
        f"jobs/{open_job}/generated/9-9-9.png",
        "jobs/readme.txt",
    }


async def test_messages_that_have_been_dead_for_long_go_and_those_that_wait_stay(
    database: Database, store: Bucket
) -> None:
    event = state(JobAccepted(job_id=uuid4(), recipe="v", n=1), source="x", now=NOON)
    async with database.transaction() as tx:
        for queue, due_in in (("a", None), ("b", None), ("c", DAY)):
            await parked.park(tx, queue, event, reason="no", trace=None, attempts=1, due_in=due_in)
        await tx.execute(
            "UPDATE parked_message SET parked_at = now() - interval '60 days' WHERE queue <> 'b'"
        )

    did = await keeping(database, store, dead=MONTH).run_once()

    async with database.connection() as db:
        left = await db.fetch("SELECT queue FROM parked_message ORDER BY queue")
    assert did["dead_forgotten"] == 1
    assert [row["queue"] for row in left] == ["b", "c"]


async def test_two_at_once_do_it_once(database: Database, store: Bucket) -> None:
    for _ in range(6):
        await an_ended_job(database, store, ("generated", "jobs/{}/generated/1-1-1.png"))
    keeps = keeping(database, store, files={"generated": MONTH}, bodies=MONTH, jobs=45 * DAY)

    await asyncio.gather(keeps.run_once(), keeps.run_once())

    assert await keys(store) == set()
    assert await value(database, "SELECT count(*) FROM tombstone") == 6
