"""What a recipe may cost a day holds, whoever buys and however many do."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Never
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from services.generator.buy import Buyer, Terms
from services.generator.hold import Capped, Caps
from services.reconciler.levels import MeasureLevels
from shared import recipes
from shared.clock import utc_now
from shared.db import caps, levels, live, predictions, slots, spend
from shared.db.connection import Connection, Database, open_database
from shared.db.predictions import Purchase
from shared.db.spend import By, Cost
from shared.domain.cap import Day, day_of
from shared.domain.cost import Bill
from shared.domain.slot import SlotState
from tests.support.days import where_it_is_noon
from tests.support.locks import somebody_waits_for_a_lock
from tests.support.purchases import a_job, a_slot, end_job, hear, news
from tests.support.shop import Shop, open_shop
from tests.support.waiting import eventually

CENT = 10_000
A_DAY = timedelta(days=1)
HERE = where_it_is_noon()
LONG = timedelta(minutes=10)
# A picture for a cent.
KNOWN = recipes.configured({"MODEL_PRICES": "stability-ai/sdxl=0.01/output"})


def under(cents: float, *, look_again: timedelta = LONG, zone: tzinfo = HERE) -> Caps:
    """So many cents a day for variations, each of which is expected to cost one."""
    capped = Capped(cap_micros=round(cents * CENT), estimate_micros=CENT)
    return Caps(recipes={"variations": capped}, zone=zone, look_again=look_again)


class NobodySells:
    """In the place of provider and bucket, for who only claims."""

    def __getattr__(self, name: str) -> Never:
        raise AssertionError(f"{name} is asked of nobody")


def a_buyer(database: Database, capped: Caps, *, creates_per_minute: int = 600_000) -> Buyer:
    nobody: Any = NobodySells()
    return Buyer(
        database=database,
        replicate=nobody,
        bucket=nobody,
        recipes=KNOWN,
        terms=Terms(
            creates_per_minute=creates_per_minute,
            at_once=16,
            create_within=timedelta(seconds=5),
            lease=timedelta(minutes=5),
            link_lifetime=timedelta(hours=6),
            webhook_url=None,
            caps=capped,
        ),
        now=utc_now,
        chance=lambda: 0.0,
        new_token=lambda: f"token-{uuid4().hex}",
    )


async def bought_by(buyer: Buyer, *, most: int = 16) -> int:
    """How many it claims, with their intents, until it finds nothing to do."""
    count = 0
    while True:
        claims = await buyer.claim(most)
        if isinstance(claims, list):
            count += len(claims)
        elif claims > timedelta(0):
            return count


@asynccontextmanager
async def replicas(database_url: str, count: int) -> AsyncIterator[list[Database]]:
    """Each with a pool of its own, as processes have."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                open_database(database_url, name=f"replica-{number}", max_size=2)
            )
            for number in range(count)
        ]


async def ask(database: Database, sql: str, *args: object) -> Any:
    async with database.connection() as db:
        return await db.fetchval(sql, *args)


async def states(database: Database) -> dict[str, int]:
    async with database.connection() as db:
        rows = await db.fetch("SELECT state, count(*) AS count FROM slot GROUP BY state")
    return {row["state"]: row["count"] for row in rows}


async def counted(database: Database) -> int:
    """What today counts as, from the purchases themselves."""
    async with database.connection() as db:
        day = day_of(await db.fetchval("SELECT now()"), HERE)
        return (await caps.spent_on(db, "variations", day, estimate_micros=CENT)).micros


async def cost(database: Database, job_id: UUID, ordinal: int, cents: float) -> None:
    """The verdict of a purchase, with its price chosen so that it has cost so much."""
    prediction = f"p-{job_id}-{ordinal}"
    async with database.transaction() as tx:
        row = await tx.fetchrow(
            """
            UPDATE prediction SET micros_per_second = $3, micros_per_output = 0
             WHERE job_id = $1 AND ordinal = $2 AND outcome = 'intended'
         RETURNING token
            """,
            job_id,
            ordinal,
            round(cents * CENT),
        )
    assert row is not None
    ref = f"{job_id}.{ordinal}.1.{row['token']}"
    webhook = f"https://darkroom.example/webhooks/replicate?slot={ref}"
    verdict = news(
        prediction, "succeeded", webhook=webhook, metrics={"predict_time": 1.0}, output=["u"]
    )
    await hear(database, verdict, now=utc_now())


# ---- the cap holds


