"""News of a run that still runs: progress, the last webhook, and no way back. And its price."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from shared.db import predictions, slots
from shared.db.connection import Connection, Database
from shared.db.predictions import NEARLY_DONE
from shared.db.record import Outcome, record
from shared.db.slots import Slot
from shared.domain.prediction import Status
from shared.domain.slot import Move, SlotState
from shared.envelope import FROM_RECONCILER, FROM_WEBHOOK, ORIGIN, Envelope
from tests.support.purchases import (
    MINUTE,
    NOON,
    PREDICTION,
    a_job,
    a_slot,
    always,
    bought,
    claim,
    given_up,
    hear,
    never,
    news,
    the_job,
    the_purchase,
    the_slot,
)

S = SlotState
BY_WEBHOOK = {ORIGIN: FROM_WEBHOOK}
BY_QUESTION = {ORIGIN: FROM_RECONCILER}


def bar(percent: int) -> str:
    return f"Using seed: 7\n{percent:3d}%|{'█' * (percent // 10):10}| {percent}/100 [00:01<00:02]"


def logs(percent: int, status: str = "processing", **more: Any) -> Envelope:
    return news(PREDICTION, status, logs=bar(percent), extensions=BY_WEBHOOK, **more)


class Counting(Connection):
    """Counts what is asked of Postgres."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)
        self._connection = connection
        self.asked: list[str] = []

    async def fetch(self, query: str, *args: Any) -> Any:
        self.asked.append(query)
        return await self._connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        self.asked.append(query)
        return await self._connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        self.asked.append(query)
        return await self._connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> int:
        self.asked.append(query)
        return await self._connection.execute(query, *args)


# ---- progress


