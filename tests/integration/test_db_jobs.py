"""Jobs in Postgres: entered once, never back, ended once; and the laws that the tables hold."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from shared.db import artifacts, jobs
from shared.db.connection import Connection, Database
from shared.db.jobs import NewJob, Wanted
from shared.domain.identity import artifact_id
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.events import Artifact
from tests.support.purchases import NOON, a_job, a_slot, the_job


async def test_the_same_order_twice_enters_one_job(database: Database) -> None:
    order = NewJob(id=uuid4(), recipe="variations", n=1, ordered_at=NOON)

    async def enter() -> bool:
        async with database.transaction() as tx:
            return await jobs.insert(tx, order)

    assert sorted(await asyncio.gather(*(enter() for _ in range(4)))) == [False, False, False, True]


async def test_a_job_is_read_back_as_it_was_ordered(database: Database) -> None:
    order = NewJob(
        id=uuid4(),
        recipe="variations",
        n=3,
        ordered_at=NOON,
        external_ref="order-7",
        source_key="jobs/x/original/a.jpg",
        params={"count": 3, "word": "고요"},
        metadata={"customer": {"id": 7}},
        timezone="Asia/Seoul",
        locale="ko",
        callback_url="https://shop.example/done",
        deadline=NOON + timedelta(hours=1),
        retry_of=uuid4(),
    )

    async with database.transaction() as tx:
        await jobs.insert(tx, order)
        (found,) = await jobs.page(tx, Wanted(external_ref="order-7"), limit=2)

    assert all(getattr(found, name) == getattr(order, name) for name in NewJob.__slots__)
    assert (found.state, found.stored, found.report) == (JobState.PENDING, 0, "pending")
    assert found.is_open


async def test_a_job_goes_from_pending_over_queued_to_running_and_never_back(
    database: Database,
) -> None:
    job_id = await a_job(database)

    async with database.transaction() as tx:
        assert await jobs.to_queued(tx, job_id)
        assert not await jobs.to_queued(tx, job_id)
        assert await jobs.to_running(tx, job_id)
        assert not await jobs.to_running(tx, job_id)
        assert not await jobs.to_queued(tx, job_id)

    assert (await the_job(database, job_id)).state is JobState.RUNNING


async def test_a_job_whose_webhook_overtook_the_answer_was_queued_too(database: Database) -> None:
    job_id = await a_job(database)

    async with database.transaction() as tx:
        await jobs.to_running(tx, job_id)

    assert (await the_job(database, job_id)).queued_at is not None


async def test_a_job_ends_once_and_its_end_is_final(database: Database) -> None:
    job_id = await a_job(database)

    async with database.transaction() as tx:
        ended = await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=1, reason="a wish")
        assert await jobs.end(tx, job_id, state=JobState.FAILED, canceled=0, reason="x") is None
        assert not await jobs.to_running(tx, job_id)

    assert ended is not None
    assert await the_job(database, job_id) == ended
    assert (ended.state, ended.canceled, ended.reason) == (JobState.CANCELED, 1, "a wish")


async def test_only_open_jobs_past_their_deadline_are_overdue_the_longest_first(
    database: Database,
) -> None:
    later = await a_job(database, deadline=NOON - timedelta(hours=1) - timedelta(days=365))
    first = await a_job(database, deadline=NOON - timedelta(hours=2) - timedelta(days=365))
    ended = await a_job(database, deadline=NOON - timedelta(days=900))
    await a_job(database)
    await a_job(database, deadline=NOON + timedelta(days=90_000))
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET deadline = now() - interval '1 hour' WHERE id = $1", later)
        await tx.execute("UPDATE job SET deadline = now() - interval '2 hour' WHERE id = $1", first)
        await jobs.end(tx, ended, state=JobState.FAILED, canceled=0, reason=None)

        assert await jobs.overdue(tx, limit=9) == [first, later]


async def test_a_published_report_stays_published(database: Database) -> None:
    job_id = await a_job(database)

    async with database.transaction() as tx:
        assert await jobs.set_report(tx, job_id, report="failed", key=None)
        assert await jobs.set_report(tx, job_id, report="published", key="jobs/x/report.html")
        assert not await jobs.set_report(tx, job_id, report="failed", key=None)

    job = await the_job(database, job_id)
    assert (job.report, job.report_key) == ("published", "jobs/x/report.html")


async def test_the_latest_jobs_come_first(database: Database) -> None:
    ordered = [await a_job(database) for _ in range(3)]

    async with database.connection() as connection:
        latest = await jobs.page(connection, Wanted(), limit=2)

    assert [job.id for job in latest] == [ordered[2], ordered[1]]


async def test_a_file_is_entered_once_under_its_key(database: Database) -> None:
    job_id = await a_job(database)
    file = a_file(f"jobs/{job_id}/generated/1-1-0.png", ordinal=1, attempt=1, seed=7, score=0.5)

    async with database.transaction() as tx:
        assert await artifacts.insert(tx, job_id, file)
        assert not await artifacts.insert(tx, job_id, file)
        assert not await artifacts.insert(tx, job_id, replace(file, id=uuid4()))
        assert await artifacts.of_job(tx, job_id) == [file]


async def test_files_are_told_original_first_then_slot_by_slot(database: Database) -> None:
    job_id = await a_job(database, n=10)
    told = [
        a_file("o", kind="original"),
        a_file("1", ordinal=1, attempt=1),
        a_file("2-0", ordinal=2, attempt=1),
        a_file("2-0-thumb", ordinal=2, attempt=1, kind="derived", variant="thumb"),
        a_file("2-1", ordinal=2, attempt=1, index=1),
        a_file("10", ordinal=10, attempt=1),
    ]

    async with database.transaction() as tx:
        for file in reversed(told):
            await artifacts.insert(tx, job_id, file)

        assert await artifacts.of_job(tx, job_id) == told


# ---- the laws that no bug gets past

LAWS = {
    "slot_pending_is_due": "UPDATE slot SET due_at = NULL",
    "slot_creating_has_a_lease": "UPDATE slot SET state = 'creating', due_at = NULL",
    "slot_success_has_a_winner": (
        "UPDATE slot SET state = 'succeeded', due_at = NULL, expires_at = now()"
    ),
    "slot_success_expires": "UPDATE slot SET state = 'succeeded', due_at = NULL, winner = 1",
    "slot_failure_has_a_code": "UPDATE slot SET state = 'failed', due_at = NULL",
    "slot_is_counted_when_closed": "UPDATE slot SET counted_at = now()",
    "slot_wins_by_a_real_attempt": ("UPDATE slot SET state = 'stored', due_at = NULL, winner = 2"),
    "slot_wins_by_success": "UPDATE slot SET winner = 1",
    "slot_state_check": "UPDATE slot SET state = 'lost', due_at = NULL",
    "slot_failure_code_check": (
        "UPDATE slot SET state = 'failed', due_at = NULL, failure_code = 'bad luck'"
    ),
    "slot_attempt_check": "UPDATE slot SET attempt = 0",
    "job_counts_each_slot_once": "UPDATE job SET stored = 1, failed = 1",
    "job_ends_with_a_time": "UPDATE job SET state = 'failed'",
    "job_completed_has_all_slots_counted": "UPDATE job SET state = 'completed', ended_at = now()",
    "job_external_ref_check": "UPDATE job SET external_ref = repeat('x', 201)",
}


@pytest.mark.parametrize("law", sorted(LAWS))
async def test_an_illegal_row_is_refused_by_its_law(database: Database, law: str) -> None:
    await a_job(database)

    assert await refused(database, LAWS[law]) == law


PURCHASE_LAWS = {
    "prediction_has_an_id_once_it_has_a_status": "UPDATE prediction SET status = 'starting'",
    "prediction_is_accepted_once_it_has_an_id": "UPDATE prediction SET prediction_id = 'p1'",
    "prediction_is_asked_about_by_its_id": "UPDATE prediction SET ask_at = now()",
    "prediction_token_check": "UPDATE prediction SET token = 'short'",
    "prediction_outcome_check": "UPDATE prediction SET outcome = 'stolen'",
}


@pytest.mark.parametrize("law", sorted(PURCHASE_LAWS))
async def test_an_illegal_purchase_is_refused_by_its_law(database: Database, law: str) -> None:
    await a_slot(database, SlotState.CREATING)

    assert await refused(database, PURCHASE_LAWS[law]) == law


async def test_one_prediction_pays_for_one_purchase(database: Database) -> None:
    await a_slot(database, SlotState.SUBMITTED, prediction_id="p1")
    await a_slot(database, SlotState.SUBMITTED, prediction_id="p2")

    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as tx:
            await tx.execute("UPDATE prediction SET prediction_id = 'p1'")


async def test_an_ended_job_goes_whole(database: Database) -> None:
    slot = await a_slot(database, SlotState.STORED)
    async with database.transaction() as tx:
        await artifacts.insert(tx, slot.job_id, a_file("k", ordinal=1, attempt=1))

    async with database.transaction() as tx:
        await tx.execute("DELETE FROM job WHERE id = $1", slot.job_id)

        assert await left(tx) == 0


async def left(tx: Connection) -> int:
    return int(
        await tx.fetchval(
            "SELECT (SELECT count(*) FROM slot) + (SELECT count(*) FROM prediction)"
            " + (SELECT count(*) FROM artifact)"
        )
    )


async def refused(database: Database, sql: str) -> str:
    """The name of the law that refuses ``sql``."""
    with pytest.raises(asyncpg.CheckViolationError) as raised:
        async with database.transaction() as tx:
            await tx.execute(sql)
    return str(raised.value.constraint_name)


def a_file(key: str, *, kind: str = "generated", **more: object) -> Artifact:
    return Artifact(
        id=artifact_id(key),
        kind=kind,
        key=key,
        content_type="image/png",
        bytes=7,
        sha256="0" * 64,
        **more,  # type: ignore[arg-type]
    )