async def test_many_buyers_at_once_buy_what_the_cap_pays_for_and_not_one_more(
    database: Database, database_url: str
) -> None:
    for _ in range(6):
        await a_job(database, n=10)

    async with replicas(database_url, 8) as pools:
        counts = await asyncio.gather(
            *(bought_by(a_buyer(pool, under(23.5)), most=5) for pool in pools)
        )

    assert sum(counts) == 23
    assert await ask(database, "SELECT count(*) FROM prediction") == 23
    assert await counted(database) == 23 * CENT
    assert await states(database) == {"creating": 23, "pending": 37}
    assert await ask(database, "SELECT count(*) FROM slot WHERE failure_code IS NOT NULL") == 0
    assert await ask(database, "SELECT bool_and(due_at > now()) FROM slot WHERE state = 'pending'")


async def test_who_asks_at_the_same_time_waits_and_sees_what_was_granted(
    database: Database,
) -> None:
    await a_job(database, n=1)

    async def take(tx: Connection) -> int:
        granted, _ = await caps.take(
            tx,
            "variations",
            cap_micros=CENT,
            estimate_micros=CENT,
            wanted=1,
            zone=HERE,
            look_again=LONG,
        )
        return granted

    async def other() -> int:
        async with database.transaction() as tx:
            return await take(tx)

    async with database.transaction() as tx:
        assert await take(tx) == 1
        (slot,) = await slots.claim_due(tx, limit=1, lease=LONG)
        await predictions.intend(
            tx, slot, token="t" * 20, create_deadline=LONG, estimate_micros=CENT
        )
        asks = asyncio.create_task(other())
        await somebody_waits_for_a_lock(database)

    assert await asks == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_while_costs_come_in_every_buyer_stays_under_the_cap(
    database: Database, database_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    await a_job(database, n=80)
    done = asyncio.Event()
    highest = 0

    async def settle() -> None:
        """Purchases end one after the other, none dearer than it was expected to be."""
        nonlocal highest
        while not done.is_set():
            highest = max(highest, await counted(database))
            async with database.connection() as db:
                row = await db.fetchrow(
                    "SELECT job_id, ordinal FROM prediction WHERE outcome = 'intended'"
                    " ORDER BY ordinal LIMIT 1"
                )
            if row is not None:
                await cost(database, row["job_id"], row["ordinal"], chance.random())

    # They look again at once, so that what costs less than expected is spent on others.
    capped = under(20, look_again=timedelta(0))

    async def buy(pool: Database) -> None:
        buyer = a_buyer(pool, capped)
        while not done.is_set():
            await buyer.claim(chance.randint(1, 5))

    async def total() -> int:
        return int(await ask(database, "SELECT count(*) FROM prediction"))

    async with replicas(database_url, 6) as pools, asyncio.TaskGroup() as together:
        together.create_task(settle())
        for pool in pools:
            together.create_task(buy(pool))
        await eventually(
            "more were bought than expected costs pay for", total, holds=lambda n: n > 25
        )
        done.set()

    assert highest <= 20 * CENT
    assert await counted(database) <= 20 * CENT


async def test_with_the_provider_itself_only_what_fits_is_bought(
    database: Database, bucket: dict[str, str], database_url: str
) -> None:
    async with open_shop(database, bucket, run_s=600.0) as shop:
        for _ in range(2):
            await shop.order(params={"count": 10})
        each = shop.known["variations"].estimate_micros
        seven = Caps(
            recipes={"variations": Capped(cap_micros=7 * each, estimate_micros=each)},
            zone=HERE,
            look_again=LONG,
        )
        stop = asyncio.Event()

        async def bought() -> list[Any]:
            return shop.bought()

        async with replicas(database_url, 3) as pools, asyncio.TaskGroup() as racing:
            for pool in pools:
                other = Shop(
                    database=pool,
                    emulator=shop.emulator,
                    replicate=shop.replicate,
                    bucket=shop.bucket,
                    ear=shop.ear,
                    sources=shop.sources,
                )
                racing.create_task(other.buyer(caps=seven)(stop))
            await eventually("seven are bought", bought, holds=lambda seen: len(seen) >= 7)
            await eventually(
                "the others are put back",
                lambda: ask(
                    database,
                    "SELECT count(*) FROM slot WHERE state = 'pending' AND due_at > now()",
                ),
                holds=lambda count: count == 13,
            )
            stop.set()

        assert len(shop.bought()) == 7
        assert (await states(database))["pending"] == 13


async def test_purchases_that_turn_out_dearer_are_noticed_by_the_next_one(
    database: Database,
) -> None:
    job_id = await a_job(database, n=10)
    buyer = a_buyer(database, under(10))
    claims = await buyer.claim(2)
    assert isinstance(claims, list)
    for claim in claims:
        await cost(database, job_id, claim.slot.ordinal, 3)

    # Four more at three cents each would be eighteen.
    assert await bought_by(buyer) == 1
    assert await counted(database) == 9 * CENT


# ---- what counts, and when


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Purchase.INTENDED, True),
        (Purchase.IN_DOUBT, True),
        (Purchase.NOT_LISTED, False),
        (Purchase.REFUSED, False),
        (Purchase.NOT_BOUGHT, False),
    ],
)
async def test_a_purchase_counts_until_it_is_known_not_to_be_one(
    database: Database, outcome: Purchase, counts: bool
) -> None:
    job_id = await a_job(database, n=2)
    buyer = a_buyer(database, under(1))
    assert isinstance(await buyer.claim(1), list)
    async with database.transaction() as tx:
        await predictions.set_outcome(tx, job_id, 1, 1, outcome)

    assert await bought_by(buyer) == (0 if counts else 1)


