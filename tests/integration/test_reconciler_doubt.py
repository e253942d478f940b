"""Doubt outlasts cold starts, stale evidence and ended jobs, and buys nothing twice unseen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from services.reconciler.doubt import of_one_time
from shared.clock import utc_now
from shared.db import jobs
from shared.db.connection import Database
from shared.replicate_api import AccountPaused, Answer, Replicate
from tests.support.purchases import end_job, hear
from tests.support.shop import Shop, open_shop
from tests.support.waiting import eventually
from tests.unit.test_reconciler_matching import doubted

MINUTES = timedelta(minutes=1)


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


async def never_bought(shop: Shop) -> UUID:
    """A purchase in doubt whose create is over, and of which the provider knows nothing."""
    rule = shop.emulator.faults.add("refuse", status=502, on=["create"])
    job_id = await shop.one_slot()
    await shop.buy_one()
    await shop.rows("UPDATE prediction SET create_deadline = now() RETURNING 1")
    shop.emulator.faults.remove(rule.id)
    return job_id


async def orphaned(shop: Shop) -> UUID:
    """A purchase in doubt that was made, and runs on; no webhook of it arrives."""
    shop.emulator.faults.add("lose_create_answer", times=1)
    shop.emulator.faults.add("drop_webhooks", times=1)
    shop.emulator.faults.add("slow_run", times=1)
    job_id = await shop.one_slot()
    await shop.buy_one()
    return job_id


class Meanwhile(Replicate):
    """While the list is read, something happens; the list is from before it."""

    def __init__(self, whole: Replicate, happens: Callable[[], Awaitable[None]]) -> None:
        self._whole = whole
        self._happens = happens

    async def list_between(
        self, after: datetime, before: datetime | None
    ) -> AsyncIterator[tuple[Answer, ...]]:
        pages = [page async for page in self._whole.list_between(after, before)]
        await self._happens()
        for page in pages:
            yield page


async def test_what_may_still_boot_is_not_bought_again(shop: Shop) -> None:
    job_id = await never_bought(shop)

    counts = await shop.settler(cold_start=5 * MINUTES).run_once()

    assert counts["waits_for_evidence"] == 1
    assert (await shop.slot(job_id))["state"] == "in_doubt"


async def test_the_recipe_says_how_long_its_model_may_boot(shop: Shop) -> None:
    job_id = await never_bought(shop)
    variations = shop.known["variations"].recipe
    settler = shop.settler(cold_start=None)
    at_once = replace(settler, recipes={"variations": replace(variations, cold_start=timedelta(0))})

    waits = await settler.run_once()
    bought = await at_once.run_once()

    assert waits["waits_for_evidence"] == 1
    assert bought["bought_anew"] == 1
    assert (await shop.slot(job_id))["attempt"] == 2


async def test_a_list_that_shows_what_still_boots_proves_that_the_missing_was_not_bought(
    shop: Shop,
) -> None:
    job_id = await never_bought(shop)
    shop.emulator.faults.add("stuck_starting")
    await shop.one_slot()
    await shop.buy_one()

    counts = await shop.settler(cold_start=5 * MINUTES).run_once()

    assert counts["bought_anew"] == 1
    assert (await shop.slot(job_id))["attempt"] == 2


async def test_a_list_from_before_a_later_create_says_nothing_about_it(shop: Shop) -> None:
    """A buyer's late word puts the slot back, it is claimed again as the same attempt, and its
    create is in doubt again, all of it while an old list is being read."""
    job_id = await never_bought(shop)

    async def bought_once_more() -> None:
        await shop.rows(
            "UPDATE prediction SET outcome = 'not_bought', answered_at = now() RETURNING 1"
        )
        await shop.rows("UPDATE slot SET state = 'pending', due_at = now() RETURNING 1")
        shop.emulator.faults.add("lose_create_answer", times=1)
        await shop.buy_one()

    settler = replace(shop.settler(), replicate=Meanwhile(shop.replicate, bought_once_more))
    counts = await settler.run_once()

    slot = await shop.slot(job_id)
    assert counts["settled_meanwhile"] == 1
    assert (slot["state"], slot["attempt"]) == ("in_doubt", 1)
    assert (await shop.settler().run_once())["adopted"] == 1


async def test_a_purchase_in_doubt_whose_job_ended_is_found_and_canceled(shop: Shop) -> None:
    job_id = await orphaned(shop)
    await end_job(shop.database, job_id)

    settled = await shop.settler().run_once()
    found = await shop.settler().look_for_strays()
    canceled = await shop.canceler().run_once()

    (row,) = await shop.purchases(job_id)
    assert "adopted" not in settled
    assert found == {"stray_adopted": 1}
    assert canceled == {"canceled": 1}
    assert row["adopted"] is True
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert (await shop.slot(job_id))["state"] == "canceled"


async def test_a_purchase_that_no_list_showed_and_that_runs_after_all_is_in_the_ledger(
    shop: Shop,
) -> None:
    job_id = await orphaned(shop)
    await shop.rows("UPDATE prediction SET outcome = 'not_listed' RETURNING 1")
    await shop.rows(
        "UPDATE slot SET state = 'pending', attempt = 2, not_listed = 1, due_at = now() RETURNING 1"
    )
    await shop.buy_one()
    news = await shop.ear.hears("prediction.succeeded")

    found = await shop.settler().look_for_strays()
    await hear(shop.database, news, now=utc_now())
    canceled = await shop.canceler().run_once()

    first, second = await shop.purchases(job_id)
    assert found == {"stray_adopted": 1}
    assert [first["prediction_id"], second["prediction_id"]] == [
        entry["prediction"] for entry in shop.bought()
    ]
    assert (await shop.slot(job_id))["winner"] == 2
    assert canceled == {"canceled": 1}
    ended = await shop.replicate.get(first["prediction_id"])
    assert ended.prediction.raw_status == "canceled"


async def test_a_stray_that_no_list_shows_is_written_down_as_never_bought(shop: Shop) -> None:
    job_id = await never_bought(shop)
    await end_job(shop.database, job_id)

    first = await shop.settler().look_for_strays()
    again = await shop.settler().look_for_strays()

    (row,) = await shop.purchases(job_id)
    assert (first, again) == ({"stray_not_listed": 1}, {"not_listed_still": 1})
    assert row["outcome"] == "not_listed"


async def test_an_old_doubt_is_left_to_the_slower_look(shop: Shop) -> None:
    job_id = await never_bought(shop)
    await shop.rows(
        "UPDATE prediction SET intended_at = now() - interval '20 minutes',"
        " create_deadline = now() - interval '19 minutes' RETURNING 1"
    )

    await shop.rows("UPDATE slot SET moved_at = now() - interval '19 minutes' RETURNING 1")

    quick = await shop.settler().run_once()
    slow = await shop.settler().look_for_strays()

    assert quick == {"lease_ran_out": 0}
    assert slow == {"bought_anew": 1}
    assert (await shop.slot(job_id))["state"] == "pending"


async def test_old_doubts_do_not_keep_the_fresh_ones_from_being_looked_at(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reconciler.doubt.BATCH", 1)
    old = await never_bought(shop)
    await shop.rows(
        "UPDATE slot SET moved_at = now() - interval '19 minutes' WHERE job_id = $1 RETURNING 1",
        old,
    )
    fresh = await orphaned(shop)

    told = await shop.settler().run_once()

    assert told["adopted"] == 1
    assert (await shop.slot(fresh))["state"] == "submitted"
    assert (await shop.slot(old))["state"] == "in_doubt"


async def test_a_doubt_that_cannot_be_told_ends_its_slot_in_the_end(
    database: Database, bucket: dict[str, str]
) -> None:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0, echo_webhook=False) as shop:
        shop.emulator.faults.add("lose_create_answer", times=2)
        job_id = await shop.order(params={"count": 2})
        await shop.rows(
            "UPDATE slot SET seed = 5, input = jsonb_set(input, '{seed}', '5') RETURNING 1"
        )
        for _ in range(2):
            await shop.buy_one()

        told = await shop.settler().run_once()
        await shop.rows(
            "UPDATE prediction SET intended_at = now() - interval '46 minutes' RETURNING 1"
        )
        given_up = await shop.settler().look_for_strays()

        assert told["unclear"] == 2
        assert given_up == {"given_up": 2}
        assert {slot["failure_code"] for slot in await shop.slots(job_id)} == {"provider"}


async def test_a_paused_account_settles_no_doubt_and_fails_no_slot(shop: Shop) -> None:
    job_id = await orphaned(shop)
    shop.emulator.faults.add("refuse", status=401, on=["create", "get", "list"])
    waiting = await shop.order(params={"count": 3})
    await shop.buy_one()

    with pytest.raises(AccountPaused):
        await shop.settler().run_once()

    assert (await shop.slot(job_id))["state"] == "in_doubt"
    slots = await shop.slots(waiting)
    assert {(slot["state"], slot["attempt"]) for slot in slots} == {("pending", 1)}
    async with shop.database.connection() as db:
        job = await jobs.get(db, waiting)
    assert job is not None
    assert job.is_open


async def test_the_account_that_may_again_buys_each_slot_once(shop: Shop) -> None:
    rule = shop.emulator.faults.add("refuse", status=402, on=["create"])
    job_id = await shop.order(params={"count": 3})
    await shop.buy_one()
    shop.emulator.faults.remove(rule.id)
    await shop.rows("UPDATE rate_limit SET paused_until = NULL RETURNING 1")

    for _ in range(3):
        await shop.buy_one()

    assert len(shop.bought()) == 3
    assert {row["attempt"] for row in await shop.purchases(job_id)} == {1}

    async def succeeded() -> int:
        return len([fact for fact in shop.ear.heard if fact.type == "prediction.succeeded"])

    await eventually("all of them succeed", succeeded, holds=lambda n: n == 3)


def test_doubts_that_lie_far_apart_are_listed_apart() -> None:
    first = doubted(1)
    near = doubted(2)
    far = doubted(3)
    later = replace(
        far,
        row=replace(
            far.row,
            intended_at=far.row.intended_at + 40 * MINUTES,
            create_deadline=far.row.create_deadline + 40 * MINUTES,
        ),
    )

    groups = of_one_time([later, near, first])

    assert [[one.row.ordinal for one in group] for group in groups] == [[2, 1], [3]]
