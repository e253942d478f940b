"""Every crossing of a wish to cancel, or of a deadline, with what its job is just doing: on a real
Postgres, against the emulator, by the services' own handlers."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from services.aggregator.handlers import EndJobs
from services.generator.follow import CloseEndedJobs
from services.generator.original import Originals
from shared import recipes
from shared.clock import utc_now
from shared.db import jobs, journal, slots
from shared.db.connection import Database
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, Move, SlotState
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.events import (
    Artifact,
    ArtifactsStored,
    JobCanceled,
    JobCancelRequested,
    JobCompleted,
    JobDeadlineReached,
    JobEnded,
    JobFailed,
    SlotFailed,
    read,
    state,
)
from shared.recipes.standing import typical_of
from tests.support.locks import somebody_waits_for_a_lock
from tests.support.purchases import (
    a_job,
    always,
    bought,
    claim,
    hear,
    news,
    the_job,
    the_purchase,
    the_slot,
)
from tests.support.shop import Shop, open_shop
from tests.support.waiting import eventually

ENDS = {fact.type: fact for fact in (JobCompleted, JobFailed, JobCanceled)}


@pytest_asyncio.fixture
async def shop(database: Database, bucket: dict[str, str]) -> AsyncIterator[Shop]:
    async with open_shop(database, bucket, run_s=0.1, cold_start_s=0.0) as opened:
        yield opened


def wish(job_id: UUID, reason: str = "changed my mind") -> Envelope:
    fact = JobCancelRequested(job_id=job_id, reason=reason)
    return state(fact, source="shop", now=utc_now(), event_id=uuid4().hex)


def deadline(job_id: UUID) -> Envelope:
    return state(JobDeadlineReached(job_id=job_id), source="reconciler", now=utc_now())


def an_aggregator(database: Database) -> EndJobs:
    known = {recipe.name: recipe for recipe in recipes.RECIPES}
    return EndJobs(database=database, recipes=known, now=utc_now)


async def ends(database: Database, job_id: UUID) -> list[Envelope]:
    async with database.connection() as db:
        entries = await journal.of_job(db, job_id)
    return [entry.envelope for entry in entries if entry.type in ENDS]


async def the_end(database: Database, job_id: UUID) -> JobEnded:
    [end] = await ends(database, job_id)
    return read(ENDS[end.type], end)


async def cancel(database: Database, job_id: UUID) -> None:
    """The wish is heard, and so is the end that it brings, if it brings one."""
    await an_aggregator(database).one(wish(job_id))
    for end in await ends(database, job_id):
        await CloseEndedJobs(database=database).hear(end)


async def outcomes(database: Database, job_id: UUID) -> list[str | None]:
    """What became of each wish, in the order in which they were heard."""
    async with database.connection() as db:
        entries = await journal.of_job(db, job_id)
    return [entry.outcome for entry in entries if entry.type == JobCancelRequested.type]


async def store(database: Database, job_id: UUID, ordinal: int = 1) -> Envelope:
    """A slot that succeeded is stored, as storage does it; the fact that says so."""
    fact = ArtifactsStored(job_id=job_id, ordinal=ordinal, attempt=1, artifacts=())
    said = state(fact, source="storage", now=utc_now())
    async with database.transaction() as tx:
        assert await jobs.hold_open(tx, job_id)
        slot = await slots.lock(tx, job_id, ordinal)
        assert slot is not None
        assert await slots.move(tx, slot, Move(SlotState.STORED))
        await journal.say(tx, said, ordinal=ordinal)
    return said


async def succeed(database: Database, job_id: UUID, ordinal: int = 1) -> None:
    """A slot is bought, and its prediction has succeeded."""
    slot = await the_slot(database, job_id, ordinal)
    if slot.state is SlotState.PENDING:
        async with database.transaction() as tx:
            await claim(tx)
        slot = await the_slot(database, job_id, ordinal)
    prediction_id = uuid4().hex[:26]
    await bought(database, slot, prediction_id)
    await hear(database, news(prediction_id, "succeeded", output="u"), now=utc_now())


# ---- cancel × the order


async def test_an_order_whose_wish_came_first_is_canceled_and_nothing_is_fetched_or_bought(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inspect(*_about: object) -> Artifact:
        raise AssertionError("the original was looked at")

    monkeypatch.setattr(Originals, "inspect", inspect)
    job_id = uuid4()
    await cancel(shop.database, job_id)
    assert await outcomes(shop.database, job_id) == ["waits"]

    await shop.order(job_id=job_id, external_ref="order-17")

    job = await the_job(shop.database, job_id)
    told = await the_end(shop.database, job_id)
    assert isinstance(told, JobCanceled)
    assert (job.state, job.n, job.reason) == ("canceled", 0, "changed my mind")
    assert (told.external_ref, told.reason) == ("order-17", "changed my mind")
    assert await outcomes(shop.database, job_id) == ["cancels"]
    assert isinstance(await shop.buyer().claim(), timedelta)


async def test_a_wish_that_comes_while_its_order_is_planned_cancels_it_before_anything_is_bought(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, inspect = uuid4(), Originals.inspect

    async def meanwhile(*about: object) -> Artifact:
        await cancel(shop.database, job_id)
        return await inspect(*about)  # type: ignore[arg-type]

    monkeypatch.setattr(Originals, "inspect", meanwhile)
    await shop.order(job_id=job_id)

    assert (await the_job(shop.database, job_id)).state == "canceled"
    assert isinstance(await the_end(shop.database, job_id), JobCanceled)
    files = await shop.rows("SELECT kind FROM artifact WHERE job_id = $1", job_id)
    assert files == [{"kind": "original"}]
    assert isinstance(await shop.buyer().claim(), timedelta)


async def test_a_wish_and_its_order_that_commit_at_one_moment_do_not_miss_each_other(
    shop: Shop,
) -> None:
    job_id, heard = uuid4(), wish(uuid4())

    async with shop.database.transaction() as tx:
        # The wish has looked for its job, and there was none.
        await jobs.hold_order(tx, job_id)
        assert await jobs.lock(tx, job_id) is None
        planning = asyncio.create_task(shop.order(job_id=job_id))
        await somebody_waits_for_a_lock(shop.database)
        await journal.hear(tx, heard, outcome=journal.WAITS, job_id=job_id)
    await planning

    assert (await the_job(shop.database, job_id)).state == "canceled"


async def test_an_order_that_is_just_committed_is_seen_by_the_wish_that_looks_for_it(
    database: Database,
) -> None:
    job_id = uuid4()

    async with database.transaction() as tx:
        await jobs.hold_order(tx, job_id)
        canceling = asyncio.create_task(cancel(database, job_id))
        await somebody_waits_for_a_lock(database)
        new = jobs.NewJob(id=job_id, recipe="variations", n=2, ordered_at=utc_now())
        assert await jobs.insert(tx, new)
        made = [slots.NewSlot(ordinal=n, model="m", input={}) for n in (1, 2)]
        await slots.insert_all(tx, job_id, made)
    await canceling

    told = await the_end(database, job_id)
    assert (type(told), told.canceled, told.not_bought) == (JobCanceled, 2, 2)


async def test_an_order_that_cannot_be_planned_fails_in_its_own_words_though_a_wish_waits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = uuid4()

    async def meanwhile(*_about: object) -> Artifact:
        await cancel(shop.database, job_id)
        raise Permanent("it is no picture")

    monkeypatch.setattr(Originals, "inspect", meanwhile)
    await shop.order(job_id=job_id)

    job = await the_job(shop.database, job_id)
    assert (job.state, job.reason) == ("failed", "it is no picture")
    assert await outcomes(shop.database, job_id) == ["too_late"]


async def test_a_wish_that_is_heard_twice_before_its_order_cancels_once(shop: Shop) -> None:
    job_id = uuid4()
    for _ in range(2):
        await cancel(shop.database, job_id)

    for _ in range(2):
        await shop.order(job_id=job_id)

    assert await outcomes(shop.database, job_id) == ["cancels", "cancels"]
    assert len(await ends(shop.database, job_id)) == 1


# ---- cancel × create


async def test_a_create_that_is_under_way_is_written_down_and_stopped(shop: Shop) -> None:
    shop.emulator.faults.add("slow_answer", seconds=0.5)
    shop.emulator.faults.add("slow_run")
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    buying = asyncio.create_task(buyer.buy(await shop.claimed(buyer)))

    async def bought_there() -> int:
        return len(shop.bought())

    await eventually("the create is under way", bought_there)

    await cancel(shop.database, job_id)
    await buying

    assert await shop.canceler().run_once() == {"canceled": 1}
    (row,) = await shop.purchases(job_id)
    assert row["prediction_id"] == shop.bought()[0]["prediction"]
    assert (await shop.slot(job_id))["state"] == "canceled"
    await _stopped_at_the_provider(shop)
    told = await the_end(shop.database, job_id)
    assert (told.canceled, told.not_bought, told.stopped) == (1, 0, 0)  # nobody knew yet


async def test_nothing_is_bought_once_the_job_has_ended_though_its_slot_is_not_closed_yet(
    shop: Shop,
) -> None:
    job_id = await shop.one_slot()
    buyer = shop.buyer()
    claimed = await shop.claimed(buyer)

    await an_aggregator(shop.database).one(wish(job_id))
    await buyer.buy(claimed)
    for end in await ends(shop.database, job_id):
        await CloseEndedJobs(database=shop.database).hear(end)

    assert shop.bought() == []
    assert (await shop.slot(job_id))["state"] == "canceled"
    assert [row["outcome"] for row in await shop.purchases(job_id)] == ["not_bought"]


# ---- cancel × doubt


async def test_a_purchase_in_doubt_of_a_canceled_job_is_stopped_when_its_webhook_shows_it(
    shop: Shop,
) -> None:
    shop.emulator.faults.add("lose_create_answer")
    shop.emulator.faults.add("slow_run")
    job_id = await shop.one_slot()
    await shop.buy_one()
    assert (await shop.slot(job_id))["state"] == "in_doubt"

    await cancel(shop.database, job_id)
    assert await shop.canceler().run_once() == {}  # nobody can name it yet
    await shop.follower().hear(await shop.ear.hears("prediction.started"))

    assert await shop.canceler().run_once() == {"canceled": 1}
    await _stopped_at_the_provider(shop)
    (row,) = await shop.purchases(job_id)
    assert (row["adopted"], row["outcome"]) == (True, "accepted")
    assert (await shop.slot(job_id))["state"] == "canceled"


async def test_doubt_that_is_settled_after_the_wish_buys_nothing_anew(shop: Shop) -> None:
    shop.emulator.faults.add("lose_create_answer")
    job_id = await shop.one_slot()
    await shop.buy_one()

    await cancel(shop.database, job_id)
    await shop.settler().run_once()

    assert len(await shop.purchases(job_id)) == 1
    assert (await shop.slot(job_id))["state"] == "canceled"
    assert isinstance(await shop.buyer().claim(), timedelta)


# ---- cancel × what runs, and what it spares


async def test_the_end_tells_what_is_kept_what_was_never_bought_and_what_is_stopped(
    shop: Shop,
) -> None:
    database, job_id = shop.database, await shop.order(params={"count": 3})
    shop.emulator.faults.add("slow_run")
    await shop.buy_one()
    await shop.buy_one()
    first = await the_slot(database, job_id)
    row = await the_purchase(database, first)
    assert row.prediction_id is not None
    await hear(database, news(row.prediction_id, "succeeded", output="u"), now=utc_now())
    await store(database, job_id)

    await cancel(database, job_id)

    told = await the_end(database, job_id)
    assert (told.stored, told.canceled) == (1, 2)
    assert (told.not_bought, told.stopped) == (1, 1)
    typical = typical_of(shop.known["variations"].recipe)
    assert typical is not None
    assert told.saved == pytest.approx(2 * typical.micros() / 1e6)
    assert [slot["state"] for slot in await shop.slots(job_id)] == [
        "stored",
        "canceled",
        "canceled",
    ]


async def test_a_verdict_of_the_very_moment_takes_nothing_back(database: Database) -> None:
    """Between the end of the job and the closing of its slots a prediction fails."""
    job_id = await a_job(database, n=2)
    async with database.transaction() as tx:
        await claim(tx)
    for ordinal in (1, 2):
        await bought(database, await the_slot(database, job_id, ordinal), f"p{ordinal}")
    aggregator = an_aggregator(database)

    await aggregator.one(wish(job_id))
    failed = news("p1", "failed", error="Prediction interrupted; please retry (code: PA)")
    await hear(database, failed, again=always, now=utc_now())
    [end] = await ends(database, job_id)
    await CloseEndedJobs(database=database).hear(end)
    fact = SlotFailed(
        job_id=job_id, ordinal=1, attempt=1, code=FailureCode.PROVIDER, detail="it was interrupted"
    )
    await aggregator.one(state(fact, source="generator", now=utc_now()))

    job = await the_job(database, job_id)
    states = [(await the_slot(database, job_id, n)).state for n in (1, 2)]
    assert states == [SlotState.FAILED, SlotState.CANCELED]  # and no other attempt
    assert (job.state, job.stored, job.failed, job.canceled) == ("canceled", 0, 0, 2)


# ---- cancel × stored, × the last slot


async def test_a_wish_waits_for_what_is_being_stored_and_counts_it(database: Database) -> None:
    job_id = await a_job(database, n=2)
    await succeed(database, job_id)
    async with database.transaction() as tx:
        assert await jobs.hold_open(tx, job_id)
        slot = await slots.lock(tx, job_id, 1)
        assert slot is not None
        canceling = asyncio.create_task(cancel(database, job_id))
        await somebody_waits_for_a_lock(database)
        assert await slots.move(tx, slot, Move(SlotState.STORED))
    await canceling

    job = await the_job(database, job_id)
    assert (job.state, job.stored, job.canceled) == ("canceled", 1, 1)


async def test_what_is_stored_after_the_wish_is_heard_of_is_not_stored(
    database: Database,
) -> None:
    job_id = await a_job(database, n=1)
    await succeed(database, job_id)

    await an_aggregator(database).one(wish(job_id))

    async with database.transaction() as tx:
        assert not await jobs.hold_open(tx, job_id)
    job = await the_job(database, job_id)
    assert (job.state, job.stored, job.canceled) == ("canceled", 0, 1)


async def test_the_last_slot_beats_a_wish_that_is_heard_before_its_news(
    database: Database,
) -> None:
    job_id = await a_job(database, n=1)
    await succeed(database, job_id)
    stored = await store(database, job_id)

    await cancel(database, job_id)
    await an_aggregator(database).one(stored)

    told = await the_end(database, job_id)
    assert (type(told), told.stored, told.canceled) == (JobCompleted, 1, 0)
    assert await outcomes(database, job_id) == ["too_late"]


async def test_of_a_wish_and_a_last_slot_at_the_same_moment_one_ends_the_job(
    database: Database,
) -> None:
    for _ in range(12):
        job_id = await a_job(database, n=1)
        await succeed(database, job_id)

        async def store_and_say(job_id: UUID = job_id) -> None:
            try:
                said = await store(database, job_id)
            except AssertionError:
                return  # its job had ended
            await an_aggregator(database).one(said)

        await asyncio.gather(store_and_say(), cancel(database, job_id))

        job, slot = await the_job(database, job_id), await the_slot(database, job_id)
        for end in await ends(database, job_id):
            await CloseEndedJobs(database=database).hear(end)
        told = await the_end(database, job_id)
        if isinstance(told, JobCompleted):
            assert (job.stored, job.canceled, slot.state) == (1, 0, SlotState.STORED)
        else:
            closed = await the_slot(database, job_id)
            assert (job.stored, job.canceled, closed.state) == (0, 1, SlotState.CANCELED)


# ---- cancel × deadline, × completed


async def test_of_a_wish_and_a_deadline_in_one_batch_the_first_ends_the_job(
    database: Database,
) -> None:
    first, second = await a_job(database, n=2), await a_job(database, n=2)

    await an_aggregator(database).many(
        [wish(first), deadline(first), deadline(second), wish(second)]
    )

    assert (await the_job(database, first)).state == "canceled"
    assert (await the_job(database, second)).state == "failed"
    assert await outcomes(database, second) == ["too_late"]


async def test_of_a_wish_and_a_deadline_at_the_same_moment_one_ends_the_job(
    database: Database,
) -> None:
    for _ in range(8):
        job_id = await a_job(database, n=3)

        await asyncio.gather(
            an_aggregator(database).one(deadline(job_id)),
            an_aggregator(database).one(wish(job_id)),
        )

        job = await the_job(database, job_id)
        told = await the_end(database, job_id)
        assert job.state in ("canceled", "failed")
        assert (told.stored + told.failed + told.canceled, told.not_bought) == (3, 3)


async def test_a_wish_after_the_end_changes_nothing_and_is_seen(database: Database) -> None:
    job_id = await a_job(database, n=1)
    await succeed(database, job_id)
    await an_aggregator(database).one(await store(database, job_id))
    before = await the_job(database, job_id)

    await cancel(database, job_id)

    assert await the_job(database, job_id) == before
    assert isinstance(await the_end(database, job_id), JobCompleted)
    assert await outcomes(database, job_id) == ["too_late"]


# ---- deadlines at the provider


async def test_nothing_is_bought_past_a_deadline_that_nobody_has_said_yet(shop: Shop) -> None:
    late = await shop.order(deadline_seconds=60)
    await shop.rows("UPDATE job SET deadline = now() WHERE id = $1", late)
    in_time = await shop.one_slot()

    claims = await shop.buyer().claim(8)

    assert isinstance(claims, list)
    assert [claimed.slot.job_id for claimed in claims] == [in_time]


async def test_the_provider_is_told_to_end_a_run_soon_after_its_jobs_deadline(
    shop: Shop,
) -> None:
    await shop.order(params={"count": 1}, deadline_seconds=300)
    await shop.buy_one()

    told = await _told_deadline(shop)
    assert told is not None
    assert timedelta(seconds=300) < told < timedelta(seconds=315)


async def test_without_a_deadline_the_provider_is_told_none(shop: Shop) -> None:
    await shop.one_slot()
    await shop.buy_one()

    assert await _told_deadline(shop) is None


async def test_a_run_past_its_deadline_ends_though_nobody_of_us_is_there_to_cancel_it(
    database: Database, bucket: dict[str, str]
) -> None:
    async with open_shop(database, bucket, cold_start_s=0.0, speed=20) as shop:
        shop.emulator.faults.add("slow_run")
        job_id = await shop.order(params={"count": 1}, deadline_seconds=5)
        await shop.buy_one()

        await shop.follower().hear(await shop.ear.hears("prediction.canceled"))

        (row,) = await shop.purchases(job_id)
        assert (row["status"], row["cancel_sent_at"]) == ("canceled", None)
        assert (await shop.slot(job_id))["failure_code"] == "canceled"
        assert len(shop.bought()) == 1


async def _told_deadline(shop: Shop) -> timedelta | None:
    """How long the provider was told to let the only purchase live; None: for ever."""
    answer = await shop.replicate.get(shop.bought()[0]["prediction"])
    told = json.loads(answer.body)
    if "deadline" not in told:
        return None
    return datetime.fromisoformat(told["deadline"]) - datetime.fromisoformat(told["created_at"])


async def _stopped_at_the_provider(shop: Shop) -> None:
    (entry,) = shop.bought()
    await eventually(
        "the provider has stopped it",
        lambda: shop.replicate.get(entry["prediction"]),
        holds=lambda read: read.prediction.status in (Status.CANCELED, Status.ABORTED),
    )