async def test_what_is_heard_of_after_all_counts_again(database: Database) -> None:
    job_id = await a_job(database, n=2)
    buyer = a_buyer(database, under(1))
    assert isinstance(await buyer.claim(1), list)
    async with database.transaction() as tx:
        await predictions.set_outcome(tx, job_id, 1, 1, Purchase.NOT_LISTED)
    assert await counted(database) == 0

    row = await ask(database, "SELECT token FROM prediction")
    url = f"https://darkroom.example/webhooks/replicate?slot={job_id}.1.1.{row}"
    await hear(database, news("p-late", "processing", webhook=url))

    assert await counted(database) > 0


async def test_a_new_day_begins_with_nothing_spent(database: Database) -> None:
    await a_job(database, n=4)
    buyer = a_buyer(database, under(2))
    assert await bought_by(buyer) == 2
    await ask(database, "UPDATE prediction SET intended_at = intended_at - interval '1 day'")
    await ask(
        database,
        "UPDATE cost_cap SET begins_at = begins_at - interval '1 day', ends_at = begins_at",
    )
    await ask(database, "UPDATE slot SET due_at = now() WHERE state = 'pending'")

    assert await bought_by(buyer) == 2


async def test_what_waits_is_bought_at_the_midnight_of_the_zone(database: Database) -> None:
    await a_job(database, n=3)
    # A place where it is a few seconds to midnight.
    soon = (utc_now() + timedelta(seconds=6)).replace(microsecond=0)
    zone = timezone(-timedelta(hours=soon.hour, minutes=soon.minute, seconds=soon.second))
    buyer = a_buyer(database, under(1, zone=zone))
    first = await bought_by(buyer)

    async def more() -> int:
        return await bought_by(buyer)

    assert first == 1
    assert await ask(database, "SELECT max(due_at) FROM slot") < soon + timedelta(milliseconds=1)
    assert await eventually("one more is bought", more, within=40) == 1


async def test_a_raised_cap_is_noticed_at_the_next_look(database: Database) -> None:
    await a_job(database, n=5)
    look = timedelta(milliseconds=200)
    assert await bought_by(a_buyer(database, under(1, look_again=look))) == 1

    richer = a_buyer(database, under(3, look_again=look))
    bought = 0

    async def in_all() -> int:
        nonlocal bought
        bought += await bought_by(richer)
        return bought

    await eventually("two more are bought", in_all, holds=lambda count: count == 2)


# ---- what is held


async def test_held_slots_stand_in_nobodys_way_and_keep_their_order(database: Database) -> None:
    first = await a_job(database, n=20)
    second = await a_job(database, n=20)
    other = await a_job(database, n=1, recipe="restoration")

    buyer = a_buyer(database, under(0))
    refused = await buyer.claim(16)
    claims = await buyer.claim(16)

    assert refused == timedelta(0)
    assert isinstance(claims, list)
    assert [claim.slot.job_id for claim in claims] == [other]
    async with database.connection() as db:
        rows = await db.fetch(
            "SELECT job_id, ordinal, state FROM slot WHERE state = 'pending' ORDER BY due_at, ordinal"
        )
    assert [(row["job_id"], row["ordinal"]) for row in rows] == [
        *((first, ordinal) for ordinal in range(1, 21)),
        *((second, ordinal) for ordinal in range(1, 21)),
    ]


async def test_no_token_of_the_account_is_used_for_what_is_held(database: Database) -> None:
    await a_job(database, n=5)

    # Ten may lie there, and one flows back in a second.
    await bought_by(a_buyer(database, under(0), creates_per_minute=60))

    assert await ask(database, "SELECT capacity - tokens FROM rate_limit") < 1


async def test_a_job_whose_slots_are_held_ends_by_a_cancel_like_any_other(
    database: Database,
) -> None:
    job_id = await a_job(database, n=2)
    await bought_by(a_buyer(database, under(0)))

    await end_job(database, job_id)

    assert await states(database) == {"canceled": 2}


async def test_that_a_job_is_held_is_told_until_it_is_not_said_anew(database: Database) -> None:
    job_id = await a_job(database, n=1)
    other = await a_job(database, n=1, recipe="restoration")
    await bought_by(a_buyer(database, under(0)))

    async def told(job: UUID) -> datetime | None:
        async with database.connection() as db:
            now = await live.read(db, job)
        assert now is not None
        return now.held_until

    ends = await ask(database, "SELECT ends_at FROM cost_cap")
    assert (await told(job_id), await told(other)) == (ends, None)

    await ask(database, "UPDATE cost_cap SET held_until = now() - interval '1 second'")
    assert await told(job_id) is None


