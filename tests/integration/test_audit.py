"""The audit's laws on a real Postgres: each one is broken once and names what breaks it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from shared.clock import utc_now
from shared.db import artifacts, jobs, journal, slots
from shared.db.audit import LAWS, Finding, breaches
from shared.db.connection import Database
from shared.db.jobs import NewJob
from shared.db.parked import add_dead
from shared.domain.identity import artifact_id
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.envelope import FROM_WEBHOOK, ORIGIN, Envelope
from shared.events import Artifact, JobCompleted, state
from tests.support.purchases import NOON, a_job, a_slot, the_slot

Break = Callable[[Database], Awaitable[str]]


async def findings(database: Database, *, settled: timedelta = timedelta(0)) -> list[Finding]:
    found: list[Finding] = []
    async with database.connection() as tx:
        for law in LAWS:
            found += await breaches(tx, law, since=utc_now() - timedelta(days=1), settled=settled)
    return found


async def a_finished_job(database: Database) -> UUID:
    """One slot, stored, counted and told; with its report."""
    slot = await a_slot(database, SlotState.STORED, prediction_id=f"p-{uuid4().hex}")
    key = f"jobs/{slot.job_id}/generated/1-1-0.png"
    async with database.transaction() as tx:
        await artifacts.insert(
            tx,
            slot.job_id,
            Artifact(
                id=artifact_id(key),
                kind="generated",
                key=key,
                content_type="image/png",
                bytes=1,
                sha256="0" * 64,
                ordinal=1,
                attempt=1,
            ),
        )
        await jobs.lock(tx, slot.job_id)
        await slots.count_closed(tx, slot.job_id, [1])
        await jobs.add_counts(tx, slot.job_id, stored=1, failed=0)
        await jobs.end(tx, slot.job_id, state=JobState.COMPLETED, canceled=0, reason=None)
        fact = JobCompleted(job_id=slot.job_id, recipe="variations", n=1, stored=1, failed=0)
        await journal.say(tx, state(fact, source="aggregator", now=NOON))
        await jobs.set_report(tx, slot.job_id, report="published", key="k")
        await tx.execute("UPDATE journal SET published_at = now()")
    return slot.job_id


async def _changed(database: Database, sql: str, job_id: UUID) -> str:
    async with database.transaction() as tx:
        await tx.execute(sql, job_id)
    return str(job_id)


async def stuck(database: Database) -> str:
    slot = await a_slot(database, SlotState.FAILED)
    return await _changed(
        database, "UPDATE slot SET counted_at = now() WHERE job_id = $1", slot.job_id
    )


async def without_slots(database: Database) -> str:
    job_id = await a_job(database, n=2)
    return await _changed(database, "DELETE FROM slot WHERE job_id = $1 AND ordinal = 2", job_id)


async def miscounted(database: Database) -> str:
    job_id = await a_finished_job(database)
    async with database.transaction() as tx:
        await tx.execute(
            """
            UPDATE slot
               SET state = 'failed', failure_code = 'provider'
             WHERE job_id = $1
            """,
            job_id,
        )
    return str(job_id)


async def untold(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(
        database, "DELETE FROM journal WHERE type = 'job.completed' AND job_id = $1", job_id
    )


async def overdue(database: Database) -> str:
    job_id = uuid4()
    async with database.transaction() as tx:
        new = NewJob(id=job_id, recipe="variations", n=0, ordered_at=NOON)
        await jobs.insert(tx, new)
        await tx.execute(
            "UPDATE job SET deadline = now() - interval '1 minute' WHERE id = $1", job_id
        )
    return str(job_id)


async def unreported(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(database, "UPDATE job SET report = 'pending' WHERE id = $1", job_id)


async def report_failed(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(database, "UPDATE job SET report = 'failed' WHERE id = $1", job_id)


async def uncounted(database: Database) -> str:
    slot = await a_slot(database, SlotState.FAILED)
    return f"{slot.job_id}.1"


async def unsettled(database: Database) -> str:
    slot = await a_slot(database, SlotState.IN_DOUBT)
    return f"{slot.job_id}.1"


async def expired(database: Database) -> str:
    slot = await a_slot(database, SlotState.SUCCEEDED)
    await _changed(
        database,
        "UPDATE slot SET expires_at = now() - interval '1 minute' WHERE job_id = $1",
        slot.job_id,
    )
    return f"{slot.job_id}.1"


async def without_files(database: Database) -> str:
    job_id = await a_finished_job(database)
    await _changed(database, "DELETE FROM artifact WHERE job_id = $1", job_id)
    return f"{job_id}.1"


async def without_purchase(database: Database) -> str:
    job_id = await a_finished_job(database)
    await _changed(database, "DELETE FROM prediction WHERE job_id = $1", job_id)
    return f"{job_id}.1"


async def silent(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="quiet")
    await _changed(
        database,
        "UPDATE prediction SET ask_at = now() - interval '1 minute' WHERE job_id = $1",
        slot.job_id,
    )
    return "quiet"


async def runs_on(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="unwanted")
    await _changed(
        database, "UPDATE prediction SET cancel_wanted_at = now() WHERE job_id = $1", slot.job_id
    )
    return "unwanted"


async def bought_twice(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="first")
    async with database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, outcome,
                                    create_deadline)
            SELECT job_id, ordinal, 2, token || '2', model, 'second', outcome, create_deadline
              FROM prediction
             WHERE job_id = $1
            """,
            slot.job_id,
        )
    return f"{slot.job_id}.1"


