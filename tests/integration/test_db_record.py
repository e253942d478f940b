"""News of predictions, taken in against a real Postgres: who may move what."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.db import journal, predictions
from shared.db.connection import Database
from shared.db.record import Outcome, fail
from shared.db.slots import Slot
from shared.domain.identity import slot_closed_id
from shared.domain.job import JobState
from shared.domain.prediction import Status
from shared.domain.slot import CLOSED, FailureCode, Move, SlotState
from shared.envelope import SLOT
from shared.events import SlotFailed, read
from tests.support.purchases import (
    NOON,
    PREDICTION,
    a_job,
    a_slot,
    always,
    bought,
    claim,
    doubted,
    end_job,
    given_up,
    hear,
    moved,
    news,
    the_job,
    the_purchase,
    the_slot,
)

S = SlotState
FAILURES = [
    ("failed", "E1001", FailureCode.PROVIDER),
    ("failed", "NSFW content detected", FailureCode.NSFW),
    ("aborted", None, FailureCode.ABORTED),
    ("canceled", None, FailureCode.CANCELED),
]
BEFORE_A_VERDICT = [S.PENDING, S.CREATING, S.IN_DOUBT, S.SUBMITTED, S.RUNNING]


# ---- the rows of the slot table that news of predictions moves


@pytest.mark.parametrize("state", [S.PENDING, S.CREATING, S.IN_DOUBT, S.SUBMITTED])
@pytest.mark.parametrize("status", ["starting", "processing"])
async def test_news_of_a_start_makes_the_slot_run(
    database: Database, state: SlotState, status: str
) -> None:
    slot = await open_slot(database, state)

    recorded = await hear(
        database, news(PREDICTION, status, row=await the_purchase(database, slot))
    )

    assert recorded.outcome is Outcome.MOVED
    assert (await the_slot(database, slot.job_id)).state is S.RUNNING
    assert (await the_purchase(database, slot)).status == status


@pytest.mark.parametrize("state", BEFORE_A_VERDICT)
async def test_a_success_wins_an_open_slot(database: Database, state: SlotState) -> None:
    slot = await open_slot(database, state)

    recorded = await hear(
        database,
        news(
            PREDICTION,
            "succeeded",
            row=await the_purchase(database, slot),
            completed_at="2026-06-01T11:59:00Z",
            metrics={"predict_time": 3.5, "image_count": 1},
        ),
    )

    after = await the_slot(database, slot.job_id)
    assert (after.state, after.winner) == (S.SUCCEEDED, 1)
    assert after.expires_at == NOON + timedelta(minutes=59)
    assert (recorded.outcome, recorded.wins) == (Outcome.MOVED, True)
    purchase = await the_purchase(database, slot)
    assert (purchase.predict_seconds, purchase.metrics["image_count"]) == (3.5, 1)
    assert (purchase.ask_at, purchase.adopted) == (
        None,
        state in (S.PENDING, S.CREATING, S.IN_DOUBT),
    )


async def test_a_success_without_a_time_expires_an_hour_after_it_was_heard(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    await hear(database, news(PREDICTION, "succeeded"))

    assert (await the_slot(database, slot.job_id)).expires_at == NOON + timedelta(hours=1)


async def test_a_completion_in_the_future_does_not_lengthen_the_hour(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    await hear(database, news(PREDICTION, "succeeded", completed_at="2027-01-01T00:00:00Z"))

    assert (await the_slot(database, slot.job_id)).expires_at == NOON + timedelta(hours=1)


@pytest.mark.parametrize("state", BEFORE_A_VERDICT)
async def test_a_failure_not_worth_another_attempt_closes_the_slot_with_its_fact(
    database: Database, state: SlotState
) -> None:
    for number, (status, error, code) in enumerate(FAILURES):
        slot = await open_slot(database, state, prediction_id=f"p{number}")
        row = await the_purchase(database, slot)
        verdict = news(f"p{number}", status, row=row, error=error)

        recorded = await hear(database, verdict)

        after = await the_slot(database, slot.job_id)
        assert (after.state, after.failure_code) == (S.FAILED, code)
        assert recorded.closes
        async with database.connection() as tx:
            said = await journal.by_event_id(tx, slot_closed_id(slot.job_id, 1))
        assert said is not None
        assert said.published_at is None
        fact = read(SlotFailed, said.envelope)
        assert (fact.job_id, fact.ordinal, fact.attempt) == (slot.job_id, 1, 1)
        assert (fact.code, fact.detail) == (code, after.failure_detail)
        assert said.causation_id == verdict.id
        assert await database.facts_owed.wait(0)


@pytest.mark.parametrize("state", BEFORE_A_VERDICT)
async def test_a_failure_worth_it_makes_the_next_attempt_due_at_once(
    database: Database, state: SlotState
) -> None:
    for status in ("failed", "aborted", "canceled"):
        slot = await open_slot(database, state, prediction_id=status)
        row = await the_purchase(database, slot)
        await database.slots_due.wait(0)

        await hear(database, news(status, status, row=row), again=always)

        assert await database.slots_due.wait(0)
        async with database.transaction() as tx:
            (next_attempt,) = await claim(tx)
        assert (next_attempt.state, next_attempt.attempt) == (S.CREATING, 2)
        assert (await the_purchase(database, slot, 1)).status == status
    async with database.connection() as tx:
        assert await journal.claim_owed(tx, 10) == []


async def test_a_job_that_ended_buys_nothing_again(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'failed', ended_at = now()")

    await hear(database, news(PREDICTION, "failed"), again=always)

    assert (await the_slot(database, slot.job_id)).state is S.FAILED


@pytest.mark.parametrize("state", sorted(CLOSED))
async def test_a_closed_slot_stays_as_it_is(database: Database, state: SlotState) -> None:
    slot = await a_slot(database, state)
    row = await the_purchase(database, slot)

    for status in Status:
        recorded = await hear(database, news(PREDICTION, status, row=row), again=always)

        assert await the_slot(database, slot.job_id) == slot
        assert recorded.outcome in (Outcome.LOST, Outcome.NOTHING_NEW)
        assert not recorded.closes


async def test_what_comes_after_a_success_takes_nothing_back(database: Database) -> None:
    slot = await a_slot(database, S.SUCCEEDED)
    known = await the_purchase(database, slot)

    for status in Status:
        recorded = await hear(database, news(PREDICTION, status), again=always)

        assert (recorded.outcome, recorded.wins) == (Outcome.NOTHING_NEW, True)
        assert await the_slot(database, slot.job_id) == slot
        assert await the_purchase(database, slot) == known


# ---- several attempts


async def test_the_first_success_wins_whichever_attempt_it_comes_from(database: Database) -> None:
    second = await given_up(database, await a_slot(database, S.IN_DOUBT))
    await bought(database, second, "p2")
    first_row = await the_purchase(database, second, 1)

    recorded = await hear(database, news("p1", "succeeded", row=first_row))

    after = await the_slot(database, second.job_id)
    assert (after.state, after.winner, after.attempt) == (S.SUCCEEDED, 1, 2)
    assert recorded.wins
    assert (await the_purchase(database, second, 2)).cancel_wanted_at is not None
    assert (await the_purchase(database, second, 1)).cancel_wanted_at is None


async def test_the_second_success_is_paid_for_and_lost(database: Database) -> None:
    second = await given_up(database, await a_slot(database, S.IN_DOUBT))
    await bought(database, second, "p2")
    first_row = await the_purchase(database, second, 1)
    await hear(database, news("p2", "succeeded"))

    recorded = await hear(
        database, news("p1", "succeeded", row=first_row, metrics={"predict_time": 2})
    )

    assert (recorded.outcome, recorded.wins) == (Outcome.LOST, False)
    assert (await the_slot(database, second.job_id)).winner == 2
    lost = await the_purchase(database, second, 1)
    assert (lost.prediction_id, lost.status, lost.predict_seconds) == ("p1", Status.SUCCEEDED, 2)


async def test_news_of_an_older_attempt_never_moves_the_slot(database: Database) -> None:
    for number, status in enumerate(sorted(set(Status) - {Status.SUCCEEDED})):
        second = await given_up(database, await a_slot(database, S.IN_DOUBT))
        first_row = await the_purchase(database, second, 1)

        recorded = await hear(database, news(f"p{number}", status, row=first_row), again=always)

        assert recorded.outcome is Outcome.STALE
        assert await the_slot(database, second.job_id) == second
        adopted = await the_purchase(database, second, 1)
        assert (adopted.prediction_id, adopted.status) == (f"p{number}", status)
        assert adopted.adopted
        assert adopted.cancel_wanted_at is None


async def test_a_loser_that_still_runs_is_to_be_canceled(database: Database) -> None:
    second = await given_up(database, await a_slot(database, S.IN_DOUBT))
    await bought(database, second, "p2")
    first_row = await the_purchase(database, second, 1)
    await hear(database, news("p2", "succeeded"))

    recorded = await hear(database, news("p1", "processing", row=first_row))

    assert recorded.outcome is Outcome.LOST
    async with database.transaction() as tx:
        (loser,) = await predictions.to_cancel(tx, limit=10, lease=timedelta(minutes=1))
    assert loser.prediction_id == "p1"


async def test_a_purchase_heard_of_after_its_job_ended_is_to_be_canceled(
    database: Database,
) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    row = await the_purchase(database, slot)
    await end_job(database, slot.job_id)

    recorded = await hear(database, news("p1", "starting", row=row))

    assert recorded.outcome is Outcome.LOST
    assert (await the_purchase(database, slot)).cancel_wanted_at is not None
    assert (await the_slot(database, slot.job_id)).state is S.CANCELED


async def test_a_purchase_that_was_said_not_to_be_one_is_canceled_when_it_runs_for_an_ended_job(
    database: Database,
) -> None:
    slot = await open_slot(database, S.PENDING)
    row = await the_purchase(database, slot)
    await end_job(database, slot.job_id)
    assert (await the_purchase(database, slot)).cancel_wanted_at is None

    await hear(database, news("p1", "processing", row=row))

    async with database.transaction() as tx:
        (unwanted,) = await predictions.to_cancel(tx, limit=9, lease=timedelta(minutes=1))
    assert unwanted.prediction_id == "p1"


async def test_what_runs_for_an_ended_job_is_canceled_before_its_slot_is_closed(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'failed', ended_at = now()")

    await hear(database, news(PREDICTION, "processing"))

    assert (await the_purchase(database, slot)).cancel_wanted_at is not None


async def test_a_cancel_that_we_asked_for_is_no_failure_of_a_slot_that_is_about_to_be_closed(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET state = 'failed', ended_at = now()")
    await hear(database, news(PREDICTION, "processing"))

    recorded = await hear(database, news(PREDICTION, "canceled"))

    assert not recorded.closes
    assert (await the_slot(database, slot.job_id)).state is S.RUNNING


async def test_a_cancel_that_we_asked_for_takes_no_success_away(database: Database) -> None:
    first = await a_slot(database, S.IN_DOUBT)
    second = await given_up(database, first)
    await bought(database, second, "p2")
    await hear(database, news("p1", "succeeded", row=await the_purchase(database, second, 1)))

    recorded = await hear(database, news("p2", "canceled"), again=always)

    assert recorded.outcome is Outcome.LOST
    after = await the_slot(database, second.job_id)
    assert (after.state, after.winner, after.attempt) == (S.SUCCEEDED, 1, 2)


async def test_a_replayed_success_does_not_win_back_a_slot_whose_files_are_gone(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUCCEEDED)
    reopened = await moved(database, slot, Move(S.PENDING, next_attempt=True))

    recorded = await hear(database, news(PREDICTION, "succeeded"))

    assert recorded.outcome is Outcome.NOTHING_NEW
    assert await the_slot(database, slot.job_id) == reopened
    assert (reopened.winner, reopened.expires_at) == (None, None)


# ---- a prediction only goes forward


@pytest.mark.parametrize("verdict", ["succeeded", "failed", "canceled", "aborted"])
async def test_a_verdict_is_never_overwritten(database: Database, verdict: str) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, news(PREDICTION, verdict, metrics={"predict_time": 1}, error="first"))
    known = await the_purchase(database, slot)

    for late in Status:
        await hear(database, news(PREDICTION, late, metrics={"predict_time": 9}, error="second"))

        assert await the_purchase(database, slot) == known


async def test_a_late_start_does_not_take_processing_back(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)

    recorded = await hear(database, news(PREDICTION, "starting"))

    assert recorded.outcome is Outcome.NOTHING_NEW
    assert (await the_purchase(database, slot)).status is Status.PROCESSING


async def test_a_body_whose_data_was_removed_says_its_verdict_and_erases_nothing(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(
        database,
        news(
            PREDICTION, "processing", metrics={"image_count": 4}, started_at="2026-06-01T11:00:00Z"
        ),
    )

    recorded = await hear(
        database, news(PREDICTION, "succeeded", data_removed=True, output=None, input={})
    )

    assert (recorded.outcome, recorded.wins) == (Outcome.DATA_REMOVED, True)
    assert (await the_slot(database, slot.job_id)).state is S.SUCCEEDED
    purchase = await the_purchase(database, slot)
    assert purchase.metrics == {"image_count": 4}
    assert purchase.started_at is not None


async def test_what_was_measured_stays_when_the_data_is_removed(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, news(PREDICTION, "processing", metrics={"image_count": 4}))

    await hear(
        database, news(PREDICTION, "succeeded", data_removed=True, metrics={"image_count": 0})
    )

    assert (await the_purchase(database, slot)).metrics == {"image_count": 4}


async def test_a_status_that_nobody_knows_is_kept_and_moves_nothing(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)

    recorded = await hear(database, news(PREDICTION, "meditating"))

    assert recorded.outcome is Outcome.NOTHING_NEW
    assert await the_slot(database, slot.job_id) == slot
    assert (await the_purchase(database, slot)).last_news_at is not None


async def test_news_puts_the_next_question_off(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    async with database.transaction() as tx:
        await tx.execute("UPDATE prediction SET ask_at = now() - interval '1 hour'")

    await hear(database, news(PREDICTION, "processing"))

    async with database.transaction() as tx:
        assert await predictions.to_ask(tx, limit=9, lease=timedelta(minutes=1)) == []
    assert (await the_purchase(database, slot)).ask_at is not None


# ---- finding the purchase


async def test_the_address_of_the_webhook_finds_it_where_the_body_is_silent(
    database: Database,
) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    row = await the_purchase(database, slot)

    recorded = await hear(database, news("p1", "starting", extensions={SLOT: str(row.ref)}))

    assert recorded.outcome is Outcome.MOVED
    assert (await the_purchase(database, slot)).prediction_id == "p1"


async def test_the_signed_body_beats_the_address(database: Database) -> None:
    job_id = await a_job(database, n=2)
    async with database.transaction() as tx:
        one, two = await claim(tx)
    meant, other = await the_purchase(database, one), await the_purchase(database, two)

    await hear(database, news("p1", "starting", row=meant, extensions={SLOT: str(other.ref)}))

    assert (await the_slot(database, job_id, 1)).state is S.RUNNING
    assert (await the_slot(database, job_id, 2)).state is S.CREATING


async def test_a_wrong_token_names_no_purchase(database: Database) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    row = await the_purchase(database, slot)
    forged = str(row.ref).replace(row.token, "x" * 32)

    recorded = await hear(
        database, news("p1", "succeeded", webhook=f"https://d.example/w?slot={forged}")
    )

    assert recorded.outcome is Outcome.UNKNOWN
    assert await the_slot(database, slot.job_id) == slot


async def test_another_prediction_under_the_same_purchase_is_ambiguous(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    row = await the_purchase(database, slot)

    recorded = await hear(database, news("p2", "succeeded", row=row))

    assert recorded.outcome is Outcome.AMBIGUOUS
    assert await the_slot(database, slot.job_id) == slot
    assert await the_purchase(database, slot) == row


async def test_the_job_in_the_input_and_the_seed_find_a_purchase_in_doubt(
    database: Database,
) -> None:
    job_id = await a_job(database, n=2, seeds=[7, 8])
    async with database.transaction() as tx:
        one, _two = await claim(tx)
    await doubted(database, one)

    recorded = await hear(
        database,
        news("p1", "succeeded", input={**linked(job_id), "seed": 7}),
    )

    assert recorded.outcome is Outcome.MOVED
    assert (await the_slot(database, job_id, 1)).winner == 1


@pytest.mark.parametrize("seeds", [[7, 7], [None, None]])
async def test_two_purchases_that_look_alike_are_never_guessed(
    database: Database, seeds: list[int | None]
) -> None:
    job_id = await a_job(database, n=2, seeds=seeds)
    async with database.transaction() as tx:
        await claim(tx)
    seed = {} if seeds[0] is None else {"seed": 7}

    recorded = await hear(database, news("p1", "succeeded", input={**linked(job_id), **seed}))

    assert recorded.outcome is Outcome.AMBIGUOUS
    assert (await the_slot(database, job_id, 1)).state is S.CREATING
    assert (await the_slot(database, job_id, 2)).state is S.CREATING


async def test_links_to_two_jobs_name_none(database: Database) -> None:
    jobs_named = [await a_job(database), await a_job(database)]
    async with database.transaction() as tx:
        await claim(tx)

    recorded = await hear(
        database,
        news("p1", "succeeded", input={"images": [linked(job) for job in jobs_named], "seed": 1}),
    )

    assert recorded.outcome is Outcome.AMBIGUOUS


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": {"image": f"https://s3.example/jobs/{uuid4()}/original/a.jpg", "seed": 1}},
        {"input": {"image": "https://s3.example/jobs/7/original/a.jpg", "seed": 10**40}},
    ],
)
async def test_news_of_no_purchase_of_ours_is_unknown_and_kept(
    database: Database, body: dict[str, object]
) -> None:
    envelope = news("p1", "succeeded", **body)  # type: ignore[arg-type]

    recorded = await hear(database, envelope)

    assert (recorded.outcome, recorded.slot) == (Outcome.UNKNOWN, None)
    async with database.connection() as tx:
        kept = await journal.by_event_id(tx, envelope.id)
    assert kept is not None
    assert (kept.outcome, kept.body) == ("unknown", envelope.body)


async def test_a_body_that_is_no_prediction_is_kept_as_unreadable(database: Database) -> None:
    envelope = news("p1", "succeeded")
    object.__setattr__(envelope, "body", b"\x00not json")

    recorded = await hear(database, envelope)

    assert recorded.outcome is Outcome.UNREADABLE
    async with database.connection() as tx:
        kept = await journal.by_event_id(tx, envelope.id)
    assert kept is not None
    assert kept.body == b"\x00not json"


async def test_news_that_was_unknown_takes_its_place_in_the_timeline_when_it_is_replayed(
    database: Database,
) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    lost = news("p1", "succeeded", event_id="verdict")
    assert (await hear(database, lost)).outcome is Outcome.UNKNOWN
    row = await the_purchase(database, slot)

    await hear(database, news("p1", "succeeded", row=row, event_id="verdict"))

    async with database.connection() as tx:
        timeline = await journal.of_job(tx, slot.job_id)
    assert [(entry.event_id, entry.outcome) for entry in timeline] == [("verdict", "moved")]


# ---- job and journal


async def test_the_first_news_makes_the_job_run_and_later_news_leave_it(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, news(PREDICTION, "starting"))
    first = await the_job(database, slot.job_id)

    await hear(database, news(PREDICTION, "processing"))

    assert first.state is JobState.RUNNING
    assert await the_job(database, slot.job_id) == first


async def test_the_timeline_tells_the_verdict_before_the_failure_that_it_caused(
    database: Database,
) -> None:
    slot = await a_slot(database, S.RUNNING)
    verdict = news(PREDICTION, "failed", error="E1001")

    await hear(database, verdict)
    await hear(database, verdict)

    async with database.connection() as tx:
        timeline = await journal.of_job(tx, slot.job_id)
    assert [entry.type for entry in timeline][-2:] == ["prediction.failed", "slot.failed"]
    assert json.loads(timeline[-2].body or b"") == json.loads(verdict.body)
    assert timeline[-2].published_at is not None


async def test_no_link_of_a_provider_reaches_our_fact_or_our_tables(database: Database) -> None:
    slot = await a_slot(database, S.RUNNING)

    await hear(
        database, news(PREDICTION, "failed", error="no image at https://s3.example/a?Signature=x")
    )

    assert (await the_slot(database, slot.job_id)).failure_detail == "no image at [link]"
    assert (await the_purchase(database, slot)).error == "no image at [link]"


def linked(job_id: object) -> dict[str, object]:
    return {"image": f"https://s3.example/bucket/jobs/{job_id}/original/a.jpg?X-Amz-Signature=0"}


async def open_slot(
    database: Database, state: SlotState, *, prediction_id: str = PREDICTION
) -> Slot:
    """A slot in ``state`` whose attempt was intended; the pending one was answered 429."""
    if state is not S.PENDING:
        return await a_slot(database, state, prediction_id=prediction_id)
    slot = await a_slot(database, S.CREATING)
    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, slot.job_id, 1, 1, predictions.Purchase.NOT_BOUGHT, error="throttled"
        )
    return await moved(database, slot, Move(S.PENDING))


async def test_a_slot_that_fails_stops_what_an_earlier_attempt_left_running(
    database: Database,
) -> None:
    second = await given_up(database, await a_slot(database, S.IN_DOUBT))
    first_row = await the_purchase(database, second, 1)
    await bought(database, second, "p2")
    await hear(database, news("p1", "processing", row=first_row))
    assert (await the_purchase(database, second, 1)).cancel_wanted_at is None

    await hear(database, news("p2", "failed", error="E1001"))

    assert (await the_slot(database, second.job_id)).state is S.FAILED
    assert (await the_purchase(database, second, 1)).cancel_wanted_at is not None
    assert (await the_purchase(database, second, 2)).cancel_wanted_at is None


async def test_a_slot_that_is_refused_stops_what_an_earlier_attempt_left_running(
    database: Database,
) -> None:
    second = await given_up(database, await a_slot(database, S.IN_DOUBT))
    first_row = await the_purchase(database, second, 1)
    await hear(database, news("p1", "processing", row=first_row))

    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, second.job_id, 1, 2, predictions.Purchase.REFUSED, error="no"
        )
        assert await fail(
            tx,
            second,
            Move(S.FAILED),
            attempt=2,
            code=FailureCode.INVALID_INPUT,
            detail="no",
            source="test",
            now=NOON,
        )

    assert (await the_purchase(database, second, 1)).cancel_wanted_at is not None
    assert (await the_purchase(database, second, 2)).cancel_wanted_at is None