async def test_held_slots_are_no_backlog_and_have_a_metric_of_their_own(database: Database) -> None:
    await a_job(database, n=5)
    await bought_by(a_buyer(database, under(2)))

    await MeasureLevels(database=database).run_once()

    def told(name: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"recipe": "variations"})

    async with database.connection() as db:
        assert (await levels.read(db)).due.count == 0
    assert told("darkroom_cost_cap_dollars") == pytest.approx(0.02)
    assert told("darkroom_cost_cap_counted_dollars") == pytest.approx(0.02)
    assert told("darkroom_cost_cap_holds") == 1

    await ask(database, "UPDATE cost_cap SET begins_at = '2026-01-01', ends_at = '2026-01-02'")
    await MeasureLevels(database=database).run_once()
    assert told("darkroom_cost_cap_holds") is None


# ---- who has no cap


async def test_who_has_no_cap_asks_the_database_nothing_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        really = getattr(Connection, name)

        async def noted(self: Connection, query: str, *args: Any, _really: Any = really) -> Any:
            asked.append(query)
            return await _really(self, query, *args)

        monkeypatch.setattr(Connection, name, noted)
    await a_job(database, n=2)
    await a_job(database, n=1, recipe="restoration")
    await a_job(database, n=1)

    async def asked_by(capped: Caps) -> list[str]:
        asked.clear()
        assert isinstance(await a_buyer(database, capped).claim(1), list)
        return list(asked)

    await asked_by(Caps())  # the first call of all makes the account's row
    without = await asked_by(Caps())
    of_another = await asked_by(under(5))
    of_this = await asked_by(under(5))

    assert of_another == without
    assert not any("cost_cap" in query for query in without)
    assert any("cost_cap" in query for query in of_this)


# ---- what it cost


@pytest_asyncio.fixture
async def a_week(database: Database) -> dict[str, UUID]:
    """Two jobs of yesterday and today, and one that was deleted meanwhile."""
    jobs = {}
    for name, recipe, micros, estimate, days in (
        ("paid", "variations", 700, 900, 1),
        ("open", "variations", None, 900, 0),
        ("unknown", "restoration", None, None, 0),
    ):
        slot = await a_slot(database, SlotState.RUNNING, prediction_id=f"p-{name}", recipe=recipe)
        jobs[name] = slot.job_id
        await ask(
            database,
            "UPDATE prediction SET cost_micros = $2, estimate_micros = $3, predict_seconds = 2,"
            " intended_at = now() - make_interval(days => $4) WHERE job_id = $1",
            slot.job_id,
            micros,
            estimate,
            days,
        )
    jobs["gone"] = uuid4()
    await ask(
        database,
        "INSERT INTO tombstone (job_id, recipe, state, n, stored, failed, canceled, purchases,"
        " predict_seconds, cost_micros, created_at, ended_at)"
        " VALUES ($1, 'variations', 'completed', 1, 1, 0, 0, 3, 6, 5000,"
        " now() - interval '1 day', now())",
        jobs["gone"],
    )
    return jobs


async def costs(database: Database, by: By) -> list[Cost]:
    async with database.connection() as db:
        now = await db.fetchval("SELECT now()")
        days = {
            "today": Day(now - timedelta(hours=12), now + timedelta(hours=12)),
            "yesterday": Day(now - timedelta(hours=36), now - timedelta(hours=12)),
        }
        return await spend.costs(db, by, days=days)


async def test_what_was_bought_adds_up_by_recipe_day_and_job(
    database: Database, a_week: dict[str, UUID]
) -> None:
    paid = Bill(paid=1, paid_micros=700)
    gone = Bill(paid=3, paid_micros=5000)
    open_ = Bill(open=1, open_micros=900)
    unknown = Bill(open=1, unknown=1)

    assert await costs(database, By.RECIPE) == [
        Cost(
            name="variations",
            bill=Bill(paid=4, paid_micros=5700, open=1, open_micros=900),
            seconds=10.0,
        ),
        Cost(name="restoration", bill=unknown, seconds=2.0),
    ]
    assert await costs(database, By.DAY) == [
        Cost(name="today", bill=Bill(open=2, open_micros=900, unknown=1), seconds=4.0),
        Cost(name="yesterday", bill=Bill(paid=4, paid_micros=5700), seconds=8.0),
    ]
    assert {one.name: one.bill for one in await costs(database, By.JOB)} == {
        str(a_week["gone"]): gone,
        str(a_week["open"]): open_,
        str(a_week["paid"]): paid,
        str(a_week["unknown"]): unknown,
    }
