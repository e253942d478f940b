"""The live status in Postgres: one job, and several at once, as front ends see them."""

from datetime import UTC, datetime
from uuid import uuid4

from shared.db import live
from shared.db.connection import Database
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState
from tests.support.purchases import a_slot

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


async def test_a_job_that_nobody_ordered_is_none(database: Database) -> None:
    async with database.connection() as db:
        assert await live.read(db, uuid4()) is None


async def test_a_job_is_read_with_its_slot_and_its_purchase(database: Database) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE prediction SET progress = 0.4, last_webhook_at = $2 WHERE job_id = $1",
            slot.job_id,
            NOON,
        )

    async with database.connection() as db:
        now = await live.read(db, slot.job_id)

    assert now is not None
    assert now.job.id == slot.job_id
    [seen] = now.slots
    assert (seen.ordinal, seen.state, seen.attempt, seen.seed) == (
        slot.ordinal,
        SlotState.RUNNING,
        1,
        slot.seed,
    )
    [bought] = now.bought
    assert bought.status is Status.PROCESSING
    assert bought.progress == 0.4
    assert bought.last_webhook_at == NOON
    assert bought.prediction_id


async def test_a_failure_is_read_with_its_code_and_words(database: Database) -> None:
    slot = await a_slot(database, SlotState.FAILED)

    async with database.connection() as db:
        now = await live.read(db, slot.job_id)

    assert now is not None
    assert now.slots[0].failure_code == slot.failure_code
    assert isinstance(now.slots[0].failure_code, FailureCode)
    assert now.slots[0].failure_detail == slot.failure_detail


async def test_several_jobs_come_in_the_order_they_were_asked_in_each_with_its_own(
    database: Database,
) -> None:
    first, second = (
        await a_slot(database, SlotState.RUNNING),
        await a_slot(database, SlotState.PENDING),
    )
    async with database.connection() as db:
        now = await live.several(db, [second.job_id, uuid4(), first.job_id])

    assert [each.job.id for each in now] == [second.job_id, first.job_id]
    assert [each.slots[0].state for each in now] == [SlotState.PENDING, SlotState.RUNNING]
    assert [len(each.bought) for each in now] == [0, 1]


async def test_no_jobs_are_an_empty_list(database: Database) -> None:
    async with database.connection() as db:
        assert await live.several(db, []) == []
