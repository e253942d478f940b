"""Slots in Postgres: the moves that their buyer, storage and the end of a job make."""

import asyncio
from datetime import timedelta

import pytest

from shared.db import jobs, predictions, slots
from shared.db.connection import Connection, Database
from shared.db.predictions import Purchase
from shared.db.slots import Slot
from shared.domain.job import JobState
from shared.domain.prediction import read_prediction
from shared.domain.slot import CLOSED, OPEN, FailureCode, Move, News, SlotState, Stale, decide
from shared.errors import Permanent
from tests.support.locks import somebody_waits_for_a_lock
from tests.support.purchases import (
    MINUTE,
    a_job,
    a_slot,
    bought,
    claim,
    doubted,
    end_job,
    hear,
    moved,
    news,
    the_job,
    the_purchase,
    the_slot,
)

S = SlotState
SOON = timedelta(seconds=30)


# ---- the rows of the slot table that its buyer moves


async def test_claiming_a_due_slot_leaves_an_intent_a_lease_and_a_larger_fence(
    database: Database,
) -> None:
    before = await a_slot(database, S.PENDING)

    async with database.transaction() as tx:
        (claimed,) = await claim(tx, lease=SOON)

    assert (claimed.state, claimed.fence) == (S.CREATING, before.fence + 1)
    assert claimed.lease_until is not None
    purchase = await the_purchase(database, claimed)
    assert (purchase.outcome, purchase.prediction_id) == (Purchase.INTENDED, None)
    async with database.connection() as connection:
        assert await slots.lease_holds(connection, claimed)


@pytest.mark.parametrize("state", [S.CREATING, S.IN_DOUBT])
async def test_an_answered_create_submits_the_slot_and_fills_its_purchase(
    database: Database, state: SlotState
) -> None:
    slot = await a_slot(database, state)

    after = await bought(database, slot, "p1")

    assert after.state is S.SUBMITTED
    purchase = await the_purchase(database, slot)
    assert (purchase.prediction_id, purchase.outcome) == ("p1", Purchase.ACCEPTED)
    assert not purchase.adopted
    assert purchase.ask_at is not None


@pytest.mark.parametrize("state", [S.CREATING, S.IN_DOUBT])
async def test_a_refused_create_fails_the_slot_in_the_providers_words(
    database: Database, state: SlotState
) -> None:
    slot = await a_slot(database, state)

    after = await carry_out(
        database, slot, News.REFUSED, code=FailureCode.INVALID_INPUT, detail="seed: not an integer"
    )

    assert after is not None
    assert (after.state, after.failure_code) == (S.FAILED, FailureCode.INVALID_INPUT)
    assert after.failure_detail == "seed: not an integer"


@pytest.mark.parametrize("told", [News.NOT_BOUGHT, News.ACCOUNT_PAUSED])
async def test_what_was_not_bought_waits_and_keeps_its_attempt_and_token(
    database: Database, told: News
) -> None:
    slot = await a_slot(database, S.CREATING)
    token = (await the_purchase(database, slot)).token
    async with database.transaction() as tx:
        await predictions.set_outcome(tx, slot.job_id, 1, 1, Purchase.NOT_BOUGHT, error="429")

    waiting = await carry_out(database, slot, told, due_in=SOON)

    assert waiting is not None
    assert (waiting.state, waiting.attempt) == (S.PENDING, 1)
    async with database.transaction() as tx:
        assert await claim(tx) == []
        wait = await slots.next_due_in(tx)
        assert wait is not None
        assert timedelta(0) < wait <= SOON
        await tx.execute("UPDATE slot SET due_at = now()")
        (again,) = await claim(tx)
    assert (again.attempt, again.fence) == (1, 2)
    intended = await the_purchase(database, slot)
    assert (intended.token, intended.outcome, intended.error) == (token, Purchase.INTENDED, None)


async def test_a_create_without_a_clear_answer_is_in_doubt_and_not_bought_again(
    database: Database,
) -> None:
    slot = await a_slot(database, S.CREATING)

    await carry_out(database, slot, News.UNKNOWN_OUTCOME)

    async with database.transaction() as tx:
        assert await claim(tx) == []
        assert [(s.job_id, s.state) for s in await slots.in_doubt(tx, limit=9)] == [
            (slot.job_id, S.IN_DOUBT)
        ]


async def test_a_lease_that_ran_out_brings_the_slot_into_doubt(database: Database) -> None:
    slot = await a_slot(database, S.CREATING)
    async with database.transaction() as tx:
        assert await slots.leases_run_out(tx, limit=9) == []
        await tx.execute("UPDATE slot SET lease_until = now() - interval '1 second'")

    async with database.transaction() as tx:
        (late,) = await slots.leases_run_out(tx, limit=9)
        assert not await slots.lease_holds(tx, slot)
        after = await slots.move(tx, late, Move(S.IN_DOUBT))

    assert after is not None
    assert (after.state, after.lease_until) == (S.IN_DOUBT, None)


