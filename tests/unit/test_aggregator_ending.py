"""What the end of a job says."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.aggregator.ending import NAMED, how_it_ended, missing_of, reason_of_end
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow, Purchase
from shared.db.slots import Slot
from shared.domain.job import JobState, Tally
from shared.domain.slot import FailureCode, SlotState
from shared.domain.spared import Spared
from shared.events import MISSING_TOLD, JobCompleted, Missing

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
JOB = UUID(int=7)
S = SlotState


def a_slot(ordinal: int, state: SlotState = S.STORED, **more: Any) -> Slot:
    values: dict[str, Any] = {
        **dict.fromkeys(
            (
                "winner",
                "due_at",
                "lease_until",
                "expires_at",
                "failure_code",
                "failure_detail",
                "counted_at",
            )
        ),
        "skipped": [],
        **more,
    }
    return Slot(
        ordinal=ordinal,
        model="owner/model",
        input={},
        job_id=JOB,
        state=state,
        attempt=1,
        not_listed=0,
        fence=1,
        created_at=NOON,
        moved_at=NOON,
        **values,
    )


def failed(ordinal: int, code: FailureCode = FailureCode.NSFW, detail: str = "NSFW") -> Slot:
    return a_slot(ordinal, S.FAILED, failure_code=code, failure_detail=detail)


def skipping(ordinal: int, *skips: tuple[int, str]) -> Slot:
    return a_slot(ordinal, skipped=[{"index": index, "why": why} for index, why in skips])


def a_purchase(attempt: int, *, cost: int | None, seconds: float | None = None) -> PredictionRow:
    return PredictionRow(
        job_id=JOB,
        ordinal=1,
        attempt=attempt,
        token="t",
        model="owner/model",
        seed=1,
        prediction_id=f"p{attempt}",
        url=None,
        status=None,
        outcome=Purchase.ACCEPTED,
        adopted=False,
        error=None,
        metrics={},
        predict_seconds=seconds,
        cost_micros=cost,
        intended_at=NOON,
        create_deadline=NOON,
        answered_at=None,
        created_at=None,
        started_at=None,
        completed_at=None,
        last_news_at=None,
        ask_every=timedelta(seconds=30),
        ask_at=None,
        asked=0,
        cancel_wanted_at=None,
        cancel_sent_at=None,
    )


def an_ended_job(state: JobState = JobState.COMPLETED, **more: Any) -> Job:
    return Job(
        id=JOB,
        recipe="variations",
        ordered_at=NOON,
        state=state,
        report="pending",
        report_key=None,
        created_at=NOON,
        queued_at=NOON,
        running_at=NOON,
        ended_at=NOON,
        **{"n": 3, "stored": 3, "failed": 0, "canceled": 0, "reason": None, **more},
    )


def reason(*lacking: Slot, n: int = 3, given: str | None = None) -> str | None:
    gone = sum(slot.state is not S.STORED for slot in lacking)
    tally = Tally(n=n, stored=n - gone, failed=gone)
    return reason_of_end(tally, missing_of(lacking), given=given)


def test_a_job_that_lacks_nothing_needs_no_reason() -> None:
    assert reason() is None


@pytest.mark.system("V9")
def test_what_is_missing_is_said_by_slot_with_its_code_and_the_words_it_came_with() -> None:
    assert reason(failed(3)) == "2 of 3 stored; missing: slot 3 (nsfw: NSFW)"


def test_outputs_that_could_not_be_used_are_counted_from_one_for_people() -> None:
    said = reason(skipping(1, (2, "the picture is cut off"), (3, "404")), n=1)

    assert said == (
        "1 of 1 stored; missing: output 3 of slot 1 (the picture is cut off), "
        "output 4 of slot 1 (404)"
    )


@pytest.mark.parametrize("state", [s for s in S if s not in (S.STORED, S.FAILED, S.CANCELED)])
def test_slots_that_a_deadline_leaves_open_are_missing_with_how_far_they_were(
    state: SlotState,
) -> None:
    [missing] = missing_of([a_slot(2, state)])

    assert (missing.ordinal, missing.code) == (2, "unfinished")
    assert missing.detail.startswith("it ")
    assert missing.detail != "it was canceled"
    assert reason(a_slot(2, state), given="the job's deadline passed") == (
        f"the job's deadline passed; 2 of 3 stored; missing: slot 2 (unfinished: {missing.detail})"
    )


def test_of_thousands_a_few_are_named_and_the_rest_counted() -> None:
    lacking = [failed(n) for n in range(1, MISSING_TOLD + 1)]
    tally = Tally(n=10_000, stored=0, failed=10_000)

    said = reason_of_end(tally, missing_of(lacking), given=None)

    assert said is not None
    assert said.count("slot ") == NAMED
    assert said.endswith(f"and {10_000 - NAMED} more")


def test_a_reason_is_one_line_however_long_the_providers_words_are() -> None:
    said = reason(failed(1, FailureCode.PROVIDER, "Traceback:\n  " + "x" * 5000))

    assert said is not None
    assert "\n" not in said
    assert len(said) < 300


def test_what_is_missing_names_slots_and_single_outputs() -> None:
    lacking = [skipping(1, (3, "404")), failed(2), a_slot(3, S.CANCELED)]

    assert missing_of(lacking) == (
        Missing(ordinal=1, code="skipped", detail="404", index=3),
        Missing(ordinal=2, code="nsfw", detail="NSFW"),
        Missing(ordinal=3, code="unfinished", detail="it was canceled"),
    )


def test_every_purchase_whose_cost_is_known_is_counted() -> None:
    bought = [
        a_purchase(1, cost=1_500, seconds=1.5),
        a_purchase(2, cost=None),
        a_purchase(3, cost=2_000, seconds=2.0),
    ]

    told = how_it_ended(an_ended_job(), [], bought, (), (), Spared())

    assert (told.cost, told.predict_seconds) == (0.0035, 3.5)


def test_where_no_price_is_known_no_cost_is_told() -> None:
    told = how_it_ended(
        an_ended_job(), [], [a_purchase(1, cost=None, seconds=4.0)], (), (), Spared()
    )

    assert (told.cost, told.predict_seconds) == (None, 4.0)


def test_an_end_carries_so_much_of_what_is_missing_and_no_more() -> None:
    missing = [Missing(ordinal=1, code="skipped", detail="404", index=n) for n in range(500)]

    told = how_it_ended(an_ended_job(), [], [], missing, ("Rounded to 4 s.",), Spared())

    assert isinstance(told, JobCompleted)
    assert told.missing == tuple(missing[:MISSING_TOLD])
    assert told.notes == ("Rounded to 4 s.",)
