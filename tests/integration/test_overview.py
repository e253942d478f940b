"""The overview on a real database and a real broker."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.clock import utc_now
from shared.db import caps, jobs, journal, overview, parked, rate_limit
from shared.db.connection import Connection, Database
from shared.domain.job import JobState
from shared.domain.level import COUNTED
from shared.domain.overview import Backlog, Concern, Overview
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from shared.messaging.consumer import open_subscriptions
from shared.messaging.levels import QueueLevel
from shared.messaging.publisher import open_publisher
from shared.messaging.topology import (
    AGGREGATOR_SLOTS,
    GENERATOR_JOBS,
    QUEUES,
    REPORT_JOBS,
    STORAGE_OUTPUTS,
    Queue,
)
from shared.overview import Depths, Overviews
from tests.integration.test_db_levels import A_FLOOD
from tests.support.consuming import an_event
from tests.support.days import where_it_is_noon
from tests.support.proxy import proxied
from tests.support.purchases import a_job, a_slot, end_job
from tests.support.waiting import eventually

HERE = where_it_is_noon()
HOUR = timedelta(hours=1)


class NoBroker:
    async def read(self, queues: tuple[Queue, ...]) -> Mapping[str, QueueLevel | None]:
        return dict.fromkeys((queue.name for queue in queues), QueueLevel(0, 1))


def overviews(database: Database, depths: Depths | None = None) -> Overviews:
    return Overviews(database=database, depths=depths or NoBroker(), zone=HERE, files_live=HOUR)


async def seen(database: Database, depths: Depths | None = None) -> Overview:
    return await overviews(database, depths).read()


async def test_an_empty_installation_has_nothing_and_wants_nothing(database: Database) -> None:
    told = await seen(database)

    assert told.concerns == ()
    assert {level.count for level in told.backlog.values()} == {0}
    assert (told.open_jobs.count, told.slots, told.parked, told.dead) == (0, (), 0, 0)
    assert (told.losses.first, told.webhooks.share_taken, told.ended.share_completed) == (
        None,
        None,
        None,
    )
    assert told.money.recipes == ()
    assert [queue.name for queue in told.queues] == [queue.name for queue in QUEUES]


async def test_what_waits_is_told_at_the_place_where_it_waits(database: Database) -> None:
    await a_slot(database, SlotState.IN_DOUBT)
    await a_slot(database, SlotState.SUCCEEDED, prediction_id="made")
    await a_slot(database, SlotState.FAILED, prediction_id="failed")
    silent = await a_slot(database, SlotState.SUBMITTED, prediction_id="silent")
    due = await a_job(database)
    async with database.connection() as db:
        await _ago(db, "prediction", "ask_at", 20, silent.job_id)
        await _ago(db, "slot", "due_at", 90, due)
    await an_order(database)

    told = await seen(database)

    backlog = {stage: level.count for stage, level in told.backlog.items()}
    assert backlog.pop(Backlog.SAY) >= 1
    assert backlog == {
        Backlog.PLAN: 1,
        Backlog.BUY: 1,
        Backlog.DOUBT: 1,
        Backlog.SILENCE: 1,
        Backlog.STORE: 1,
        Backlog.COUNT: 1,
        Backlog.REPORT: 0,
    }
    assert 90 <= told.backlog[Backlog.BUY].seconds < 120
    assert 20 <= told.backlog[Backlog.SILENCE].seconds < 50
    assert {slots.state: slots.level.count for slots in told.slots} == {
        SlotState.PENDING: 1,
        SlotState.IN_DOUBT: 1,
        SlotState.SUCCEEDED: 1,
        SlotState.FAILED: 1,
        SlotState.SUBMITTED: 1,
    }
    assert told.open_jobs.count == 5
    waits = {queue.name: queue.waits.count for queue in told.queues if queue.waits}
    assert waits == {
        GENERATOR_JOBS.name: 1,
        STORAGE_OUTPUTS.name: 1,
        AGGREGATOR_SLOTS.name: 1,
        REPORT_JOBS.name: 0,
    }


async def test_a_completed_job_waits_for_its_report_and_counts_as_ended(database: Database) -> None:
    slot = await a_slot(database, SlotState.STORED)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET stored = 1 WHERE id = $1", slot.job_id)
        await jobs.end(tx, slot.job_id, state=JobState.COMPLETED, canceled=0, reason=None)
    await end_job(database, await a_job(database))

    told = await seen(database)

    assert told.backlog[Backlog.REPORT].count == 1
    assert (told.ended.completed, told.ended.canceled, told.ended.share_completed) == (1, 1, 0.5)
    assert told.slots == ()


async def test_the_next_loss_is_that_of_made_files_or_of_a_silent_prediction(
    database: Database,
) -> None:
    made = await a_slot(database, SlotState.SUCCEEDED, prediction_id="made")
    silent = await a_slot(database, SlotState.SUBMITTED, prediction_id="silent")
    async with database.connection() as db:
        await _ago(db, "slot", "expires_at", -1800, made.job_id)
        await _ago(db, "prediction", "ask_at", 1, silent.job_id)
        await _ago(db, "prediction", "intended_at", 3000, silent.job_id)
        await _ago(db, "prediction", "answered_at", 3000, silent.job_id)

    told = await seen(database)

    assert told.losses.made is not None
    assert told.losses.silent is not None
    assert 1700 < told.losses.made <= 1800
    assert 500 < told.losses.silent <= 600  # an hour after it began
    assert told.losses.first == told.losses.silent
    assert told.concerns == (Concern.LOSS,)


async def test_messages_that_wait_and_dead_ones_stand_with_their_queue(database: Database) -> None:
    async with database.transaction() as tx:
        for name, due_in in (("a", timedelta(minutes=1)), ("b", None)):
            await parked.park(
                tx,
                STORAGE_OUTPUTS.name,
                an_event(name),
                reason="why",
                trace=None,
                attempts=1,
                due_in=due_in,
            )

    told = await seen(database)

    [outputs] = [queue for queue in told.queues if queue.name == STORAGE_OUTPUTS.name]
    assert (outputs.parked.count, outputs.dead.count) == (1, 1)
    assert (told.parked, told.dead, told.concerns) == (1, 1, (Concern.DEAD,))


async def test_an_account_that_is_turned_away_says_until_when_and_why(database: Database) -> None:
    async with database.connection() as db:
        await rate_limit.pause(db, rate_limit.CREATES, lasting=HOUR, reason="402: unpaid")

    told = await seen(database)

    assert told.account.paused_until is not None
    assert timedelta(minutes=59) < told.account.paused_until - told.at <= HOUR
    assert (told.account.reason, told.account.left[rate_limit.CREATES]) == ("402: unpaid", 0)
    assert told.concerns == (Concern.PAUSED,)


async def test_the_money_of_the_day_stands_beside_its_cap_and_what_it_holds(
    database: Database,
) -> None:
    await a_slot(database, SlotState.SUBMITTED)
    async with database.connection() as db:
        await db.execute("UPDATE prediction SET estimate_micros = 4000")
        for recipe, cap in (("variations", 10_000), ("restoration", 1)):
            async with database.transaction() as tx:
                await caps.take(
                    tx,
                    recipe,
                    cap_micros=cap,
                    estimate_micros=4000,
                    wanted=1,
                    zone=HERE,
                    look_again=HOUR,
                )

    told = await seen(database)

    money = {one.recipe: one for one in told.money.recipes}
    assert set(money) == {"variations", "restoration"}
    assert (money["variations"].bill.open, money["variations"].bill.open_micros) == (1, 4000)
    capped = money["variations"].cap
    assert capped is not None
    assert (capped.cap_micros, capped.counted_micros, capped.holds) == (10_000, 8000, False)
    held = money["restoration"].cap
    assert held is not None
    assert held.holds
    assert held.ends_at == told.money.ends
    assert told.money.begins.astimezone(HERE).hour == 0
    assert told.concerns == (Concern.CAPPED,)


async def test_the_broker_tells_how_full_its_queues_are(database: Database, amqp_url: str) -> None:
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        await publisher.publish(an_event())
        asking = subscriptions.levels()

        async def ready() -> dict[str, int | None]:
            queues = (await seen(database, asking)).queues
            return {queue.name: queue.ready for queue in queues}

        told = await eventually(
            "the message is counted", ready, holds=lambda now: now[AGGREGATOR_SLOTS.name] == 1
        )

    assert set(told.values()) == {0, 1}


async def test_a_broker_that_is_away_leaves_its_numbers_out_and_the_rest_is_told(
    database: Database, amqp_url: str
) -> None:
    await a_job(database)
    async with (
        proxied(amqp_url) as (proxy, url),
        open_subscriptions(url, name="t") as subscriptions,
    ):
        await proxy.cut()
        began = asyncio.get_running_loop().time()

        told = await seen(database, subscriptions.levels())

    assert {queue.ready for queue in told.queues} == {None}
    assert Concern.BROKER in told.concerns
    assert told.open_jobs.count == 1
    assert asyncio.get_running_loop().time() - began < 20


class Looks:
    """A broker that counts how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    async def read(self, queues: tuple[Queue, ...]) -> Mapping[str, QueueLevel | None]:
        self.count += 1
        return await NoBroker().read(queues)