async def test_a_purchase_that_the_list_lacks_is_bought_anew_and_stays_on_record(
    database: Database,
) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    async with database.transaction() as tx:
        await predictions.set_outcome(tx, slot.job_id, 1, 1, Purchase.NOT_LISTED)

    after = await carry_out(database, slot, News.NOT_LISTED)

    assert after is not None
    assert (after.state, after.attempt) == (S.PENDING, 2)
    async with database.transaction() as tx:
        await claim(tx)
    first, second = await the_purchase(database, slot, 1), await the_purchase(database, slot, 2)
    assert first.outcome is Purchase.NOT_LISTED
    assert first.token != second.token


# ---- the rows of the slot table that storage and the end of a job move


async def test_saved_files_close_the_slot_for_its_winner(database: Database) -> None:
    slot = await a_slot(database, S.SUCCEEDED)

    after = await carry_out(database, slot, News.SAVED)

    assert after is not None
    assert (after.state, after.winner) == (S.STORED, 1)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (News.EXPIRED, FailureCode.EXPIRED),
        (News.UNUSABLE, FailureCode.UNUSABLE_OUTPUT),
        (News.NOT_STORED, FailureCode.NOT_STORED),
    ],
)
async def test_files_that_cannot_be_had_fail_the_slot_under_their_own_code(
    database: Database, told: News, code: FailureCode
) -> None:
    slot = await a_slot(database, S.SUCCEEDED)

    after = await carry_out(database, slot, told, code=code, detail="why")

    assert after is not None
    assert (after.state, after.failure_code) == (S.FAILED, code)


async def test_expired_files_are_bought_anew_where_the_recipe_pays_again(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUCCEEDED)

    after = await carry_out(database, slot, News.EXPIRED, again=True)

    assert after is not None
    assert (after.state, after.attempt, after.winner) == (S.PENDING, 2, None)
    assert after.expires_at is None


@pytest.mark.parametrize("state", sorted(OPEN))
async def test_the_end_of_its_job_cancels_an_open_slot_and_what_it_bought(
    database: Database, state: SlotState
) -> None:
    slot = await a_slot(database, state)

    await end_job(database, slot.job_id)

    after = await the_slot(database, slot.job_id)
    assert after.state is S.CANCELED
    assert after.counted_at is not None
    if state in (S.CREATING, S.IN_DOUBT, S.SUBMITTED, S.RUNNING):
        assert (await the_purchase(database, slot)).cancel_wanted_at is not None
    job = await the_job(database, slot.job_id)
    assert (job.state, job.canceled) == (JobState.CANCELED, 1)


@pytest.mark.parametrize("state", [S.STORED, S.FAILED])
async def test_the_end_of_its_job_leaves_a_closed_slot(
    database: Database, state: SlotState
) -> None:
    slot = await a_slot(database, state)

    await end_job(database, slot.job_id)

    assert await the_slot(database, slot.job_id) == slot


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_no_news_moves_a_closed_slot(state: SlotState) -> None:
    assert all(decide(state, told, again=True) == Stale() for told in News)


# ---- compare-and-set


async def test_a_lease_holds_until_it_is_over(database: Database) -> None:
    job_id = await a_job(database, n=2)
    async with database.transaction() as tx:
        (held,) = await claim(tx, limit=1)
        (over,) = await claim(tx, limit=1, lease=timedelta(seconds=-1))

    async with database.connection() as connection:
        assert await slots.lease_holds(connection, held)
        assert not await slots.lease_holds(connection, over)
    assert held.job_id == over.job_id == job_id


async def test_a_buyer_that_slept_past_its_lease_writes_nothing(database: Database) -> None:
    asleep = await a_slot(database, S.CREATING)
    await doubted(database, asleep)

    async with database.transaction() as tx:
        after = await slots.move(tx, asleep, Move(S.SUBMITTED))

    assert after is None
    assert (await the_slot(database, asleep.job_id)).state is S.IN_DOUBT


async def test_a_stale_fence_writes_nothing_although_state_and_attempt_look_the_same(
    database: Database,
) -> None:
    asleep = await a_slot(database, S.CREATING)
    async with database.transaction() as tx:
        await predictions.set_outcome(tx, asleep.job_id, 1, 1, Purchase.NOT_BOUGHT)
    await moved(database, asleep, Move(S.PENDING))
    async with database.transaction() as tx:
        (awake,) = await claim(tx)

    async with database.transaction() as tx:
        after = await slots.move(tx, asleep, Move(S.SUBMITTED))

    assert after is None
    assert await the_slot(database, asleep.job_id) == awake


