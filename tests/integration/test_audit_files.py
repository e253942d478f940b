"""The audit's look into the bucket: rows against objects, both ways, on a real store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from shared.clock import utc_now
from shared.db.connection import Database
from shared.objects import Bucket
from shared.sweep import Pace, Sweep
from tests.support.filing import MADE, a_bucket, an_ended_job, put

OTHER = b"made was what"  # as many bytes as were made


@pytest_asyncio.fixture
async def store(bucket: dict[str, str]) -> AsyncIterator[Bucket]:
    async with a_bucket(bucket) as opened:
        yield opened


async def swept(
    database: Database,
    store: Bucket,
    *,
    prove: bool = False,
    settled: timedelta = timedelta(0),
    open_too: bool = False,
) -> list[tuple[str, str]]:
    sweep = Sweep(
        database=database,
        bucket=store,
        since=utc_now() - timedelta(hours=1),
        # A store may stamp objects by the clock of another machine, or round.
        now=utc_now() + timedelta(seconds=5),
        settled=settled,
        open_too=open_too,
        pace=Pace(1e9, clock=asyncio.get_running_loop().time) if prove else None,
    )
    return sorted([(found.law, found.id) async for found in sweep.findings()])


async def test_what_lies_in_the_bucket_as_it_is_on_record_is_no_finding(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database, MADE, "jobs/{}/original/a.jpg", "shared/a.jpg")
    for key in (MADE, "jobs/{}/original/a.jpg", "jobs/{}/original/beside.txt", "shared/a.jpg"):
        await put(store, key.format(job_id))

    assert await swept(database, store, prove=True) == []


@pytest.mark.parametrize("key", [MADE, "jobs/{}/original/a.jpg", "shared/a.jpg"])
async def test_a_file_that_is_gone_is_named(database: Database, store: Bucket, key: str) -> None:
    job_id = await an_ended_job(database, key)

    assert await swept(database, store) == [("file.missing", key.format(job_id))]


async def test_of_an_open_job_what_is_on_record_is_looked_at_and_what_is_on_its_way_is_not(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database, MADE)
    await put(store, f"jobs/{job_id}/generated/1-1-1.png")
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'running', ended_at = NULL, canceled = 0")

    assert await swept(database, store, open_too=True) == [("file.missing", MADE.format(job_id))]
    assert await swept(database, store) == []


async def test_other_bytes_are_named_by_their_size_and_by_their_sha256_where_they_are_read(
    database: Database, store: Bucket
) -> None:
    short, same_size = MADE, "jobs/{}/generated/1-1-1.png"
    job_id = await an_ended_job(database, short, same_size)
    await put(store, short.format(job_id), b"short")
    await put(store, same_size.format(job_id), OTHER)

    seen = await swept(database, store)
    read = await swept(database, store, prove=True)

    assert seen == [("file.different", short.format(job_id))]
    assert read == [
        ("file.different", short.format(job_id)),
        ("file.different", same_size.format(job_id)),
    ]


async def test_a_file_that_no_row_names_is_named_once_it_had_its_time(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database)
    stray = f"jobs/{job_id}/generated/9-9-9.png"
    await put(store, stray)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET ended_at = now() - interval '10 minutes'")

    assert await swept(database, store) == [("file.unknown", stray)]
    assert await swept(database, store, settled=timedelta(minutes=5)) == []


async def test_a_folder_of_no_job_is_named_where_the_whole_bucket_is_looked_through(
    database: Database, store: Bucket
) -> None:
    job_id = await an_ended_job(database)
    await put(store, f"jobs/{job_id}/original/a.jpg")
    nobodys, odd = f"jobs/{uuid4()}/", "jobs/what-is-this/"
    for folder in (nobodys, odd):
        await put(store, f"{folder}generated/1-1-0.png")

    assert await swept(database, store) == []
    assert await swept(database, store, prove=True) == sorted(
        [("file.of_no_job", nobodys), ("file.of_no_job", odd)]
    )
    assert await swept(database, store, prove=True, settled=timedelta(minutes=5)) == []


async def test_more_jobs_than_are_looked_at_together_are_all_looked_at(
    database: Database, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.sweep.JOBS_AT_A_TIME", 2)
    job_ids = [await an_ended_job(database, MADE) for _ in range(5)]

    assert await swept(database, store) == sorted(
        ("file.missing", MADE.format(job_id)) for job_id in job_ids
    )
