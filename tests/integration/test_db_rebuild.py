"""A job rebuilt from the archive of its webhooks, on a real Postgres: what differs, what mends it,
and that looking changes nothing."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.db import journal, rebuild, slots
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.db.rebuild import JobCompared, SlotCompared, Standing
from shared.db.record import Outcome, record
from shared.db.slots import Slot
from shared.domain import identity
from shared.domain.slot import FailureCode, Move, SlotState
from shared.envelope import FROM_WEBHOOK, ORIGIN, SLOT, Envelope
from shared.events import Artifact, ArtifactsStored, state
from tests.support.purchases import (
    NOON,
    PREDICTION,
    a_job,
    a_slot,
    bought,
    claim,
    end_job,
    given_up,
    hear,
    never,
    news,
    the_job,
    the_purchase,
    the_slot,
)

S = SlotState


async def compared(database: Database, job_id: UUID) -> JobCompared:
    found = await rebuild.compare(database, job_id, again=never, now=NOON)
    assert found is not None
    return found


async def the_only_slot(database: Database, slot: Slot) -> SlotCompared:
    (only,) = (await compared(database, slot.job_id)).slots
    return only


async def archived(database: Database, envelope: Envelope, slot: Slot, outcome: str) -> None:
    """A webhook that lies in the archive and has moved nothing."""
    async with database.transaction() as tx:
        await journal.hear(tx, envelope, outcome=outcome, job_id=slot.job_id)


async def verdict(database: Database, slot: Slot, status: str, **body: Any) -> Envelope:
    """A verdict of the slot's purchase as the ingress names it."""
    return news(
        PREDICTION,
        status,
        row=await the_purchase(database, slot),
        event_id=identity.verdict_id(PREDICTION, status),
        extensions={ORIGIN: FROM_WEBHOOK},
        **body,
    )


async def rows(database: Database) -> Mapping[str, list[dict[str, Any]]]:
    """Everything there is, to compare."""
    tables = ("job", "slot", "prediction", "artifact", "journal", "parked_message")
    async with database.connection() as tx:
        return {
            table: [dict(row) for row in await tx.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]  # noqa: S608
            for table in tables
        }


async def owed(database: Database) -> list[str]:
    async with database.connection() as tx:
        return [entry.event_id for entry in await journal.claim_owed(tx, 100)]


@pytest.mark.parametrize(
    "state",
    [S.PENDING, S.CREATING, S.IN_DOUBT, S.SUBMITTED, S.RUNNING, S.FAILED],
)
async def test_a_job_that_is_as_its_webhooks_have_it_differs_in_nothing(
    database: Database, state: SlotState
) -> None:
    slot = await a_slot(database, state)

    only = await the_only_slot(database, slot)

    assert (only.differs, only.is_mended) == (False, True)
    assert only.now.state is only.then.state is state
    assert [fact.type for fact in only.say] == (["slot.failed"] if state is S.FAILED else [])


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.AMBIGUOUS])
@pytest.mark.parametrize("state", [S.IN_DOUBT, S.SUBMITTED, S.RUNNING])
async def test_a_success_that_could_not_be_placed_when_it_came_is_shown_and_worth_saying_again(
    database: Database, state: SlotState, outcome: Outcome
) -> None:
    slot = await a_slot(database, state)
    success = await verdict(database, slot, "succeeded", output=["https://x/1.png"])
    await archived(database, success, slot, outcome)

    only = await the_only_slot(database, slot)

    assert only.differs
    assert only.is_mended
    assert (only.now.state, only.archive.state, only.then.state) == (
        state,
        S.SUCCEEDED,
        S.SUCCEEDED,
    )
    assert [fact.event_id for fact in only.say] == [success.id]


async def test_a_failure_that_could_not_be_placed_closes_the_slot_with_its_code(
    database: Database,
) -> None:
    slot = await a_slot(database, S.RUNNING)
    failure = await verdict(database, slot, "failed", error="NSFW content detected")
    await archived(database, failure, slot, Outcome.UNKNOWN)

    only = await the_only_slot(database, slot)

    assert only.archive == only.then == Standing(S.FAILED, FailureCode.NSFW)
    assert [fact.event_id for fact in only.say] == [failure.id]


