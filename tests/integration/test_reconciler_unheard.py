"""What was published and had no effect is said again: a queue that was lost stops no job."""

from datetime import timedelta
from uuid import UUID

import pytest

from services.reconciler import unheard
from services.reconciler.deadlines import WatchDeadlines
from services.reconciler.unheard import RescueFacts
from services.reconciler.unreported import RescueReports
from shared.clock import utc_now
from shared.db import jobs, journal, slots
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.domain.job import JobState
from shared.domain.slot import FailureCode, Move, SlotState
from shared.envelope import Envelope
from shared.events import (
    JobCancelRequested,
    JobCompleted,
    JobFailed,
    SlotFailed,
    UploadReceived,
    state,
)
from tests.support.purchases import NOON, a_job, a_slot, the_slot

MINUTE = timedelta(minutes=1)
NOTHING = {
    "closings_said_again": 0,
    "ends_said_again": 0,
    "deadlines_said_again": 0,
    "orders_said_again": 0,
    "wishes_said_again": 0,
}


def a_rescue(database: Database) -> RescueFacts:
    return RescueFacts(database=database, patience=MINUTE, now=utc_now)


async def said_and_lost(database: Database, *, minutes: int) -> None:
    """The relay has published all that is owed, so many minutes ago; nobody has heard of it."""
    ago = timedelta(minutes=minutes)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE journal SET published_at = now() - $1::interval WHERE published_at IS NULL", ago
        )


async def owed(database: Database) -> list[str]:
    async with database.connection() as db:
        return [entry.event_id for entry in await journal.claim_owed(db, 1000)]


async def closed(
    database: Database, job_id: UUID, ordinal: int, *, minutes: int, counted: bool = False
) -> Envelope:
    """A slot that failed so many minutes ago, and said so; the fact."""
    slot = await the_slot(database, job_id, ordinal)
    fact = SlotFailed(
        job_id=job_id, ordinal=ordinal, attempt=1, code=FailureCode.PROVIDER, detail="no"
    )
    said = state(fact, source="test", now=NOON)
    async with database.transaction() as tx:
        moved = await slots.move(
            tx, slot, Move(SlotState.FAILED), code=FailureCode.PROVIDER, detail="no"
        )
        assert moved is not None
        await journal.say(tx, said, ordinal=ordinal)
        if counted:
            await slots.count_closed(tx, job_id, [ordinal])
        await tx.execute(
            "UPDATE slot SET moved_at = now() - $3::interval WHERE job_id = $1 AND ordinal = $2",
            job_id,
            ordinal,
            timedelta(minutes=minutes),
        )
    await said_and_lost(database, minutes=minutes)
    return said


async def test_a_closing_that_later_ones_have_overtaken_is_said_again(database: Database) -> None:
    job_id = await a_job(database, n=30)
    lost = [await closed(database, job_id, n, minutes=9) for n in range(1, 26)]
    await closed(database, job_id, 26, minutes=5, counted=True)
    behind = await closed(database, job_id, 27, minutes=5)

    counts = await a_rescue(database).run_once()

    assert counts == NOTHING | {"closings_said_again": 25}
    assert sorted(await owed(database)) == sorted(fact.id for fact in lost)
    assert behind.id not in await owed(database)


async def test_closings_that_nobody_counts_at_the_moment_are_not_all_said_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unheard, "TRIED", 2)
    job_id = await a_job(database, n=5)
    said = [await closed(database, job_id, n, minutes=10 - n) for n in range(1, 6)]

    first = await a_rescue(database).run_once()
    await said_and_lost(database, minutes=0)
    second = await a_rescue(database).run_once()

    assert first == second == NOTHING | {"closings_said_again": 2}
    assert sorted(await owed(database)) == sorted(fact.id for fact in said[2:4])


async def test_a_closing_that_lies_parked_is_left_to_its_time_and_its_operator(
    database: Database,
) -> None:
    job_id = await a_job(database, n=3)
    waits, dead = [await closed(database, job_id, n, minutes=9) for n in (1, 2)]
    for fact, due in ((waits, MINUTE), (dead, None)):
        await Parked(database).park(
            "darkroom.aggregator.slots", fact, reason="x", trace=None, attempts=1, due_in=due
        )

    assert await a_rescue(database).run_once() == NOTHING