async def test_a_move_decided_for_an_attempt_that_is_over_writes_nothing(
    database: Database,
) -> None:
    before = await a_slot(database, S.PENDING)
    after = await moved(database, before, Move(S.PENDING, next_attempt=True))

    async with database.transaction() as tx:
        assert await slots.move(tx, before, Move(S.PENDING, next_attempt=True)) is None

    assert await the_slot(database, before.job_id) == after


async def test_of_two_that_move_a_slot_at_once_one_does(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    async def run() -> Slot | None:
        async with database.transaction() as tx:
            return await slots.move(tx, slot, Move(S.RUNNING))

    results = await asyncio.gather(*(run() for _ in range(4)))

    assert sum(result is not None for result in results) == 1


# ---- answers that come late


async def test_an_answer_fills_its_purchase_although_the_slot_moved_on(database: Database) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    await carry_out(database, slot, News.NOT_LISTED)

    async with database.transaction() as tx:
        row = await predictions.fill(
            tx, slot.job_id, 1, 1, prediction=read_prediction({"id": "p1", "status": "starting"})
        )

    assert row.prediction_id == "p1"
    assert (await the_slot(database, slot.job_id)).attempt == 2


async def test_an_answer_after_the_job_ended_is_to_be_canceled(database: Database) -> None:
    slot = await a_slot(database, S.CREATING)
    await end_job(database, slot.job_id)

    async with database.transaction() as tx:
        await predictions.fill(
            tx, slot.job_id, 1, 1, prediction=read_prediction({"id": "p1", "status": "starting"})
        )

    async with database.transaction() as tx:
        (unwanted,) = await predictions.to_cancel(tx, limit=9, lease=MINUTE)
        assert unwanted.prediction_id == "p1"
        assert await predictions.to_cancel(tx, limit=9, lease=MINUTE) == []


async def test_an_answer_that_the_webhook_overtook_takes_nothing_back(database: Database) -> None:
    slot = await a_slot(database, S.CREATING)
    await hear(database, news("p1", "succeeded", row=await the_purchase(database, slot)))
    known = await the_purchase(database, slot)

    async with database.transaction() as tx:
        row = await predictions.fill(
            tx, slot.job_id, 1, 1, prediction=read_prediction({"id": "p1", "status": "starting"})
        )

    assert (row.status, row.adopted, row.ask_at) == (known.status, True, None)
    assert row.answered_at is not None


async def test_an_answer_that_brings_its_verdict_is_asked_about_at_once(
    database: Database,
) -> None:
    slot = await a_slot(database, S.CREATING)

    async with database.transaction() as tx:
        await predictions.fill(
            tx, slot.job_id, 1, 1, prediction=read_prediction({"id": "p1", "status": "succeeded"})
        )
        (asked,) = await predictions.to_ask(tx, limit=9, lease=MINUTE)

    assert asked.prediction_id == "p1"
    assert not asked.is_final


async def test_a_second_purchase_under_one_attempt_is_loud(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    with pytest.raises(Permanent, match="is not prediction p2"):
        async with database.transaction() as tx:
            await predictions.fill(
                tx,
                slot.job_id,
                1,
                1,
                prediction=read_prediction({"id": "p2", "status": "starting"}),
            )


async def test_an_attempt_that_may_have_been_bought_is_never_intended_again(
    database: Database,
) -> None:
    slot = await a_slot(database, S.IN_DOUBT)

    with pytest.raises(RuntimeError, match="sent before"):
        async with database.transaction() as tx:
            await predictions.intend(tx, slot, token="t" * 20, create_deadline=MINUTE)


@pytest.mark.parametrize("outcome", [Purchase.REFUSED, Purchase.NOT_BOUGHT, Purchase.NOT_LISTED])
async def test_a_late_no_does_not_unmake_what_news_found(
    database: Database, outcome: Purchase
) -> None:
    slot = await a_slot(database, S.CREATING)
    await hear(database, news("p1", "starting", row=await the_purchase(database, slot)))

    async with database.transaction() as tx:
        await predictions.set_outcome(tx, slot.job_id, 1, 1, outcome)

    assert (await the_purchase(database, slot)).outcome is Purchase.ACCEPTED


# ---- claiming


async def test_two_buyers_share_the_due_slots_without_overlap_and_without_waiting(
    database: Database,
) -> None:
    job_id = await a_job(database, n=10)

    async with database.transaction() as one, database.transaction() as two:
        mine = await slots.claim_due(one, limit=6, lease=MINUTE)
        async with asyncio.timeout(3):
            theirs = await slots.claim_due(two, limit=6, lease=MINUTE)

    assert len(mine) == 6
    assert sorted(slot.ordinal for slot in mine + theirs) == list(range(1, 11))
    assert {slot.job_id for slot in mine + theirs} == {job_id}


async def test_slots_are_bought_in_the_order_in_which_they_became_due(database: Database) -> None:
    late = await a_job(database, n=2)
    early = await a_job(database, n=2)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE slot SET due_at = now() - interval '1 hour' WHERE job_id = $1", early
        )

    async with database.transaction() as tx:
        claimed = await slots.claim_due(tx, limit=3, lease=MINUTE)

    assert [(slot.job_id, slot.ordinal) for slot in claimed] == [(early, 1), (early, 2), (late, 1)]


async def test_where_nothing_waits_nothing_is_due(database: Database) -> None:
    await a_slot(database, S.CREATING)

    async with database.connection() as connection:
        assert await slots.next_due_in(connection) is None


async def test_nothing_is_bought_for_a_job_that_ended(database: Database) -> None:
    await a_job(database)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'canceled', ended_at = now()")

    async with database.transaction() as tx:
        assert await slots.claim_due(tx, limit=9, lease=MINUTE) == []


async def test_a_silent_prediction_is_asked_about_by_one_reconciler(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    async with database.transaction() as tx:
        assert await predictions.to_ask(tx, limit=9, lease=MINUTE) == []
        await tx.execute("UPDATE prediction SET ask_at = now()")

    async with database.transaction() as one, database.transaction() as two:
        mine = await predictions.to_ask(one, limit=9, lease=MINUTE)
        async with asyncio.timeout(3):
            theirs = await predictions.to_ask(two, limit=9, lease=MINUTE)

    assert [row.job_id for row in mine] == [slot.job_id]
    assert theirs == []
    assert (await the_purchase(database, slot)).asked == 1


# ---- counting


async def test_two_aggregators_count_a_closed_slot_once(database: Database) -> None:
    slot = await a_slot(database, S.STORED)

    async def count() -> int:
        async with database.transaction() as tx:
            await jobs.lock(tx, slot.job_id)
            counted = await slots.count_closed(tx, slot.job_id, [1])
            await jobs.add_counts(tx, slot.job_id, stored=len(counted), failed=0)
            return len(counted)

    counted = await asyncio.gather(*(count() for _ in range(4)))

    assert sum(counted) == 1
    assert (await the_job(database, slot.job_id)).stored == 1


async def test_without_the_lock_two_counters_still_count_once(database: Database) -> None:
    slot = await a_slot(database, S.STORED)

    async def count(tx: Connection) -> int:
        return len(await slots.count_closed(tx, slot.job_id, [1]))

    async with database.transaction() as one:
        first = await count(one)
        async with database.transaction() as two:
            waiting = asyncio.create_task(count(two))
            await somebody_waits_for_a_lock(database)
            await one.execute("COMMIT")
            second = await waiting
        await one.execute("BEGIN")

    assert (first, second) == (1, 0)


async def test_an_open_slot_is_not_counted(database: Database) -> None:
    slot = await a_slot(database, S.SUCCEEDED)

    async with database.transaction() as tx:
        assert await slots.count_closed(tx, slot.job_id, [1]) == []
        assert await slots.count_closed(tx, slot.job_id) == []


async def test_verdicts_and_counting_of_one_job_never_deadlock(database: Database) -> None:
    job_id = await a_job(database, n=24)
    async with database.transaction() as tx:
        claimed = await claim(tx)
    for slot in claimed:
        await bought(database, slot, f"p{slot.ordinal}")

    async def verdicts(ordinals: range) -> None:
        for ordinal in ordinals:
            await hear(database, news(f"p{ordinal}", "processing"))
            await hear(database, news(f"p{ordinal}", "failed"))

    async def counting() -> int:
        total = 0
        while total < 24:
            async with database.transaction() as tx:
                await jobs.lock(tx, job_id)
                counted = await slots.count_closed(tx, job_id)
                total += len(counted)
                await jobs.add_counts(tx, job_id, stored=0, failed=len(counted))
        return total

    async with asyncio.timeout(60):
        await asyncio.gather(
            verdicts(range(1, 13)), verdicts(range(24, 12, -1)), verdicts(range(1, 25)), counting()
        )

    assert (await the_job(database, job_id)).failed == 24


async def carry_out(
    database: Database,
    slot: Slot,
    told: News,
    *,
    again: bool = False,
    due_in: timedelta | None = None,
    code: FailureCode | None = None,
    detail: str | None = None,
) -> Slot | None:
    """What a service does: lock, decide by the table, move."""
    async with database.transaction() as tx:
        current = await slots.lock(tx, slot.job_id, slot.ordinal)
        assert current is not None
        to = decide(current.state, told, again=again)
        assert isinstance(to, Move)
        return await slots.move(tx, current, to, due_in=due_in, code=code, detail=detail)