def an_odd_webhook() -> Envelope:
    return Envelope(
        id=f"odd-{uuid4().hex}",
        type="prediction.succeeded",
        source="replicate",
        time=NOON,
        body=b"{}",
        extensions={ORIGIN: FROM_WEBHOOK},
    )


async def unplaced(database: Database) -> str:
    odd = an_odd_webhook()
    async with database.transaction() as tx:
        await journal.hear(tx, odd, outcome="unknown")
    return odd.id


async def owed(database: Database) -> str:
    job_id = await a_finished_job(database)
    async with database.transaction() as tx:
        event_id = await tx.fetchval("SELECT event_id FROM journal WHERE job_id = $1", job_id)
        await tx.execute("UPDATE journal SET published_at = NULL")
    return str(event_id)


async def parked_late(database: Database) -> str:
    return await _parked(database, due="now() - interval '1 minute'")


async def parked_dead(database: Database) -> str:
    return await _parked(database, due="NULL")


async def _parked(database: Database, *, due: str) -> str:
    odd = an_odd_webhook()
    async with database.transaction() as tx:
        await add_dead(tx, "a.queue", odd, reason="it is odd")
        await tx.execute(f"UPDATE parked_message SET due_at = {due}")  # noqa: S608
    return odd.id


BREAKS: dict[str, Break] = {
    "job.stuck": stuck,
    "job.without_slots": without_slots,
    "job.miscounted": miscounted,
    "job.untold": untold,
    "job.overdue": overdue,
    "job.unreported": unreported,
    "job.report_failed": report_failed,
    "slot.uncounted": uncounted,
    "slot.unsettled": unsettled,
    "slot.expired": expired,
    "slot.without_files": without_files,
    "slot.without_purchase": without_purchase,
    "prediction.silent": silent,
    "prediction.runs_on": runs_on,
    "prediction.bought_twice": bought_twice,
    "news.unplaced": unplaced,
    "journal.owed": owed,
    "parked.late": parked_late,
    "parked.dead": parked_dead,
}


async def test_a_finished_job_breaks_no_law(database: Database) -> None:
    await a_finished_job(database)

    assert await findings(database) == []


@pytest.mark.parametrize("law", [law.name for law in LAWS])
async def test_what_breaks_a_law_is_named_by_its_id(database: Database, law: str) -> None:
    await a_finished_job(database)

    broken = await BREAKS[law](database)

    assert (law, broken) in [(found.law, found.id) for found in await findings(database)]


@pytest.mark.parametrize("law", [law.name for law in LAWS])
async def test_what_may_still_come_to_rest_breaks_no_law(database: Database, law: str) -> None:
    await BREAKS[law](database)

    found = await findings(database, settled=timedelta(hours=1))

    assert law not in [one.law for one in found]


async def test_news_that_is_parked_for_a_look_is_placed(database: Database) -> None:
    odd = an_odd_webhook()
    async with database.transaction() as tx:
        await journal.hear(tx, odd, outcome="unknown")
        await add_dead(tx, "a.queue", odd, reason="it is odd")

    assert "news.unplaced" not in [found.law for found in await findings(database)]


async def test_a_slot_that_failed_is_not_said_to_be_bought_twice(database: Database) -> None:
    slot = await a_slot(database, SlotState.FAILED)

    assert (await the_slot(database, slot.job_id)).state is SlotState.FAILED
    assert "prediction.bought_twice" not in [found.law for found in await findings(database)]
