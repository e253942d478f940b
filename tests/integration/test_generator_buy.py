"""The buyer: each slot is bought once, whatever becomes of the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from services.generator.settings import webhook_url
from shared.db import rate_limit
from shared.db.connection import Connection, Database
from shared.errors import DatabaseUnavailable, Transient
from shared.recipes.variations import VARIATIONS
from tests.support.purchases import end_job, hear
from tests.support.shop import Shop, open_shop
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


async def test_a_due_slot_is_bought_and_its_prediction_written_down(shop: Shop) -> None:
    job_id = await shop.one_slot()

    await shop.buy_one()

    (entry,) = shop.bought()
    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == entry["prediction"]
    assert (row["outcome"], row["adopted"]) == ("accepted", False)
    assert (await shop.slot(job_id))["state"] == "submitted"
    assert (await shop.job(job_id))["state"] == "queued"
    assert await shop.facts(job_id) == ["upload.received", "job.accepted", "prediction.created"]


async def test_several_slots_are_claimed_together_and_what_was_not_used_is_given_back(
    shop: Shop,
) -> None:
    await shop.order(params={"count": 3})
    buyer = shop.buyer(creates_per_minute=60)

    claims = await buyer.claim(most=8)

    assert isinstance(claims, list)
    assert len({claim.intent.token for claim in claims}) == 3
    (bucket,) = await shop.rows("SELECT capacity - tokens AS used FROM rate_limit")
    assert 2.5 < bucket["used"] <= 3


async def test_with_few_tokens_left_slots_are_claimed_one_by_one(shop: Shop) -> None:
    await shop.order(params={"count": 4})
    buyer = shop.buyer(creates_per_minute=12)  # two at once, then one in six seconds

    counts = [len(c) if isinstance(c := await buyer.claim(most=4), list) else 0 for _ in range(3)]

    assert counts == [1, 1, 0]


async def test_two_buyers_that_race_buy_each_slot_once(shop: Shop) -> None:
    jobs = [await shop.order(params={"count": 4}) for _ in range(3)]
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as racing:
        for _ in range(2):
            racing.create_task(shop.buyer()(stop))

        async def states() -> list[str]:
            return [slot["state"] for job in jobs for slot in await shop.slots(job)]

        await eventually(
            "all slots are bought", states, holds=lambda seen: set(seen) == {"submitted"}
        )
        stop.set()

    named = [entry["webhook"] for entry in shop.bought()]
    assert len(named) == len(set(named)) == 12


async def test_the_input_is_linked_at_the_create_and_the_link_is_kept_nowhere(shop: Shop) -> None:
    job_id = await shop.one_slot()
    await shop.buy_one()

    fetched = await eventually(
        "the provider fetches the original",
        lambda: _entries(shop, "input_fetch"),
    )

    kept = await shop.rows(
        """
        SELECT (SELECT string_agg(slot::text, '') FROM slot)
               || (SELECT string_agg(prediction::text, '') FROM prediction)
               || (SELECT string_agg(convert_from(body, 'UTF8') || headers::text, '') FROM journal)
               AS everything
        """
    )
    assert fetched
    assert f"jobs/{job_id}/original/photo.jpg" in kept[0]["everything"]
    assert "X-Amz" not in kept[0]["everything"]


async def test_a_lost_answer_is_in_doubt_and_adopted_by_its_webhook(shop: Shop) -> None:
    shop.emulator.faults.add("lose_create_answer")
    job_id = await shop.one_slot()
    await shop.buy_one()
    assert (await shop.slot(job_id))["state"] == "in_doubt"

    await shop.follower().hear(await shop.ear.hears("prediction.started"))

    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert row["adopted"] is True
    assert (await shop.slot(job_id))["state"] == "running"
    assert len(shop.bought()) == 1


async def test_what_is_in_doubt_is_not_bought_again(shop: Shop) -> None:
    shop.emulator.faults.add("lose_create_answer")
    await shop.one_slot()
    await shop.buy_one()

    nothing = await shop.buyer().claim()

    assert isinstance(nothing, timedelta)


async def test_a_webhook_that_overtakes_the_answer_changes_nothing_about_it(shop: Shop) -> None:
    shop.emulator.faults.add("slow_answer", seconds=1.0)
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    claim = await shop.claimed(buyer)

    async with asyncio.TaskGroup() as together:
        together.create_task(buyer.buy(claim))
        await shop.follower().hear(await shop.ear.hears("prediction.started"))
        assert (await shop.slot(job_id))["state"] == "running"

    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert row["answered_at"] is not None
    assert (await shop.slot(job_id))["state"] == "running"
    assert (await shop.facts(job_id)).count("prediction.created") == 1


async def test_an_answer_that_comes_after_the_lease_still_counts(shop: Shop) -> None:
    shop.emulator.faults.add("slow_answer", seconds=1.0)
    shop.emulator.faults.add("refuse", status=502, on=["list"])
    job_id = await shop.one_slot()
    buyer = shop.buyer(lease=timedelta(seconds=0.1))
    claim = await shop.claimed(buyer)
    buying = asyncio.create_task(buyer.buy(claim))

    async def doubted() -> str:
        with suppress(Transient):  # the list does not answer, so nothing but the lease tells
            await _settled(shop)
        return str((await shop.slot(job_id))["state"])

    await eventually("the create is under way", lambda: _entries(shop, "purchase"))
    await eventually("the slot is in doubt", doubted, holds=lambda state: state == "in_doubt")
    await buying

    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert (await shop.slot(job_id))["state"] == "submitted"


async def test_an_answer_fills_its_row_also_when_its_slot_is_closed(shop: Shop) -> None:
    shop.emulator.faults.add("slow_answer", seconds=0.5)
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    claim = await shop.claimed(buyer)
    buying = asyncio.create_task(buyer.buy(claim))
    await eventually("the create is under way", lambda: _entries(shop, "purchase"))

    await end_job(shop.database, job_id)
    await buying

    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert row["cancel_wanted_at"] is not None
    assert (await shop.slot(job_id))["state"] == "canceled"


async def test_nothing_is_bought_for_a_job_that_ended_after_the_claim(shop: Shop) -> None:
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    claim = await shop.claimed(buyer)

    await end_job(shop.database, job_id)
    await buyer.buy(claim)

    assert shop.bought() == []
    assert [row["outcome"] for row in await shop.purchases(job_id)] == ["not_bought"]


async def test_nothing_is_bought_once_the_lease_is_over(shop: Shop) -> None:
    job_id = await shop.one_slot()
    buyer = shop.buyer(lease=timedelta(0), create_within=timedelta(0))
    claim = await shop.claimed(buyer)

    await buyer.buy(claim)

    assert shop.bought() == []
    slot = await shop.slot(job_id)
    assert (slot["state"], slot["attempt"]) == ("pending", 1)


@pytest.mark.parametrize("status", [401, 402])
async def test_an_account_that_is_turned_away_pauses_the_buying_and_fails_nothing(
    shop: Shop, status: int
) -> None:
    shop.emulator.faults.add("refuse", status=status)
    job_id = await shop.one_slot()
    buyer = shop.buyer()

    await shop.buy_one(buyer)

    slot = await shop.slot(job_id)
    assert (slot["state"], slot["attempt"], slot["failure_code"]) == ("pending", 1, None)
    assert isinstance(await buyer.claim(), timedelta)
    assert await _paused(shop) is not None


async def test_a_paused_account_buys_the_same_attempt_when_it_may_again(shop: Shop) -> None:
    shop.emulator.faults.add("refuse", status=402)
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    await shop.buy_one(buyer)
    shop.emulator.faults.clear()

    async with shop.database.connection() as db:
        assert await rate_limit.resume(db, rate_limit.CREATES)
    await shop.buy_one(buyer)

    assert [entry["webhook"].split(".")[-2] for entry in shop.bought()] == ["1"]
    assert len(await shop.purchases(job_id)) == 1
    assert (await shop.slot(job_id))["state"] == "submitted"


async def test_each_pause_in_a_row_is_longer_than_the_one_before(shop: Shop) -> None:
    shop.emulator.faults.add("refuse", status=402)
    await shop.one_slot()
    buyer = shop.buyer()
    lasting = []

    for _ in range(3):
        await shop.buy_one(buyer)
        pause = await _paused(shop)
        assert pause is not None
        (row,) = await shop.rows(
            "SELECT paused_until - clock_timestamp() AS left FROM rate_limit WHERE bucket = $1",
            rate_limit.CREATES,
        )
        lasting.append(row["left"])
        async with shop.database.connection() as db:
            await rate_limit.resume(db, rate_limit.CREATES)

    assert lasting[0] < lasting[1] < lasting[2]


async def test_a_throttled_create_waits_as_asked_and_keeps_its_attempt(shop: Shop) -> None:
    shop.emulator.faults.add("refuse", status=429, retry_after=40)
    job_id = await shop.one_slot()
    buyer = shop.buyer()

    await shop.buy_one(buyer)

    (slot,) = await shop.rows(
        "SELECT state, attempt, due_at - now() AS due_in FROM slot WHERE job_id = $1", job_id
    )
    assert (slot["state"], slot["attempt"]) == ("pending", 1)
    assert slot["due_in"] > timedelta(seconds=30)
    async with shop.database.connection() as db:
        wait = await rate_limit.take(db, rate_limit.CREATES, per_minute=60_000)
    assert wait is not None
    assert wait > timedelta(seconds=30)


async def test_a_refused_input_fails_the_slot_with_the_providers_reason(shop: Shop) -> None:
    shop.emulator.faults.add("refuse", status=422)
    job_id = await shop.one_slot()

    await shop.buy_one()

    slot = await shop.slot(job_id)
    assert (slot["state"], slot["failure_code"]) == ("failed", "invalid_input")
    assert slot["failure_detail"] == "input.image: Does not match format 'uri'"
    assert (await shop.facts(job_id))[-1] == "slot.failed"
    assert [row["outcome"] for row in await shop.purchases(job_id)] == ["refused"]


async def test_an_answer_to_an_earlier_attempt_does_not_move_the_slot(shop: Shop) -> None:
    shop.emulator.faults.add("slow_answer", seconds=1.0)
    shop.emulator.faults.add("unreadable_create_answer")
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    claim = await shop.claimed(buyer)
    buying = asyncio.create_task(buyer.buy(claim))
    await eventually("the create is under way", lambda: _entries(shop, "purchase"))

    await shop.rows(
        "UPDATE slot SET state = 'pending', attempt = 2, due_at = now(), lease_until = NULL"
    )
    await shop.claimed(shop.buyer())
    refused = _stale_writes_refused()
    await buying

    slot = await shop.slot(job_id)
    assert (slot["state"], slot["attempt"]) == ("creating", 2)
    outcomes = [row["outcome"] for row in await shop.purchases(job_id)]
    assert outcomes == ["in_doubt", "intended"]
    assert _stale_writes_refused() == refused + 1


async def test_a_provider_that_cannot_be_reached_costs_no_attempt(
    database: Database, bucket: dict[str, str]
) -> None:
    async with open_shop(database, bucket) as shop:
        job_id = await shop.one_slot()
        buyer = shop.buyer()
        claim = await shop.claimed(buyer)
        await shop.emulator.__aexit__(None, None, None)

        await buyer.buy(claim)

        slot = await shop.slot(job_id)
        assert (slot["state"], slot["attempt"]) == ("pending", 1)


async def test_an_answer_whose_commit_is_unknown_is_written_once_more_and_counts_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    claim = await shop.claimed(buyer)
    honest, told = shop.database.transaction, 0

    @asynccontextmanager
    async def unknown_once() -> AsyncIterator[Connection]:
        nonlocal told
        async with honest() as tx:
            yield tx
        told += 1
        if told == 1:
            raise DatabaseUnavailable("the outcome of a commit is unknown")

    monkeypatch.setattr(shop.database, "transaction", unknown_once)
    await buyer.buy(claim)

    assert told == 2
    assert (await shop.slot(job_id))["state"] == "submitted"
    assert (await shop.facts(job_id)).count("prediction.created") == 1
    assert len(shop.bought()) == 1


async def test_a_buyer_that_is_stopped_finishes_what_it_has_in_hand_and_claims_no_more(
    shop: Shop,
) -> None:
    shop.emulator.faults.add("slow_answer", seconds=0.5)
    job_id = await shop.order(params={"count": 2})
    stop = asyncio.Event()
    working = asyncio.create_task(shop.buyer(at_once=1)(stop))
    await eventually("a create is under way", lambda: _entries(shop, "purchase"))

    stop.set()
    await working

    assert sorted(slot["state"] for slot in await shop.slots(job_id)) == ["pending", "submitted"]
    assert len(shop.bought()) == 1


async def test_without_webhooks_the_provider_is_asked_soon(shop: Shop) -> None:
    job_id = await shop.one_slot()

    await shop.buy_one(shop.buyer(webhook_url=None))

    (row,) = await shop.purchases(job_id)
    assert shop.bought()[0]["webhook"] is None
    assert row["ask_every"] <= timedelta(seconds=2)


@pytest.mark.system("T9")
@pytest.mark.parametrize(
    ("ask_after", "silence"),
    [(None, VARIATIONS.typical_run), (timedelta(minutes=5), timedelta(minutes=5))],
)
async def test_the_silence_that_is_worth_a_question_is_the_recipes_or_as_set(
    shop: Shop, ask_after: timedelta | None, silence: timedelta
) -> None:
    job_id = await shop.one_slot()

    await shop.buy_one(shop.buyer(ask_after=ask_after))

    (row,) = await shop.purchases(job_id)
    assert row["ask_every"] == silence


async def test_a_success_of_an_earlier_attempt_is_not_lost_to_a_later_one(shop: Shop) -> None:
    shop.emulator.faults.add("lose_create_answer", times=1)
    job_id = await shop.one_slot()
    await shop.buy_one()
    succeeded = await shop.ear.hears("prediction.succeeded")
    await shop.rows("UPDATE slot SET state = 'pending', attempt = 2, due_at = now()")
    await shop.buy_one()

    recorded = await hear(shop.database, succeeded)

    assert recorded.wins
    first, second = await shop.purchases(job_id)
    assert (await shop.slot(job_id))["winner"] == 1
    assert first["cancel_wanted_at"] is None
    assert second["cancel_wanted_at"] is not None


@pytest.mark.parametrize(
    ("public", "provider", "expected"),
    [
        (
            "https://darkroom.example",
            "https://api.replicate.com",
            "https://darkroom.example/webhooks/replicate",
        ),
        ("http://127.0.0.1:8080", "https://api.replicate.com", None),
        (
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8400",
            "http://127.0.0.1:8080/webhooks/replicate",
        ),
        (
            "http://ingress.localhost:8080",
            "http://emulator:8400",
            "http://ingress.localhost:8080/webhooks/replicate",
        ),
    ],
)
def test_webhooks_are_asked_for_where_the_provider_can_call_us(
    public: str, provider: str, expected: str | None
) -> None:
    assert webhook_url(public, provider) == expected


def _stale_writes_refused() -> float:
    return REGISTRY.get_sample_value("darkroom_stale_writes_refused_total") or 0.0


async def _entries(shop: Shop, kind: str) -> list[object]:
    return list(shop.emulator.ledger.entries(kind))


async def _settled(shop: Shop) -> dict[str, int]:
    return await shop.settler().run_once()


async def _paused(shop: Shop) -> object:
    async with shop.database.connection() as db:
        return await rate_limit.paused(db, rate_limit.CREATES)