async def test_however_many_look_on_one_look_serves_them(database: Database) -> None:
    looks = Looks()
    many = overviews(database, looks)

    told = await asyncio.gather(*(many.read() for _ in range(20)))

    assert looks.count == 1
    assert {id(one) for one in told} == {id(told[0])}


async def test_another_span_is_another_look(database: Database) -> None:
    both = overviews(database)

    short, long = await both.read(), await both.read(lately=HOUR)

    assert (short.seconds, long.seconds) == (900, 3600)


async def test_a_flood_costs_an_overview_no_more_rows_than_a_stream(database: Database) -> None:
    async with database.connection() as db:
        for statement in filter(str.strip, A_FLOOD.split(";")):
            await db.execute(statement)
        # Of the job that is looked at first, so that its slots are the ones that are looked at.
        await db.execute(
            "UPDATE job SET created_at = now() - interval '1 year' WHERE id IN (SELECT job_id FROM slot)"
        )
        weighing = Weighing(db)

        told = await overview.read(
            weighing,
            queues=[queue.name for queue in QUEUES],
            lately=timedelta(minutes=15),
            files_live=HOUR,
        )

    assert told.backlog[Backlog.BUY].count == told.backlog[Backlog.SAY].count == COUNTED
    assert told.open_jobs.count == COUNTED
    assert COUNTED < weighing.rows_read < 20 * COUNTED