async def test_of_several_facts_of_one_prediction_the_last_that_moves_it_is_enough(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    row = await the_purchase(database, slot)
    await archived(database, news(PREDICTION, "starting", row=row), slot, Outcome.UNKNOWN)
    await archived(database, news(PREDICTION, "processing", row=row), slot, Outcome.UNKNOWN)
    success = await verdict(database, slot, "succeeded")
    await archived(database, success, slot, Outcome.UNKNOWN)

    only = await the_only_slot(database, slot)

    assert [fact.event_id for fact in only.say] == [success.id]


async def test_comparing_changes_nothing_at_all(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    await archived(
        database, await verdict(database, slot, "failed", error="E"), slot, Outcome.UNKNOWN
    )
    await a_slot(database, S.STORED, prediction_id="p2")
    before = await rows(database)

    await compared(database, slot.job_id)

    assert await rows(database) == before
    assert not await database.facts_owed.wait(0)


async def test_saying_again_owes_exactly_the_facts_that_were_shown(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    success = await verdict(database, slot, "succeeded")
    await archived(database, success, slot, Outcome.UNKNOWN)
    found = await compared(database, slot.job_id)
    before = await owed(database)

    said = await rebuild.say_again(database, found.all_to_say)

    assert said == 1
    assert set(await owed(database)) - set(before) == {success.id}


async def test_what_was_said_again_is_heard_and_then_nothing_differs(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    failure = await verdict(database, slot, "failed", error="E1001")
    await archived(database, failure, slot, Outcome.UNKNOWN)
    shown = await the_only_slot(database, slot)

    await hear(database, failure)
    after = await the_only_slot(database, slot)

    assert after.now == shown.archive
    assert not after.differs
    # Its end is stated by now, and still to be counted.
    assert [fact.type for fact in after.say] == ["slot.failed"]


async def test_a_fact_whose_body_is_past_its_retention_is_not_said(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    await archived(database, await verdict(database, slot, "succeeded"), slot, Outcome.UNKNOWN)
    found = await compared(database, slot.job_id)
    async with database.transaction() as tx:
        await tx.execute("UPDATE journal SET body = NULL")

    assert await rebuild.say_again(database, found.all_to_say) == 0
    assert not (await the_only_slot(database, slot)).differs  # nobody can tell any more


async def test_a_failure_whose_body_is_past_its_retention_is_as_its_row_has_it(
    database: Database,
) -> None:
    slot = await a_slot(database, S.FAILED)
    async with database.transaction() as tx:
        await tx.execute("UPDATE journal SET body = NULL")

    assert not (await the_only_slot(database, slot)).differs


async def test_a_success_whose_files_nobody_fetched_is_said_again(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    success = await verdict(database, slot, "succeeded")
    await hear(database, success)

    only = await the_only_slot(database, slot)

    assert not only.differs
    assert [(fact.event_id, "not stored" in fact.why) for fact in only.say] == [(success.id, True)]


async def test_a_success_that_waits_parked_is_left_to_its_time(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    success = await verdict(database, slot, "succeeded")
    await hear(database, success)
    await Parked(database).park(
        "q", success, reason="busy", trace=None, attempts=1, due_in=timedelta(minutes=1)
    )

    assert (await the_only_slot(database, slot)).say == ()


async def test_a_closed_slot_that_was_never_counted_has_its_end_said_again(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, await verdict(database, slot, "succeeded"))
    closing = await stored(database, slot)

    only = await the_only_slot(database, slot)

    assert not only.differs
    assert (only.archive.state, only.now.state) == (S.STORED, S.STORED)
    assert [fact.event_id for fact in only.say] == [closing.id]


async def test_a_slot_that_is_counted_needs_nothing(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, await verdict(database, slot, "succeeded"))
    await stored(database, slot)
    async with database.transaction() as tx:
        await slots.count_closed(tx, slot.job_id)

    only = await the_only_slot(database, slot)

    assert (only.differs, only.say) == (False, ())


async def test_a_row_that_contradicts_its_own_closing_is_beyond_what_saying_again_mends(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, await verdict(database, slot, "succeeded"))
    await stored(database, slot)
    async with database.transaction() as tx:  # as a hand in the database might
        await tx.execute(
            "UPDATE slot SET state = 'failed', failure_code = 'provider' WHERE job_id = $1",
            slot.job_id,
        )

    only = await the_only_slot(database, slot)

    assert only.differs
    assert not only.is_mended
    assert (only.now.state, only.archive.state) == (S.FAILED, S.STORED)


async def test_an_open_slot_whose_closing_is_stated_is_shown_as_not_to_be_mended(
    database: Database,
) -> None:
    slot = await a_slot(database, S.RUNNING)
    await hear(database, await verdict(database, slot, "failed", error="E"))
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE slot SET state = 'running', failure_code = NULL, failure_detail = NULL"
        )
        await tx.execute("UPDATE prediction SET status = 'processing'")

    only = await the_only_slot(database, slot)

    assert (only.now.state, only.archive.state) == (S.RUNNING, S.FAILED)
    assert not only.is_mended


async def test_the_open_slots_of_an_ended_job_are_canceled_in_the_archive(
    database: Database,
) -> None:
    slot = await a_slot(database, S.RUNNING)
    await end_job(database, slot.job_id)
    await ended(database, slot.job_id)

    only = await the_only_slot(database, slot)

    assert (only.now.state, only.archive.state, only.differs) == (S.CANCELED, S.CANCELED, False)


async def test_an_end_that_left_slots_open_is_said_again(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'canceled', ended_at = now()")
    await ended(database, slot.job_id)

    found = await compared(database, slot.job_id)

    assert [fact.event_id for fact in found.say] == [identity.job_ended_id(slot.job_id)]


async def test_a_completed_job_without_its_report_has_its_end_said_again(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, await verdict(database, slot, "succeeded"))
    await stored(database, slot)
    async with database.transaction() as tx:
        await slots.count_closed(tx, slot.job_id)
        await tx.execute("UPDATE job SET state = 'completed', stored = 1, ended_at = now()")
    await ended(database, slot.job_id)

    first = await compared(database, slot.job_id)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET report = 'published'")
    later = await compared(database, slot.job_id)

    assert [fact.why for fact in first.say] == ["its report has not come"]
    assert later.all_to_say == ()


async def test_the_attempt_before_the_winner_is_rebuilt_as_it_was(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    await hear(
        database,
        await verdict(database, slot, "failed", error="E1001"),
        again=lambda *_about: True,
    )
    async with database.transaction() as tx:
        (second,) = await claim(tx)
    await bought(database, second, "p2")
    await hear(database, news("p2", "succeeded", event_id=identity.verdict_id("p2", "succeeded")))

    only = await the_only_slot(database, slot)

    assert (await the_slot(database, slot.job_id)).winner == 2
    assert only.archive.state is only.now.state is S.SUCCEEDED


async def test_a_slot_that_is_bought_again_since_its_files_expired_differs_in_nothing(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, await verdict(database, slot, "succeeded"))
    succeeded = await the_slot(database, slot.job_id)
    async with database.transaction() as tx:
        assert await slots.move(tx, succeeded, Move(S.PENDING, next_attempt=True))
    pending = await the_only_slot(database, slot)
    async with database.transaction() as tx:
        (second,) = await claim(tx)
    await bought(database, second, "p2")
    submitted = await the_only_slot(database, slot)

    assert (pending.now.state, pending.differs) == (S.PENDING, False)
    assert (submitted.now.state, submitted.differs) == (S.SUBMITTED, False)


async def test_a_late_success_of_an_attempt_that_was_given_up_is_worth_saying_again(
    database: Database,
) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    success = await verdict(database, slot, "succeeded")
    await given_up(database, slot)
    await archived(database, success, slot, Outcome.UNKNOWN)

    only = await the_only_slot(database, slot)

    assert only.archive.state is only.then.state is S.SUCCEEDED
    assert [fact.event_id for fact in only.say] == [success.id]


async def test_a_large_job_is_compared_in_parts_and_each_slot_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "SLOTS_AT_A_TIME", 3)
    job_id = await a_job(database, n=8)
    async with database.transaction() as tx:
        claimed = await claim(tx)
    for slot in claimed:
        await bought(database, slot, f"p{slot.ordinal}")
    await archived(
        database,
        news(
            "p7",
            "succeeded",
            extensions={SLOT: str((await the_purchase(database, claimed[6])).ref)},
        ),
        claimed[6],
        Outcome.UNKNOWN,
    )

    found = await compared(database, job_id)

    assert [slot.ordinal for slot in found.slots] == list(range(1, 9))
    assert [slot.ordinal for slot in found.slots if slot.differs] == [7]
    assert [len(slot.say) for slot in found.slots] == [0, 0, 0, 0, 0, 0, 1, 0]


async def test_a_job_that_is_not_known_has_nothing_to_compare(database: Database) -> None:
    assert await rebuild.compare(database, uuid4(), again=never, now=NOON) is None


async def test_only_jobs_that_are_not_at_rest_are_restless(database: Database) -> None:
    open_job = await a_slot(database, S.SUBMITTED, prediction_id="p1")
    await hear(database, news("p1", "processing", extensions={ORIGIN: FROM_WEBHOOK}))
    at_rest = await a_slot(database, S.SUBMITTED, prediction_id="p2")
    await hear(database, news("p2", "processing", extensions={ORIGIN: FROM_WEBHOOK}))
    await end_job(database, at_rest.job_id)
    silent = await a_slot(database, S.SUBMITTED, prediction_id="p3")
    unplaced = await a_slot(database, S.SUBMITTED, prediction_id="p4")
    await end_job(database, unplaced.job_id)
    await archived(
        database,
        news("p9", "succeeded", extensions={ORIGIN: FROM_WEBHOOK}),
        unplaced,
        Outcome.UNKNOWN,
    )
    async with database.connection() as tx:
        now = await tx.fetchval("SELECT now()")
        found = await rebuild.restless_since(tx, now - timedelta(minutes=1))
        later = await rebuild.restless_since(tx, now + timedelta(minutes=1))

    assert set(found) == {open_job.job_id, unplaced.job_id}
    assert silent.job_id not in found
    assert later == []


async def stored(database: Database, slot: Slot) -> Envelope:
    """Storage's end of a success: the slot stored and the fact stated."""
    file = Artifact(
        id=uuid4(), kind="generated", key="k", content_type="image/png", bytes=1, sha256="0" * 64
    )
    fact = ArtifactsStored(job_id=slot.job_id, ordinal=1, attempt=1, artifacts=(file,))
    envelope = state(fact, source="storage", now=NOON)
    now = await the_slot(database, slot.job_id)
    async with database.transaction() as tx:
        assert await slots.move(tx, now, Move(S.STORED)) is not None
        assert await journal.say(tx, envelope, ordinal=1)
    return envelope


async def ended(database: Database, job_id: UUID) -> None:
    """The fact of a job's end, as it was heard by somebody."""
    job = await the_job(database, job_id)
    fact = Envelope(
        id=identity.job_ended_id(job_id),
        type=f"job.{job.state}",
        source="darkroom/aggregator",
        time=NOON,
        body=b"{}",
        subject=str(job_id),
    )
    async with database.transaction() as tx:
        assert await journal.say(tx, fact)


async def test_a_flood_of_progress_is_taken_in_once_for_each_status(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    for number in range(50):
        await hear(database, news(PREDICTION, "processing", logs=f"{number}%"))
    taken_in: list[str] = []

    async def counting(tx: Any, envelope: Envelope, **more: Any) -> Any:
        taken_in.append(envelope.id)
        return await record(tx, envelope, **more)

    monkeypatch.setattr(rebuild, "record", counting)

    only = await the_only_slot(database, slot)

    assert (only.now.state, only.archive.state) == (S.RUNNING, S.RUNNING)
    assert len(taken_in) == 2  # set back, and from where it stands
