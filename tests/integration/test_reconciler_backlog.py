"""After an outage: many silent predictions, few reads, and the oldest files go first."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.reconciler.ask import AskSilent
from services.reconciler.reads import Reads
from services.reconciler.way_of_asking import Way, cheaper_way
from shared.db import journal, predictions, rate_limit
from shared.db.connection import Database
from shared.envelope import Envelope
from shared.errors import Transient
from shared.replicate_api import Answer, Replicate
from tests.support.outage import Purchase, enter, lived_through
from tests.support.purchases import MINUTE, a_slot, the_purchase
from tests.support.shop import Shop, open_shop

OUTAGE = timedelta(minutes=30)


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


async def silent(shop: Shop, database_url: str, count: int) -> list[Purchase]:
    """So many predictions that ended over the last half hour, of which nobody was told."""
    made = await lived_through(shop.emulator, count, lasting=OUTAGE)
    await enter(database_url, made)
    return made


async def told(shop: Shop) -> list[Envelope]:
    """What was told of successes, in the order in which the relay will publish it."""
    async with shop.database.transaction() as tx:
        owed = await journal.claim_owed(tx, 1000)
    return [entry.envelope for entry in owed if entry.type == "prediction.succeeded"]


def named(facts: Sequence[Envelope]) -> list[str]:
    return [json.loads(fact.body)["id"] for fact in facts]


def reads(shop: Shop) -> Counter[str]:
    """What the provider was asked for, by its own log."""
    paths = [entry["path"] for entry in shop.emulator.ledger.entries("request", method="GET")]
    return Counter("list" if path.endswith("/predictions") else "single" for path in paths)


class BareList(Replicate):
    """A provider whose list shows no outputs."""

    def __init__(self, whole: Replicate) -> None:
        self._whole = whole

    async def get(self, prediction_id: str) -> Answer:
        return await self._whole.get(prediction_id)

    async def list_between(
        self, after: datetime, before: datetime | None
    ) -> AsyncIterator[tuple[Answer, ...]]:
        async for page in self._whole.list_between(after, before):
            yield tuple(replace(answer, body=_without_output(answer.body)) for answer in page)


def _without_output(body: bytes) -> bytes:
    document: dict[str, Any] = json.loads(body)
    del document["output"]
    return json.dumps(document).encode()


def asker_of(shop: Shop, replicate: Replicate) -> AskSilent:
    return replace(shop.asker(), replicate=replicate)


async def test_many_silent_predictions_are_read_off_the_list_and_told_oldest_first(
    shop: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reconciler.ask.LISTED_TOGETHER", 90)
    made = await silent(shop, database_url, 250)
    await shop.rows("UPDATE prediction SET ask_at = now() - random() * ask_every RETURNING 1")

    counts = await shop.asker().run_once()

    assert counts == {"told": 250}
    age = {one.prediction_id: place for place, one in enumerate(made)}
    places = [age[prediction_id] for prediction_id in named(await told(shop))]
    # Those that were made together end in any order.
    assert all(abs(place - told_as) < 5 for told_as, place in enumerate(places))
    assert reads(shop)["list"] in (3, 4)


async def test_what_the_list_tells_is_the_fact_that_the_webhook_would_have_been(
    shop: Shop, database_url: str
) -> None:
    made = await silent(shop, database_url, 30)
    await shop.asker().run_once()

    first = (await told(shop))[0]

    single = await shop.replicate.get(made[0].prediction_id)
    assert json.loads(first.body) == json.loads(single.body)
    assert first.extensions["darkroom-slot"] == str(made[0].ref)


async def test_what_the_list_lacks_is_asked_about_by_itself(shop: Shop, database_url: str) -> None:
    await silent(shop, database_url, 30)
    await shop.rows(
        "UPDATE prediction SET prediction_id = 'nosuchprediction0000000000'"
        " WHERE ordinal = 7 RETURNING 1"
    )

    counts = await shop.asker().run_once()

    assert counts == {"told": 29, "not_found": 1}
    assert reads(shop) == {"list": 1, "single": 1}


async def test_a_success_whose_output_the_list_leaves_out_is_asked_about_by_itself(
    shop: Shop, database_url: str
) -> None:
    await silent(shop, database_url, 30)

    counts = await asker_of(shop, BareList(shop.replicate)).run_once()

    assert counts == {"told": 30}
    assert all(json.loads(fact.body)["output"] for fact in await told(shop))


async def test_a_list_that_cannot_be_read_holds_nobody_up(shop: Shop, database_url: str) -> None:
    made = await silent(shop, database_url, 30)
    shop.emulator.faults.add("refuse", status=502, on=["list"])

    counts = await shop.asker().run_once()

    assert counts == {"told": 30}
    assert set(named(await told(shop))) == {one.prediction_id for one in made}


async def test_a_throttled_list_holds_every_reader_and_loses_no_question(
    shop: Shop, database_url: str
) -> None:
    await silent(shop, database_url, 30)
    shop.emulator.faults.add("refuse", status=429, retry_after=30, on=["list"])

    counts = await shop.asker().run_once()

    assert counts == {"not_answered": 30}
    assert await shop.reads.take(1) == 0
    waits = await shop.rows("SELECT extract(epoch FROM ask_at - now()) AS s FROM prediction")
    assert {round(float(row["s"]), -1) for row in waits} == {30}


async def test_two_reconcilers_share_a_backlog_and_tell_each_of_it_once(
    shop: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reconciler.ask.LISTED_TOGETHER", 60)
    made = await silent(shop, database_url, 240)

    first, second = await asyncio.gather(shop.asker().run_once(), shop.asker().run_once())

    assert first.get("told", 0) + second.get("told", 0) == 240
    assert "told_again" not in first | second
    assert set(named(await told(shop))) == {one.prediction_id for one in made}
    assert reads(shop)["single"] < 60


async def test_what_was_told_is_not_asked_about_while_it_waits_to_be_heard(
    shop: Shop, database_url: str
) -> None:
    await silent(shop, database_url, 25)
    await shop.asker().run_once()

    (soonest,) = await shop.rows("SELECT min(ask_at) - now() AS wait FROM prediction")

    assert soonest["wait"] > timedelta(minutes=9)


async def test_a_reconciler_that_slept_past_its_lease_does_not_put_off_the_question_of_another(
    database: Database,
) -> None:
    slot = await a_slot(database, "submitted")  # type: ignore[arg-type]
    async with database.connection() as db:
        await db.execute("UPDATE prediction SET ask_at = now()")
        (stale,) = await predictions.to_ask(db, limit=1, lease=timedelta(0))
        (_other,) = await predictions.to_ask(db, limit=1, lease=MINUTE)

        await predictions.ask_in(db, stale, timedelta(hours=5))

    row = await the_purchase(database, slot)
    assert row.ask_at is not None
    async with database.connection() as db:
        assert await db.fetchval(
            "SELECT ask_at < now() + interval '2 minutes' FROM prediction WHERE token = $1",
            row.token,
        )


# ---- the budget


async def test_reads_stay_within_their_share_and_creates_keep_theirs(database: Database) -> None:
    ours = Reads(database=database, per_minute=3000, share=0.8)

    began = time.monotonic()
    at_once = await ours.take(1000) + await ours.take(1000)
    passed = time.monotonic() - began

    async with database.connection() as db:
        (row,) = await db.fetch("SELECT capacity, per_second FROM rate_limit")
        create = await rate_limit.take(db, rate_limit.CREATES, per_minute=600)
    assert row["capacity"] + 60 * row["per_second"] == pytest.approx(2400)
    assert 0 < at_once <= row["capacity"] + passed * row["per_second"]
    assert row["per_second"] <= 40
    assert create is None


async def test_questions_leave_reads_for_those_who_need_one_now(database: Database) -> None:
    ours = Reads(database=database, per_minute=3000, share=0.8)
    await ours.take(1)
    async with database.connection() as db:
        await db.execute(
            "UPDATE rate_limit SET tokens = 15, refilled_at = now() + interval '1 hour'"
        )

    assert await ours.take(1) == 0
    async with ours.one():
        pass  # it would raise where none is left


async def test_each_page_of_a_list_costs_a_read(
    shop: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await silent(shop, database_url, 250)
    taken: list[int] = []
    take = rate_limit.take

    async def counted(*args: Any, tokens: int = 1, **more: Any) -> timedelta | None:
        wait = await take(*args, tokens=tokens, **more)
        taken.append(tokens if wait is None else 0)
        return wait

    monkeypatch.setattr(rate_limit, "take", counted)
    pages = shop.replicate.list_between(made[0].created_at, None)
    sizes = [len(page) async for page in shop.reads.paced(pages)]

    assert sizes == [100, 100, 50]
    assert sum(taken) >= len(sizes)


async def test_an_account_that_is_turned_away_is_not_asked_again_at_once_and_fails_nothing(
    shop: Shop,
) -> None:
    job_id = await shop.one_slot()
    await shop.buy_one()
    shop.emulator.faults.add("refuse", status=402, on=["get", "list"])
    await shop.rows("UPDATE prediction SET ask_at = now()")

    counts = await shop.asker().run_once()
    await shop.rows("UPDATE prediction SET ask_at = now()")
    held = await shop.asker().run_once()

    assert (counts, held) == ({"not_answered": 1}, {})
    assert (await shop.slot(job_id))["failure_code"] is None
    with pytest.raises(Transient):
        async with shop.reads.one():
            pass


@pytest.mark.parametrize(
    ("silent_ones", "made", "way"),
    [
        (1, 1, Way.ONE_BY_ONE),
        (19, 19, Way.ONE_BY_ONE),
        (20, 20, Way.BY_LIST),
        (1000, 1000, Way.BY_LIST),
        (40, 27_000, Way.ONE_BY_ONE),
        (300, 27_000, Way.BY_LIST),
    ],
)
def test_the_list_is_read_where_it_costs_less(silent_ones: int, made: int, way: Way) -> None:
    assert cheaper_way(silent=silent_ones, made=made) is way