async def test_a_bar_in_the_logs_says_how_far_the_run_is(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    for percent in (10, 30):
        await hear(database, logs(percent))

        assert (await the_purchase(database, slot)).progress == percent / 100


async def test_logs_that_come_late_or_shrink_take_no_progress_back(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)

    for heard in (logs(60), logs(20), news(PREDICTION, "processing", logs="")):
        await hear(database, heard)

        assert (await the_purchase(database, slot)).progress == 0.6


async def test_a_full_bar_is_not_the_end_but_a_success_is(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)

    await hear(database, logs(100))
    assert (await the_purchase(database, slot)).progress == NEARLY_DONE

    await hear(database, news(PREDICTION, "succeeded"))
    assert (await the_purchase(database, slot)).progress == 1.0


async def test_a_failure_leaves_progress_where_it_was(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    await hear(database, logs(40))

    await hear(database, logs(50, "failed", error="E1001"))

    assert (await the_purchase(database, slot)).progress == 0.5


async def test_a_run_that_prints_no_bar_has_no_progress(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    await hear(database, news(PREDICTION, "processing", logs="Using seed: 7\nthinking"))

    assert (await the_purchase(database, slot)).progress is None


# ---- the last webhook


async def test_only_webhooks_count_as_webhooks(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    await hear(database, news(PREDICTION, "processing", extensions=BY_QUESTION))
    asked = await the_purchase(database, slot)
    await hear(database, news(PREDICTION, "processing", extensions=BY_WEBHOOK))
    told = await the_purchase(database, slot)

    assert (asked.last_webhook_at, asked.last_news_at is not None) == (None, True)
    assert told.last_webhook_at == NOON
    assert told.last_news_at > asked.last_news_at  # type: ignore[operator]


async def test_the_last_webhook_is_told_by_when_it_came_and_not_by_when_it_was_handled(
    database: Database,
) -> None:
    slot = await a_slot(database, S.RUNNING)
    later, latest = NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)
    seen = []

    # The second says nothing new and counts; the third lay in a queue; the last is a verdict.
    for status, at in (
        ("processing", later),
        ("processing", latest),
        ("processing", NOON),
        ("failed", later),
    ):
        came = replace(news(PREDICTION, status, extensions=BY_WEBHOOK), time=at)
        await hear(database, came)
        seen.append((await the_purchase(database, slot)).last_webhook_at)

    assert seen == [later, latest, latest, latest]


async def test_a_question_does_not_forget_the_last_webhook(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    await hear(database, logs(10))
    told = (await the_purchase(database, slot)).last_webhook_at

    await hear(database, news(PREDICTION, "processing", extensions=BY_QUESTION))
    await hear(database, news(PREDICTION, "failed", extensions=BY_QUESTION))

    assert told is not None
    assert (await the_purchase(database, slot)).last_webhook_at == told


# ---- no way back


@pytest.mark.system("R2")
@pytest.mark.parametrize("verdict", ["succeeded", "failed", "canceled", "aborted"])
async def test_nothing_that_comes_after_the_verdict_touches_its_prediction(
    database: Database, verdict: str
) -> None:
    slot = await a_slot(database, S.RUNNING)
    await hear(database, logs(30, verdict, metrics={"predict_time": 2}))
    final, closed = await the_purchase(database, slot), await the_slot(database, slot.job_id)

    for late in (logs(90), logs(5, "starting"), logs(90, "succeeded"), logs(90, "failed")):
        recorded = await hear(database, late, again=always)

        assert recorded.outcome is Outcome.NOTHING_NEW
        assert await the_purchase(database, slot) == final
        assert await the_slot(database, slot.job_id) == closed


@pytest.mark.system("R2")
@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_in_whatever_order_news_comes_it_ends_the_same(
    database: Database, order: tuple[int, ...]
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    told = [
        logs(0, "starting"),
        logs(20),
        logs(70, output=["https://replicate.delivery/a.png"]),
        logs(100, "succeeded", metrics={"predict_time": 2}),
    ]
    seen: list[tuple[int, float]] = []

    for number in order:
        await hear(database, told[number])
        row = await the_purchase(database, slot)
        assert row.status is not None
        seen.append((_RANK[row.status], row.progress or 0.0))

    assert seen == sorted(seen)
    row, after = await the_purchase(database, slot), await the_slot(database, slot.job_id)
    assert (row.status, row.progress, row.predict_seconds) == (Status.SUCCEEDED, 1.0, 2)
    assert (after.state, after.winner) == (S.SUCCEEDED, 1)
    assert (await the_job(database, slot.job_id)).state == "running"


_RANK = {Status.STARTING: 1, Status.PROCESSING: 2, Status.SUCCEEDED: 3}


async def test_a_late_start_does_not_make_a_run_start_again(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    before = await the_slot(database, slot.job_id)

    recorded = await hear(database, logs(0, "starting"))

    assert recorded.outcome is Outcome.NOTHING_NEW
    assert (await the_purchase(database, slot)).status is Status.PROCESSING
    assert await the_slot(database, slot.job_id) == before


# ---- a flood


async def test_a_flood_of_logs_costs_two_statements_each(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    asked = []

    for percent in range(1, 40):
        async with database.transaction() as tx:
            counting = Counting(tx)
            await record(counting, logs(percent), again=never, now=NOON)
        asked.append(len(counting.asked))

    assert set(asked) == {2}
    assert (await the_purchase(database, slot)).progress == 0.39


async def test_logs_wait_for_nobody_who_holds_the_slot(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)

    async with database.transaction() as holding:
        await slots.lock(holding, slot.job_id, 1)
        recorded = await hear(database, logs(50))

    assert recorded.outcome is Outcome.NOTHING_NEW
    assert (await the_purchase(database, slot)).progress == 0.5


async def test_news_of_a_run_whose_slot_went_on_is_looked_at_in_full(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    async with database.transaction() as tx:
        assert await slots.move(tx, slot, Move(S.PENDING, next_attempt=True))
    async with database.transaction() as tx:
        (second,) = await claim(tx)
    await bought(database, second, "p2")
    await hear(database, news("p2", "succeeded"))

    recorded = await hear(database, logs(50))

    assert recorded.outcome is Outcome.NOTHING_NEW
    loser = await the_purchase(database, slot, 1)
    assert (loser.progress, loser.cancel_wanted_at is not None) == (0.5, True)


# ---- what it costs


async def test_every_attempt_is_paid_for_at_the_price_of_its_day(database: Database) -> None:
    slot = await a_priced_slot(database, per_second=1000, per_output=0)
    await bought(database, slot, "p1")
    await hear(database, news("p1", "failed", metrics={"predict_time": 2}), again=always)
    async with database.transaction() as tx:
        (second,) = await slots.claim_due(tx, limit=1, lease=MINUTE)
        await intend(tx, second, per_second=50, per_output=7)
    await bought(database, second, "p2")
    await hear(
        database, news("p2", "succeeded", metrics={"predict_time": 4}, output=["u", "v", None])
    )

    first = await the_purchase(database, slot, 1)
    last = await the_purchase(database, slot, 2)
    assert (first.micros_per_second, first.micros_per_output, first.cost_micros) == (1000, 0, 2000)
    assert (last.micros_per_second, last.micros_per_output, last.cost_micros) == (50, 7, 214)


async def test_a_loser_that_ran_to_its_end_is_paid_for_too(database: Database) -> None:
    slot = await a_priced_slot(database, per_second=1000, per_output=0)
    row = await the_purchase(database, slot)
    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, slot.job_id, 1, 1, predictions.Purchase.IN_DOUBT, error="timeout"
        )
        doubted = await slots.move(tx, slot, Move(S.IN_DOUBT))
    assert doubted is not None
    second = await given_up(database, doubted)
    await bought(database, second, "p2")
    await hear(database, news("p2", "succeeded"))

    await hear(database, news("p1", "succeeded", row=row, metrics={"predict_time": 3}))

    assert (await the_purchase(database, slot, 1)).cost_micros == 3000


async def test_what_runs_has_no_cost_and_what_has_no_price_never_gets_one(
    database: Database,
) -> None:
    slot = await a_slot(database, S.RUNNING)
    await hear(database, news(PREDICTION, "processing", metrics={"predict_time": 2}))
    assert (await the_purchase(database, slot)).cost_micros is None

    await hear(database, news(PREDICTION, "succeeded", metrics={"predict_time": 3}))
    assert (await the_purchase(database, slot)).cost_micros is None


async def test_an_attempt_that_was_not_bought_is_intended_again_at_todays_price(
    database: Database,
) -> None:
    slot = await a_priced_slot(database, per_second=1000, per_output=0)
    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, slot.job_id, 1, 1, predictions.Purchase.NOT_BOUGHT, error="429"
        )
        assert await slots.move(tx, slot, Move(S.PENDING))
    async with database.transaction() as tx:
        (again,) = await slots.claim_due(tx, limit=1, lease=MINUTE)
        row = await intend(tx, again, per_second=1200, per_output=None)

    assert (row.attempt, row.micros_per_second, row.micros_per_output) == (1, 1200, None)


async def a_priced_slot(
    database: Database, *, per_second: int | None, per_output: int | None
) -> Slot:
    await a_job(database)
    async with database.transaction() as tx:
        (slot,) = await slots.claim_due(tx, limit=1, lease=MINUTE)
        await intend(tx, slot, per_second=per_second, per_output=per_output)
    return slot


async def intend(
    tx: Connection, slot: Slot, *, per_second: int | None, per_output: int | None
) -> predictions.PredictionRow:
    return await predictions.intend(
        tx,
        slot,
        token=f"token-{slot.attempt:020d}",
        create_deadline=MINUTE,
        micros_per_second=per_second,
        micros_per_output=per_output,
    )
