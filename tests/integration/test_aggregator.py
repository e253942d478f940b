"""The aggregator on a real Postgres: every closed slot counts once, and a job ends once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.aggregator.handlers import EndJobs
from services.reconciler.unreported import RescueReports
from shared import recipes
from shared.clock import utc_now
from shared.db import journal, predictions, slots
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.domain.job import ANY, JobState
from shared.domain.slot import FailureCode, Move, SlotState
from shared.envelope import Envelope
from shared.errors import Permanent, Transient
from shared.events import (
    ArtifactsStored,
    JobCancelRequested,
    JobCompleted,
    JobDeadlineReached,
    JobFailed,
    Missing,
    SlotFailed,
    read,
    state,
)
from shared.recipes.again import again_rule
from tests.support.purchases import (
    NOON,
    a_job,
    bought,
    claim,
    hear,
    news,
    the_job,
    the_slot,
)


def an_aggregator(database: Database) -> EndJobs:
    known = {recipe.name: recipe for recipe in recipes.RECIPES}
    return EndJobs(database=database, recipes=known, now=utc_now)


async def close(
    database: Database,
    job_id: UUID,
    ordinal: int,
    *,
    well: bool = True,
    skipped: list[dict[str, Any]] | None = None,
) -> Envelope:
    """Bring one slot to its end as storage or the generator does; the fact that says so."""
    slot = await the_slot(database, job_id, ordinal)
    if slot.state is SlotState.PENDING:
        async with database.transaction() as tx:
            await claim(tx)
        slot = await the_slot(database, job_id, ordinal)
    slot = await bought(database, slot, uuid4().hex[:26])
    async with database.transaction() as tx:
        if well:
            made = await slots.move(
                tx, slot, Move(SlotState.SUCCEEDED), winner=1, expires_at=NOON + timedelta(hours=1)
            )
            assert made is not None
            assert await slots.move(tx, made, Move(SlotState.STORED), skipped=skipped)
            fact: ArtifactsStored | SlotFailed = ArtifactsStored(
                job_id=job_id, ordinal=ordinal, attempt=1, artifacts=()
            )
        else:
            code, why = FailureCode.PROVIDER, "the model ran out of ideas"
            assert await slots.move(tx, slot, Move(SlotState.FAILED), code=code, detail=why)
            fact = SlotFailed(job_id=job_id, ordinal=ordinal, attempt=1, code=code, detail=why)
        said = state(fact, source="test", now=NOON)
        await journal.say(tx, said)
    return said


async def ends(database: Database, job_id: UUID) -> list[Envelope]:
    """Every end of the job that the journal holds."""
    async with database.connection() as db:
        entries = await journal.of_job(db, job_id)
    kinds = ("job.completed", "job.failed", "job.canceled")
    return [entry.envelope for entry in entries if entry.type in kinds]


def deadline(job_id: UUID) -> Envelope:
    return state(JobDeadlineReached(job_id=job_id), source="reconciler", now=NOON)


async def test_a_job_completes_with_its_last_slot_and_not_before(database: Database) -> None:
    job_id = await a_job(database, n=3, external_ref="order-17", metadata={"for": "Ada"})
    first, second, third = [await close(database, job_id, ordinal) for ordinal in (2, 3, 1)]
    aggregator = an_aggregator(database)

    await aggregator.many([first, second])
    before = await the_job(database, job_id)
    await aggregator.one(third)
    after = await the_job(database, job_id)
    [end] = await ends(database, job_id)
    told = read(JobCompleted, end)

    assert (before.is_open, before.stored) == (True, 2)
    assert (after.state, after.stored, after.report) == (JobState.COMPLETED, 3, "pending")
    assert (told.n, told.stored, told.external_ref, told.metadata) == (
        3,
        3,
        "order-17",
        {"for": "Ada"},
    )


async def test_a_closing_heard_many_times_counts_once(database: Database) -> None:
    job_id = await a_job(database, n=2)
    closing = await close(database, job_id, 1)
    aggregator = an_aggregator(database)

    for _ in range(3):
        await aggregator.many([closing, closing])

    assert (await the_job(database, job_id)).stored == 1
    assert await ends(database, job_id) == []


async def test_aggregators_side_by_side_end_a_job_exactly_once(database: Database) -> None:
    job_id = await a_job(database, n=12)
    closings = [await close(database, job_id, ordinal) for ordinal in range(1, 13)]
    both = [an_aggregator(database), an_aggregator(database)]

    # Every closing twice, to both, one by one and in batches, all at once.
    await asyncio.gather(
        *(both[i % 2].one(closing) for i, closing in enumerate(closings * 2)),
        both[0].many(closings[:6]),
        both[1].many(closings[3:]),
    )

    job = await the_job(database, job_id)
    assert (job.state, job.stored) == (JobState.COMPLETED, 12)
    assert len(await ends(database, job_id)) == 1


async def test_a_failed_slot_fails_its_job_in_the_providers_words_once_all_are_closed(
    database: Database,
) -> None:
    job_id = await a_job(database, n=2)
    closings = [await close(database, job_id, 1, well=False), await close(database, job_id, 2)]

    await an_aggregator(database).many(closings)

    job = await the_job(database, job_id)
    [end] = await ends(database, job_id)
    assert (job.state, job.stored, job.failed) == (JobState.FAILED, 1, 1)
    assert "the model ran out of ideas" in (read(JobFailed, end).reason or "")


async def test_a_deadline_ends_the_job_and_counts_what_is_stored_though_its_news_is_late(
    database: Database,
) -> None:
    job_id = await a_job(database, n=3)
    late = await close(database, job_id, 1)
    aggregator = an_aggregator(database)

    await aggregator.one(deadline(job_id))
    await aggregator.one(late)

    job = await the_job(database, job_id)
    assert (job.state, job.stored, job.canceled) == (JobState.FAILED, 1, 2)
    assert "deadline" in (job.reason or "")
    assert len(await ends(database, job_id)) == 1


async def test_a_wish_to_cancel_ends_the_job_once(database: Database) -> None:
    job_id = await a_job(database, n=2)
    wish = state(
        JobCancelRequested(job_id=job_id, reason="changed my mind"),
        source="shop",
        now=NOON,
        event_id=uuid4().hex,
    )
    aggregator = an_aggregator(database)

    await aggregator.many([wish, wish])

    job = await the_job(database, job_id)
    assert (job.state, job.canceled, job.reason) == (JobState.CANCELED, 2, "changed my mind")
    [end] = await ends(database, job_id)
    assert end.type == "job.canceled"


async def test_the_last_slot_beats_a_wish_that_comes_with_it(database: Database) -> None:
    job_id = await a_job(database, n=1)
    closing = await close(database, job_id, 1)
    wish = state(JobCancelRequested(job_id=job_id), source="shop", now=NOON, event_id="w")

    await an_aggregator(database).many([wish, closing])

    assert (await the_job(database, job_id)).state is JobState.COMPLETED


async def test_a_wish_that_overtakes_its_order_is_noted_and_waits(database: Database) -> None:
    job_id = uuid4()
    wish = state(JobCancelRequested(job_id=job_id), source="shop", now=NOON, event_id="w")

    await an_aggregator(database).many([wish, wish])

    async with database.connection() as db:
        [noted] = await journal.of_job(db, job_id)
    assert (noted.event_id, noted.outcome) == ("w", "waits")


async def test_other_news_of_a_job_that_is_not_there_is_tried_again(database: Database) -> None:
    job_id = uuid4()
    wish = state(JobCancelRequested(job_id=job_id), source="shop", now=NOON, event_id="w")

    with pytest.raises(Transient, match="not known here yet"):
        await an_aggregator(database).many([wish, deadline(job_id)])

    async with database.connection() as db:
        assert await journal.of_job(db, job_id) == []


async def test_what_the_aggregator_does_not_hear_is_refused_for_good(database: Database) -> None:
    completed = JobCompleted(job_id=uuid4(), recipe="variations", n=1, stored=1, failed=0)
    other = state(completed, source="x", now=NOON)

    with pytest.raises(Permanent, match="does not hear"):
        await an_aggregator(database).one(other)


# ---- by the recipe's rule: all, any, at least k; and the deadline


@pytest.mark.system("V9")
async def test_enough_of_what_was_ordered_completes_the_job_and_says_what_is_missing(
    database: Database,
) -> None:
    job_id = await a_job(database, n=3, params={"count": 3, "at_least": 2})
    closings = [await close(database, job_id, n, well=n != 2) for n in (1, 2, 3)]

    await an_aggregator(database).many(closings)

    job = await the_job(database, job_id)
    told = read(JobCompleted, (await ends(database, job_id))[0])
    assert (job.state, job.stored, job.failed) == (JobState.COMPLETED, 2, 1)
    why = "the model ran out of ideas"
    assert told.missing == (Missing(ordinal=2, code="provider", detail=why),)
    assert told.reason == job.reason == f"2 of 3 stored; missing: slot 2 (provider: {why})"


async def test_less_than_enough_fails_the_job_once_nothing_more_can_come(
    database: Database,
) -> None:
    job_id = await a_job(database, n=3, params={"count": 3, "at_least": 2})
    aggregator = an_aggregator(database)

    await aggregator.many([await close(database, job_id, n, well=False) for n in (1, 2)])
    # It is certain to fail now; but what was paid for is still stored and shown.
    assert (await the_job(database, job_id)).is_open
    await aggregator.one(await close(database, job_id, 3))

    job = await the_job(database, job_id)
    told = read(JobFailed, (await ends(database, job_id))[0])
    assert (job.state, job.stored, job.failed) == (JobState.FAILED, 1, 2)
    assert [one.ordinal for one in told.missing] == [1, 2]
    assert (told.reason or "").startswith("1 of 3 stored; missing: slot 1 (provider")


async def test_any_result_is_enough_where_the_recipe_says_so(database: Database) -> None:
    any_of_them = replace(recipes.RECIPES[0], completion=lambda _params: ANY)
    aggregator = EndJobs(database=database, recipes={"variations": any_of_them}, now=utc_now)
    one, none = await a_job(database, n=2), await a_job(database, n=2)

    for job_id, well in ((one, True), (none, False)):
        first = await close(database, job_id, 1, well=well)
        await aggregator.many([first, await close(database, job_id, 2, well=False)])

    assert (await the_job(database, one)).state is JobState.COMPLETED
    assert (await the_job(database, none)).state is JobState.FAILED


async def test_at_the_deadline_enough_completes_the_job_and_what_was_open_is_said(
    database: Database,
) -> None:
    job_id = await a_job(database, n=3, params={"count": 3, "at_least": 1})
    await close(database, job_id, 2)
    async with database.transaction() as tx:
        await claim(tx)
    await bought(database, await the_slot(database, job_id, 1), uuid4().hex[:26])

    await an_aggregator(database).one(deadline(job_id))

    job = await the_job(database, job_id)
    told = read(JobCompleted, (await ends(database, job_id))[0])
    assert (job.state, job.stored, job.canceled) == (JobState.COMPLETED, 1, 2)
    assert [(one.ordinal, one.code) for one in told.missing] == [
        (1, "unfinished"),
        (3, "unfinished"),
    ]
    assert (told.reason or "").startswith("the job's deadline passed; 1 of 3 stored; missing: ")
    assert "slot 1 (unfinished: it waited for the provider to begin)" in (told.reason or "")


@pytest.mark.parametrize("params", [{"count": 3}, {"count": 3, "at_least": 2}])
async def test_at_the_deadline_less_than_enough_fails_the_job_with_the_same_sentence(
    database: Database, params: dict[str, Any]
) -> None:
    job_id = await a_job(database, n=3, params=params)
    await close(database, job_id, 1)

    await an_aggregator(database).one(deadline(job_id))

    job = await the_job(database, job_id)
    assert (job.state, job.stored, job.canceled) == (JobState.FAILED, 1, 2)
    assert (job.reason or "").startswith("the job's deadline passed; 1 of 3 stored; missing: ")


@pytest.mark.system("T8")
async def test_outputs_that_were_skipped_do_not_keep_a_job_from_completing_and_are_said(
    database: Database,
) -> None:
    job_id = await a_job(database, n=1)
    skipped = [{"index": 3, "why": "held back"}]

    await an_aggregator(database).one(await close(database, job_id, 1, skipped=skipped))

    told = read(JobCompleted, (await ends(database, job_id))[0])
    assert told.missing == (Missing(ordinal=1, code="skipped", detail="held back", index=3),)
    assert told.reason == "1 of 1 stored; missing: output 4 of slot 1 (held back)"


async def test_another_attempt_after_a_fault_that_passes_is_counted_with_its_cost(
    database: Database,
) -> None:
    job_id = await a_job(database, n=1)
    known = {recipe.name: recipe for recipe in recipes.RECIPES}
    rule = again_rule(known)

    async def buy(prediction_id: str) -> None:
        async with database.transaction() as tx:
            [slot] = await slots.claim_due(tx, limit=1, lease=timedelta(minutes=1))
            await predictions.intend(
                tx,
                slot,
                token=f"token-{uuid4().hex}",
                create_deadline=timedelta(minutes=1),
                micros_per_second=1000,
            )
        await bought(database, slot, prediction_id)

    await buy("p1")
    ran = {"predict_time": 2.5}
    words = "Prediction interrupted; please retry (code: PA)"
    await hear(database, news("p1", "failed", error=words, metrics=ran), again=rule)
    await buy("p2")
    await hear(database, news("p2", "succeeded", output="u", metrics={"predict_time": 1.5}))
    slot = await the_slot(database, job_id)
    async with database.transaction() as tx:
        assert await slots.move(tx, slot, Move(SlotState.STORED))
    fact = ArtifactsStored(job_id=job_id, ordinal=1, attempt=slot.attempt, artifacts=())

    await an_aggregator(database).one(state(fact, source="storage", now=NOON))

    told = read(JobCompleted, (await ends(database, job_id))[0])
    assert slot.attempt == 2
    assert (told.stored, told.predict_seconds, told.cost) == (1, 4.0, 0.004)
    assert (told.missing, told.reason) == ((), None)


async def test_the_end_repeats_what_the_recipe_says_about_the_order(database: Database) -> None:
    params = {"prompt": "rain", "seconds": 2.5}
    job_id = await a_job(database, n=1, recipe="sound-effect", params=params)

    await an_aggregator(database).one(await close(database, job_id, 1))

    told = read(JobCompleted, (await ends(database, job_id))[0])
    assert told.notes == (
        "The model takes whole seconds: 3 s are made, freed of silence at both ends and cut to 2.5 s.",
    )


async def test_a_completed_job_without_its_report_is_said_again(database: Database) -> None:
    job_id = await a_job(database, n=1)
    await an_aggregator(database).one(await close(database, job_id, 1))
    async with database.transaction() as tx:
        owed = await journal.claim_owed(tx, 100)
        await journal.mark_published(tx, [entry.id for entry in owed])

    patient = await RescueReports(database=database, patience=timedelta(hours=1)).run_once()
    impatient = await RescueReports(database=database, patience=timedelta(0)).run_once()

    async with database.transaction() as tx:
        again = await journal.claim_owed(tx, 100)
    assert (patient, impatient) == ({"report_overdue": 0}, {"report_overdue": 1})
    assert [entry.type for entry in again] == ["job.completed"]


@pytest.mark.parametrize(
    ("queue", "said"), [("darkroom.report.jobs", 0), ("darkroom.api.callbacks", 1)]
)
async def test_the_end_of_a_job_that_waits_parked_for_its_report_is_left_to_its_time(
    database: Database, queue: str, said: int
) -> None:
    job_id = await a_job(database, n=1)
    await an_aggregator(database).one(await close(database, job_id, 1))
    async with database.transaction() as tx:
        (end,) = [e for e in await journal.claim_owed(tx, 100) if e.type == "job.completed"]
        await journal.mark_published(tx, [end.id])
    await Parked(database).park(
        queue,
        end.envelope,
        reason="later",
        trace=None,
        attempts=3,
        due_in=timedelta(minutes=1),
    )

    counts = await RescueReports(database=database, patience=timedelta(0)).run_once()

    assert counts == {"report_overdue": said}