@pytest.mark.parametrize("parked_for", [None, "darkroom.api.callbacks"])
async def test_an_end_that_closed_no_slot_is_said_again(
    database: Database, parked_for: str | None
) -> None:
    slot = await a_slot(database, SlotState.RUNNING)
    fact = JobFailed(job_id=slot.job_id, recipe="variations", n=1, stored=0, failed=0)
    said = state(fact, source="test", now=NOON)
    async with database.transaction() as tx:
        await jobs.end(tx, slot.job_id, state=JobState.FAILED, canceled=1, reason="no")
        await journal.say(tx, said)
    await said_and_lost(database, minutes=5)
    if parked_for is not None:  # by somebody else, whom it tells nothing of the slots
        await Parked(database).park(
            parked_for, said, reason="x", trace=None, attempts=1, due_in=MINUTE
        )

    soon = await a_rescue(database).run_once()
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET ended_at = now() - interval '5 minutes'")
    late = await a_rescue(database).run_once()

    assert soon == NOTHING
    assert late == NOTHING | {"ends_said_again": 1}
    assert await owed(database) == [said.id]


async def test_a_deadline_that_ended_nothing_is_said_again(database: Database) -> None:
    await a_job(database, deadline=utc_now() - timedelta(minutes=9))
    watch = WatchDeadlines(database=database, now=utc_now)
    assert await watch.run_once() == {"deadline_reached": 1}

    owed_still = await a_rescue(database).run_once()
    await said_and_lost(database, minutes=8)
    lost = await a_rescue(database).run_once()

    assert owed_still == NOTHING
    assert lost == NOTHING | {"deadlines_said_again": 1}


async def test_more_deadlines_than_one_batch_are_told_in_one_round(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reconciler.deadlines.BATCH", 2)
    for minutes in range(1, 6):
        await a_job(database, deadline=utc_now() - timedelta(minutes=minutes))
    watch = WatchDeadlines(database=database, now=utc_now)

    counts = [await watch.run_once() for _ in range(2)]

    assert counts == [{"deadline_reached": 5}, {"deadline_reached": 0}]


async def test_reports_that_never_come_take_nobodys_turn(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reconciler.unreported.BATCH", 2)
    ended = [await completed(database, minutes=minutes) for minutes in (9, 8, 7, 6)]
    rescue = RescueReports(database=database, patience=MINUTE)

    first = await rescue.run_once()
    asked = await owed(database)
    await said_and_lost(database, minutes=2)
    second = await rescue.run_once()
    asked += await owed(database)

    assert first == second == {"report_overdue": 2}
    assert asked == ended


async def completed(database: Database, *, minutes: int) -> str:
    """A job that completed so many minutes ago, and said so to nobody; the fact's id."""
    job_id = await a_job(database, n=0)
    fact = JobCompleted(job_id=job_id, recipe="variations", n=0, stored=0, failed=0)
    said = state(fact, source="test", now=NOON)
    async with database.transaction() as tx:
        await journal.say(tx, said)
        await tx.execute(
            "UPDATE job SET state = $2, ended_at = now() - $3::interval WHERE id = $1",
            job_id,
            JobState.COMPLETED,
            timedelta(minutes=minutes),
        )
    await said_and_lost(database, minutes=minutes)
    return said.id


@pytest.mark.parametrize(
    ("fact", "kind"),
    [
        (UploadReceived(recipe="sound-effect", job_id=UUID(int=7)), "orders"),
        (JobCancelRequested(job_id=UUID(int=7)), "wishes"),
    ],
)
async def test_what_was_asked_for_here_and_heard_by_nobody_is_said_again(
    database: Database, fact: UploadReceived | JobCancelRequested, kind: str
) -> None:
    said = state(fact, source="api", now=NOON)
    async with database.transaction() as tx:
        await journal.say(tx, said)
    await said_and_lost(database, minutes=5)

    assert await a_rescue(database).run_once() == {**NOTHING, f"{kind}_said_again": 1}
    assert await owed(database) == [said.id]

    await said_and_lost(database, minutes=5)
    async with database.transaction() as tx:
        await journal.hear(tx, said, outcome="planned")
    assert await a_rescue(database).run_once() == NOTHING
