"""Following: verdicts decide on another attempt; the end of a job closes what it leaves open."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
import pytest_asyncio

from services.generator.follow import CloseEndedJobs
from shared.clock import utc_now
from shared.db import jobs, journal
from shared.db.connection import Database
from shared.domain.job import JobState
from shared.domain.prediction import Status
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.events import JobCanceled, state
from tests.support.purchases import news
from tests.support.shop import Row, Shop, open_shop
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


async def end(shop: Shop, job_id: UUID) -> Envelope:
    """End the job as the aggregator does; the fact that says so."""
    async with shop.database.transaction() as tx:
        job = await jobs.lock(tx, job_id)
        assert job is not None
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=job.n, reason="asked for")
        fact = state(
            JobCanceled(job_id=job_id, recipe=job.recipe, n=job.n, stored=0, failed=0),
            source="aggregator",
            now=utc_now(),
        )
        await journal.say(tx, fact)
    return fact


async def test_a_passing_fault_of_the_provider_is_worth_another_attempt(shop: Shop) -> None:
    shop.emulator.faults.add("fail", times=1)
    job_id = await shop.one_slot()
    await shop.buy_one()

    await shop.follower().hear(await shop.ear.hears("prediction.failed"))
    await shop.buy_one()

    slot = await shop.slot(job_id)
    assert (slot["state"], slot["attempt"]) == ("submitted", 2)
    assert len(shop.bought()) == 2


async def test_a_fault_that_would_come_again_fails_the_slot_at_once(shop: Shop) -> None:
    shop.emulator.faults.add("nsfw", drop="all")
    job_id = await shop.one_slot()
    await shop.buy_one()

    await shop.follower().hear(await shop.ear.hears("prediction.failed"))

    slot = await shop.slot(job_id)
    assert (slot["state"], slot["failure_code"]) == ("failed", "nsfw")
    assert (await shop.facts(job_id))[-1] in ("slot.failed", "prediction.failed")
    assert "slot.failed" in await shop.facts(job_id)


async def test_attempts_end_where_the_recipe_says_so(shop: Shop) -> None:
    shop.emulator.faults.add("fail")
    job_id = await shop.one_slot()
    attempts = shop.known["variations"].recipe.attempts

    for attempt in range(1, attempts + 1):
        await shop.buy_one()
        await eventually(f"attempt {attempt} fails", lambda: _failures(shop, job_id))

    slot = await shop.slot(job_id)
    assert (slot["state"], slot["failure_code"], slot["attempt"]) == (
        "failed",
        "provider",
        attempts,
    )


async def test_news_that_means_no_purchase_of_ours_is_kept_and_left_to_an_operator(
    shop: Shop,
) -> None:
    stranger = news("somebodyelses00000000000000", Status.FAILED)

    with pytest.raises(Permanent, match="no purchase of ours"):
        await shop.follower().hear(stranger)

    (kept,) = await shop.rows("SELECT outcome FROM journal WHERE event_id = $1", stranger.id)
    assert kept["outcome"] == "unknown"


async def test_the_end_of_a_job_closes_its_slots_and_stops_what_runs_at_the_provider(
    shop: Shop,
) -> None:
    shop.emulator.faults.add("slow_run")
    job_id = await shop.order(params={"count": 2})
    await shop.buy_one()
    ended = await end(shop, job_id)

    await CloseEndedJobs(database=shop.database).hear(ended)
    counts = await shop.canceler().run_once()

    assert [slot["state"] for slot in await shop.slots(job_id)] == ["canceled", "canceled"]
    assert counts == {"canceled": 1}
    (bought,) = shop.bought()
    prediction = await eventually(
        "the provider has stopped it",
        lambda: shop.replicate.get(bought["prediction"]),
        holds=lambda read: read.prediction.status is Status.CANCELED,
    )
    assert prediction.prediction.id == bought["prediction"]


async def test_the_end_of_a_job_heard_twice_does_nothing_more(shop: Shop) -> None:
    job_id = await shop.one_slot()
    ended = await end(shop, job_id)
    close = CloseEndedJobs(database=shop.database)

    await close.hear(ended)
    before = await shop.slots(job_id)
    await close.hear(ended)

    assert await shop.slots(job_id) == before


@pytest.mark.system("T3")
async def test_prediction_address_and_start_are_kept_from_the_first_news_on(shop: Shop) -> None:
    shop.emulator.faults.add("slow_run")
    job_id = await shop.one_slot()
    await shop.buy_one()

    (queued,) = await shop.purchases(job_id)
    assert (await shop.job(job_id))["state"] == "queued"
    (bought,) = shop.bought()
    address = f"{shop.emulator.url}/v1/predictions/{bought['prediction']}"
    assert (queued["prediction_id"], queued["url"]) == (bought["prediction"], address)

    # The real start is in the news of the run, not in that of the queue.
    started = news(bought["prediction"], "processing", started_at="2026-06-01T12:00:01.5Z")
    await shop.follower().hear(await shop.ear.hears("prediction.started"))
    await shop.follower().hear(started)

    (running,) = await shop.purchases(job_id)
    assert running["url"] == address
    assert running["started_at"] == datetime(2026, 6, 1, 12, 0, 1, 500_000, tzinfo=UTC)
    assert (await shop.job(job_id))["state"] == "running"


async def test_a_purchase_carries_the_price_hint_of_its_recipe(shop: Shop) -> None:
    job_id = await shop.one_slot()
    await shop.buy_one()
    bought = await eventually_final(shop, job_id)

    assert (bought["micros_per_second"], bought["micros_per_output"]) == (975, 0)
    assert bought["cost_micros"] == round(bought["predict_seconds"] * 975)


async def eventually_final(shop: Shop, job_id: UUID) -> Row:
    """The purchase of the job's only slot, once its verdict is heard."""
    await shop.follower().hear(await shop.ear.hears("prediction.succeeded"))
    (row,) = await shop.purchases(job_id)
    return row


async def _failures(shop: Shop, job_id: UUID) -> bool:
    """Hear what came; whether every purchase so far has failed."""
    follow = shop.follower()
    while shop.ear.heard:
        await follow.hear(shop.ear.heard.pop(0))
    return all(row["status"] == "failed" for row in await shop.purchases(job_id))
