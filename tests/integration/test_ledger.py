"""The spend ledger: every purchase has one fate, and the provider's list agrees, id by id."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest_asyncio

from shared.clock import utc_now
from shared.db import spend
from shared.db.connection import Database
from shared.db.spend import BOUGHT, Fate
from shared.domain.slot import SlotState
from tests.support.purchases import a_slot, doubted, end_job, given_up, hear, news
from tests.support.purchases import bought as bought_as
from tests.support.shop import Shop, open_shop

TOKEN = "r8_ledger0000000000000000000000000000000"


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


async def fates(database: Database) -> dict[Fate, int]:
    async with database.connection() as db:
        spends = await spend.by_fate(db, since=utc_now() - timedelta(hours=1))
    return {one.fate: one.count for one in spends}


async def darkroom_ledger(shop: Shop, database_url: str) -> tuple[int, dict[str, Any]]:
    """The command as an operator types it, with nothing young enough to be left out."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "ledger", "--settled", "0s", "--json"),
        env={
            "DATABASE_URL": database_url,
            "REPLICATE_API_TOKEN": TOKEN,
            "REPLICATE_BASE_URL": shop.emulator.url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode or 0, json.loads(out)


async def bought(shop: Shop, count: int) -> list[str]:
    """So many purchases whose success was heard; their predictions' ids."""
    await shop.order(params={"count": count})
    for _ in range(count):
        await shop.buy_one()
    for _ in range(count):
        await shop.ear.hears("prediction.succeeded")
    ids = [str(entry["prediction"]) for entry in shop.bought()]
    for prediction_id in ids:
        answer = await shop.replicate.get(prediction_id)
        await hear(shop.database, news(prediction_id, answer.prediction.raw_status), now=utc_now())
    return ids


async def test_each_purchase_has_the_fate_that_its_rows_tell(database: Database) -> None:
    await a_slot(database, SlotState.CREATING)
    await a_slot(database, SlotState.IN_DOUBT)
    for number, state in enumerate(
        (SlotState.RUNNING, SlotState.SUCCEEDED, SlotState.STORED, SlotState.FAILED)
    ):
        await a_slot(database, state, prediction_id=f"p-{number}")
    ended = await a_slot(database, SlotState.RUNNING, prediction_id="p-late")
    await end_job(database, ended.job_id)
    await hear(database, news("p-late", "succeeded"), now=utc_now())

    assert await fates(database) == {
        Fate.INTENDED: 1,
        Fate.IN_DOUBT: 1,
        Fate.RUNNING: 1,
        Fate.TO_STORE: 1,
        Fate.STORED: 1,
        Fate.FAILED: 1,
        Fate.UNNEEDED: 1,
    }


async def test_a_purchase_beside_the_one_that_won_is_a_duplicate(database: Database) -> None:
    first = await a_slot(database, SlotState.IN_DOUBT)
    second = await given_up(database, first)
    await bought_as(database, second, "p-second")
    rows = await database_rows(database, "SELECT token, attempt FROM prediction ORDER BY attempt")
    assert [row["attempt"] for row in rows] == [1, 2]
    await hear(database, news("p-second", "succeeded"), now=utc_now())

    before = await fates(database)
    orphan = {"slot": f"{first.job_id}.1.1.{rows[0]['token']}"}
    await hear(
        database,
        news("p-first", "succeeded", extensions={"darkroom-slot": orphan["slot"]}),
        now=utc_now(),
    )

    assert before == {Fate.NOT_LISTED: 1, Fate.TO_STORE: 1}
    assert await fates(database) == {Fate.DUPLICATE: 1, Fate.TO_STORE: 1}


async def test_what_was_doubted_and_adopted_says_so(database: Database) -> None:
    slot = await doubted(database, await a_slot(database, SlotState.CREATING))
    (row,) = await database_rows(database, "SELECT token FROM prediction")
    await hear(
        database,
        news("p1", "processing", extensions={"darkroom-slot": f"{slot.job_id}.1.1.{row['token']}"}),
    )

    async with database.connection() as db:
        (one,) = await spend.by_fate(db, since=utc_now() - timedelta(hours=1))
    assert (one.fate, one.count, one.adopted) == (Fate.RUNNING, 1, 1)


async def test_the_ledger_agrees_with_the_provider_to_the_prediction(
    shop: Shop, database_url: str
) -> None:
    await bought(shop, 3)

    code, told = await darkroom_ledger(shop, database_url)

    assert code == 0
    assert (told["balance"]["listed"], told["balance"]["ours"]) == (3, 3)
    assert told["balance"]["holds"] is True
    assert sum(one["count"] for one in told["fates"] if Fate(one["fate"]) in BOUGHT) == 3


async def test_a_purchase_that_the_ledger_lacks_is_named(shop: Shop, database_url: str) -> None:
    ids = await bought(shop, 2)
    await shop.rows("DELETE FROM prediction WHERE prediction_id = $1 RETURNING 1", ids[0])

    code, told = await darkroom_ledger(shop, database_url)

    assert code == 1
    assert list(told["balance"]["unaccounted"]) == [ids[0]]


async def test_a_purchase_that_the_provider_does_not_know_is_named(
    shop: Shop, database_url: str
) -> None:
    ids = await bought(shop, 2)
    await shop.rows(
        "UPDATE prediction SET prediction_id = 'p-of-nobody' WHERE prediction_id = $1 RETURNING 1",
        ids[0],
    )

    code, told = await darkroom_ledger(shop, database_url)

    assert code == 1
    assert told["balance"]["unlisted"] == ["p-of-nobody"]
    assert list(told["balance"]["unaccounted"]) == [ids[0]]


async def test_two_ends_of_one_prediction_are_named(shop: Shop, database_url: str) -> None:
    ids = await bought(shop, 1)
    await shop.rows("UPDATE prediction SET status = 'canceled' RETURNING 1")

    code, told = await darkroom_ledger(shop, database_url)

    assert code == 1
    assert told["balance"]["contradicting"] == {ids[0]: "canceled here, succeeded there"}


async def test_a_list_that_cannot_be_read_is_no_balance(shop: Shop, database_url: str) -> None:
    await bought(shop, 1)
    shop.emulator.faults.add("refuse", status=502, on=["list"])

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "ledger"),
        env={
            "DATABASE_URL": database_url,
            "REPLICATE_API_TOKEN": TOKEN,
            "REPLICATE_BASE_URL": shop.emulator.url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()

    assert process.returncode == 3
    assert b"the ledger could not be read" in err


async def database_rows(database: Database, sql: str) -> list[dict[str, Any]]:
    async with database.connection() as db:
        return [dict(row) for row in await db.fetch(sql)]
