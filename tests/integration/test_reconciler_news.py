"""The reconciler reads at Replicate what nobody told us: silent predictions, doubt, cancels."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from services.reconciler.deadlines import WatchDeadlines
from shared.clock import utc_now
from shared.db import journal, rate_limit
from shared.db.connection import Database
from shared.domain import identity
from shared.envelope import Envelope
from shared.errors import Transient
from tests.support.purchases import end_job, hear
from tests.support.shop import Shop, open_shop
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


async def silent_for_long(shop: Shop) -> None:
    await shop.rows("UPDATE prediction SET ask_at = now() WHERE ask_at IS NOT NULL")


async def told(shop: Shop) -> list[Envelope]:
    """What the reconciler has journaled of predictions and the relay owes."""
    async with shop.database.transaction() as tx:
        return [
            entry.envelope
            for entry in await journal.claim_owed(tx, 1000)
            if entry.type.startswith("prediction.") and entry.origin == "reconciler"
        ]


async def short_of_its_deadline(shop: Shop) -> UUID:
    """A purchase in doubt, whose create may still be under way."""
    shop.emulator.faults.add("refuse", status=502)
    job_id = await shop.one_slot()
    await shop.buy_one()
    return job_id


async def past_its_deadline(shop: Shop) -> UUID:
    job_id = await short_of_its_deadline(shop)
    await shop.rows("UPDATE prediction SET create_deadline = now()")
    return job_id


# ---- silent predictions


async def test_a_silent_prediction_is_asked_about_and_completes_without_any_webhook(
    shop: Shop,
) -> None:
    job_id = await shop.one_slot()
    await shop.buy_one(shop.buyer(webhook_url=None))

    async def succeeded() -> list[Envelope]:
        await silent_for_long(shop)
        await shop.asker().run_once()
        return [fact for fact in await told(shop) if fact.type == "prediction.succeeded"]

    (fact,) = await eventually("it is told that it succeeded", succeeded)
    recorded = await hear(shop.database, fact, now=utc_now())

    (bought,) = shop.bought()
    assert fact.id == identity.verdict_id(bought["prediction"], "succeeded")
    assert fact.extensions["darkroom-slot"].startswith(f"{job_id}.1.1.")
    assert recorded.wins
    assert (await shop.slot(job_id))["state"] == "succeeded"


async def test_the_webhook_and_the_reconciler_tell_one_fact(shop: Shop) -> None:
    job_id = await shop.one_slot()
    await shop.buy_one()
    by_webhook = await shop.ear.hears("prediction.succeeded")
    await silent_for_long(shop)
    await shop.asker().run_once()
    (by_asking,) = await told(shop)

    first = await hear(shop.database, by_asking, now=utc_now())
    second = await hear(shop.database, by_webhook, now=utc_now())

    assert (first.wins, second.wins) == (True, True)
    assert second.outcome == "nothing_new"
    assert (await shop.slot(job_id))["winner"] == 1


async def test_a_prediction_that_still_runs_is_asked_less_and_less_often(shop: Shop) -> None:
    shop.emulator.faults.add("stuck_starting")
    await shop.one_slot()
    await shop.buy_one()
    waits = []

    for _ in range(3):
        await silent_for_long(shop)
        assert await shop.asker().run_once() == {"still_running": 1}
        (row,) = await shop.rows("SELECT ask_at - now() AS wait FROM prediction")
        waits.append(row["wait"])

    assert waits[0] < waits[1] < waits[2]
    assert await told(shop) == []


async def test_what_was_told_and_never_heard_is_told_again(shop: Shop) -> None:
    await shop.one_slot()
    await shop.buy_one()
    await shop.ear.hears("prediction.succeeded")
    await silent_for_long(shop)
    await shop.asker().run_once()
    await shop.rows("UPDATE journal SET published_at = now()")

    await silent_for_long(shop)
    counts = await shop.asker().run_once()

    assert counts == {"told_again": 1}
    assert [fact.type for fact in await told(shop)] == ["prediction.succeeded"]


async def test_two_reconcilers_do_not_ask_about_the_same_prediction(shop: Shop) -> None:
    shop.emulator.faults.add("stuck_starting")
    await shop.order(params={"count": 4})
    for _ in range(4):
        await shop.buy_one()
    await silent_for_long(shop)

    first = await shop.asker().run_once()
    second = await shop.asker().run_once()

    assert (first, second) == ({"still_running": 4}, {})


async def test_a_provider_that_does_not_answer_is_asked_later(shop: Shop) -> None:
    await shop.one_slot()
    await shop.buy_one()
    shop.emulator.faults.add("refuse", status=503, on=["get"])
    await silent_for_long(shop)

    assert await shop.asker().run_once() == {"not_answered": 1}
    assert await told(shop) == []


async def test_a_throttled_question_slows_every_reader_down(shop: Shop) -> None:
    await shop.one_slot()
    await shop.buy_one()
    shop.emulator.faults.add("refuse", status=429, retry_after=30, on=["get"])
    await silent_for_long(shop)

    await shop.asker().run_once()

    async with shop.database.connection() as db:
        wait = await rate_limit.take(db, rate_limit.READS, per_minute=60_000)
    assert wait is not None
    assert wait > timedelta(seconds=20)


async def test_a_prediction_that_the_provider_does_not_know_is_asked_about_again_later(
    shop: Shop,
) -> None:
    job_id = await shop.one_slot()
    await shop.buy_one()
    await shop.rows("UPDATE prediction SET prediction_id = 'nosuchprediction0000000000'")
    await silent_for_long(shop)

    assert await shop.asker().run_once() == {"not_found": 1}
    assert (await shop.slot(job_id))["state"] == "submitted"


async def test_a_prediction_whose_files_are_gone_is_told_as_it_is(
    database: Database, bucket: dict[str, str]
) -> None:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0, retention_s=0.1) as shop:
        await shop.one_slot()
        bought = await shop.buy_one(shop.buyer(webhook_url=None))
        (row,) = await shop.purchases(bought.slot.job_id)
        await eventually(
            "the provider removes its data",
            lambda: shop.replicate.get(row["prediction_id"]),
            holds=lambda read: read.prediction.data_removed,
        )

        await silent_for_long(shop)
        await shop.asker().run_once()
        (fact,) = await told(shop)
        recorded = await hear(shop.database, fact, now=utc_now())

        assert recorded.news is not None
        assert recorded.news.data_removed
        assert recorded.outcome == "data_removed"


async def test_a_prediction_that_brings_no_end_is_given_up_and_canceled(shop: Shop) -> None:
    shop.emulator.faults.add("stuck_starting")
    job_id = await shop.one_slot()
    await shop.buy_one()
    await shop.rows("UPDATE prediction SET answered_at = now() - interval '46 minutes'")
    await silent_for_long(shop)

    counts = await shop.asker().run_once()

    slot = await shop.slot(job_id)
    assert counts == {"given_up": 1}
    assert (slot["state"], slot["failure_code"]) == ("failed", "provider")
    assert slot["failure_detail"] == "the provider brought no end within 45 minutes"
    assert "slot.failed" in await shop.facts(job_id)
    assert await shop.canceler().run_once() == {"canceled": 1}


# ---- purchases in doubt


async def test_a_purchase_in_doubt_is_adopted_by_the_slot_that_the_list_names(shop: Shop) -> None:
    shop.emulator.faults.add("lose_create_answer")
    job_id = await shop.one_slot()
    await shop.buy_one()

    counts = await shop.settler(grace=timedelta(minutes=1)).run_once()

    assert counts["adopted"] == 1
    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert row["adopted"] is True
    assert (await shop.slot(job_id))["state"] == "submitted"
    assert "prediction.created" in await shop.facts(job_id)
    assert row["ask_at"] is not None


async def test_a_list_that_names_no_webhooks_settles_doubt_by_the_input(
    database: Database, bucket: dict[str, str]
) -> None:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0, echo_webhook=False) as shop:
        shop.emulator.faults.add("lose_create_answer")
        job_id = await shop.order(params={"count": 3})
        for _ in range(3):
            await shop.buy_one()

        counts = await shop.settler(grace=timedelta(minutes=1)).run_once()

        assert counts["adopted"] == 3
        bought = {entry["seed"]: entry["prediction"] for entry in shop.bought()}
        rows = await shop.purchases(job_id)
        assert {row["seed"]: row["prediction_id"] for row in rows} == bought


async def test_what_the_list_lacks_is_not_bought_again_while_its_create_may_be_under_way(
    shop: Shop,
) -> None:
    job_id = await short_of_its_deadline(shop)

    counts = await shop.settler().run_once()

    assert counts["waits_for_evidence"] == 1
    assert (await shop.slot(job_id))["state"] == "in_doubt"


async def test_what_the_list_may_not_show_yet_is_not_bought_again(shop: Shop) -> None:
    job_id = await past_its_deadline(shop)

    counts = await shop.settler(grace=timedelta(minutes=1)).run_once()

    assert counts["waits_for_evidence"] == 1
    assert (await shop.slot(job_id))["state"] == "in_doubt"


async def test_what_a_complete_list_lacks_is_bought_anew_as_another_attempt(shop: Shop) -> None:
    job_id = await past_its_deadline(shop)

    counts = await shop.settler().run_once()
    shop.emulator.faults.clear()
    await shop.buy_one()

    assert counts["bought_anew"] == 1
    slot = await shop.slot(job_id)
    assert (slot["state"], slot["attempt"]) == ("submitted", 2)
    first, second = await shop.purchases(job_id)
    assert (first["outcome"], second["outcome"]) == ("not_listed", "accepted")
    assert first["token"] != second["token"]


async def test_a_list_that_is_not_complete_settles_nothing(shop: Shop) -> None:
    job_id = await past_its_deadline(shop)
    shop.emulator.faults.add("refuse", status=502, on=["list"])

    with pytest.raises(Transient):
        await shop.settler().run_once()

    assert (await shop.slot(job_id))["state"] == "in_doubt"


async def test_a_purchase_whose_buyer_died_is_doubted_when_its_lease_runs_out(shop: Shop) -> None:
    job_id = await shop.one_slot()
    await shop.claimed(shop.buyer())
    await shop.rows("UPDATE slot SET lease_until = now() - interval '1 second'")

    counts = await shop.settler(grace=timedelta(minutes=1)).run_once()

    assert counts["lease_ran_out"] == 1
    assert (await shop.slot(job_id))["state"] == "in_doubt"
    assert [row["outcome"] for row in await shop.purchases(job_id)] == ["in_doubt"]


async def test_a_purchase_that_was_found_after_it_was_bought_anew_is_canceled_or_wins(
    shop: Shop,
) -> None:
    shop.emulator.faults.add("lose_create_answer", times=1)
    shop.emulator.faults.add("slow_run", times=1)
    job_id = await shop.one_slot()
    await shop.buy_one()
    first_news = await shop.ear.hears("prediction.started")
    await shop.rows(
        "UPDATE slot SET state = 'pending', attempt = 2, due_at = now() WHERE job_id = $1", job_id
    )
    await shop.buy_one()
    second = shop.bought()[1]["prediction"]
    await eventually(
        "the second succeeds",
        lambda: shop.replicate.get(second),
        holds=lambda read: read.prediction.raw_status == "succeeded",
    )
    await silent_for_long(shop)
    await shop.asker().run_once()
    for fact in await told(shop):
        await hear(shop.database, fact, now=utc_now())

    late = await hear(shop.database, first_news, now=utc_now())
    counts = await shop.canceler().run_once()

    assert late.outcome == "lost"
    assert counts == {"canceled": 1}
    assert (await shop.slot(job_id))["winner"] == 2


# ---- cancels and deadlines


async def test_a_cancel_is_seen_through_to_its_end(shop: Shop) -> None:
    shop.emulator.faults.add("slow_run")
    job_id = await shop.one_slot()
    await shop.buy_one()
    await end_job(shop.database, job_id)

    async def verdict() -> str | None:
        await shop.canceler().run_once()
        await silent_for_long(shop)
        await shop.asker().run_once()
        for fact in await told(shop):
            await hear(shop.database, fact, now=utc_now())
        (row,) = await shop.purchases(job_id)
        return row["status"] if row["status"] in ("canceled", "aborted") else None

    assert await eventually("its end is recorded", verdict) in ("canceled", "aborted")
    assert await shop.canceler().run_once() == {}


async def test_a_prediction_that_ended_before_its_cancel_is_recorded_as_it_ended(
    database: Database, bucket: dict[str, str]
) -> None:
    async with open_shop(
        database, bucket, run_s=0.1, cold_start_s=0.0, cancel_finished_status=409
    ) as shop:
        job_id = await shop.one_slot()
        await shop.buy_one()
        await shop.ear.hears("prediction.succeeded")
        await end_job(shop.database, job_id)

        await shop.canceler().run_once()
        (fact,) = await told(shop)
        await hear(shop.database, fact, now=utc_now())

        assert [row["status"] for row in await shop.purchases(job_id)] == ["succeeded"]
        assert (await shop.slot(job_id))["state"] == "canceled"


async def test_a_deadline_that_passed_is_said_once(shop: Shop) -> None:
    job_id = await shop.order(deadline_seconds=1)
    await shop.order()
    await shop.rows("UPDATE job SET deadline = now() WHERE id = $1", job_id)
    watch = WatchDeadlines(database=shop.database, now=utc_now)

    counts = [await watch.run_once() for _ in range(2)]

    assert counts == [{"deadline_reached": 1}, {"deadline_reached": 0}]
    assert (await shop.facts(job_id)).count("job.deadline_reached") == 1