class Weighing(Connection):
    """Counts the rows that each question reads of tables and indexes, and answers it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)
        self._connection = connection
        self.rows_read = 0.0

    async def _weigh(self, query: str, *args: Any) -> None:
        rows = await self._connection.fetch(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}", *args
        )
        plan = rows[0]["QUERY PLAN"]
        told = json.loads(plan) if isinstance(plan, str) else plan
        self.rows_read += sum(_read_by(told[0]["Plan"]))

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        await self._weigh(query, *args)
        return await self._connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        await self._weigh(query, *args)
        return await self._connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        await self._weigh(query, *args)
        return await self._connection.fetchval(query, *args)


def _read_by(plan: dict[str, Any]) -> Iterator[float]:
    if "Relation Name" in plan or "Index Name" in plan:
        dropped = plan.get("Rows Removed by Filter", 0)
        yield (plan["Actual Rows"] + dropped) * plan["Actual Loops"]
    for inner in plan.get("Plans", []):
        yield from _read_by(inner)


async def an_order(database: Database) -> None:
    order = Envelope(
        id="order-1",
        type="upload.received",
        source="api",
        time=utc_now(),
        body=b"{}",
        subject=str(UUID(int=7)),
    )
    async with database.transaction() as tx:
        assert await journal.say(tx, order)


async def _ago(tx: Connection, table: str, column: str, seconds: int, job_id: UUID) -> None:
    await tx.execute(
        f"UPDATE {table} SET {column} = now() - $2 * interval '1 second' WHERE job_id = $1",  # noqa: S608
        job_id,
        seconds,
    )
