"""Which listed prediction is which purchase in doubt: told apart, or left alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.reconciler.matching import Doubted, Found, NotListed, Unclear, weigh
from shared.db.predictions import PredictionRow, Purchase
from shared.db.slots import Slot
from shared.domain.prediction import Prediction, read_prediction
from shared.domain.slot import SlotState

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
JOB = UUID("11111111-2222-3333-4444-555555555555")
KEY = f"jobs/{JOB}/original/my photo.jpg"
LINK = f"https://s3.example/bucket/jobs/{JOB}/original/my%20photo.jpg?X-Amz-Signature=1"
MODEL = "owner/model:" + "0" * 64


def doubted(ordinal: int = 1, *, seed: int = 7) -> Doubted:
    slot = Slot(
        job_id=JOB,
        ordinal=ordinal,
        model=MODEL,
        input={"image": {"object": KEY}, "seed": seed, "sizes": [1, 2]},
        seed=seed,
        state=SlotState.IN_DOUBT,
        attempt=1,
        not_listed=0,
        winner=None,
        due_at=None,
        lease_until=None,
        fence=1,
        expires_at=None,
        failure_code=None,
        skipped=[],
        failure_detail=None,
        counted_at=None,
        created_at=NOON,
        moved_at=NOON,
    )
    row = PredictionRow(
        job_id=JOB,
        ordinal=ordinal,
        attempt=1,
        token="t" * 32,
        model=MODEL,
        seed=seed,
        prediction_id=None,
        url=None,
        status=None,
        outcome=Purchase.IN_DOUBT,
        adopted=False,
        error=None,
        metrics={},
        predict_seconds=None,
        cost_micros=None,
        intended_at=NOON,
        create_deadline=NOON + timedelta(minutes=1),
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
    return Doubted(slot, row)


def listed(prediction_id: str = "p1", **more: Any) -> Prediction:
    """A prediction with the input that ``doubted()`` became; its webhook is not told."""
    body: dict[str, object] = {
        "id": prediction_id,
        "status": "starting",
        "model": "owner/model",
        "version": "hidden",
        "input": {"image": LINK, "seed": 7, "sizes": [1, 2], "steps": 25},
        "created_at": (NOON + timedelta(seconds=1)).isoformat(),
    }
    return read_prediction(body | more)


def evidence(one: Doubted, *predictions: Prediction) -> object:
    ((_, found),) = weigh([one], predictions)
    return found


def test_the_slot_in_the_webhook_decides() -> None:
    one = doubted()
    named = listed(webhook=f"https://us.example/webhooks/replicate?slot={one.row.ref}", input={})

    assert evidence(one, listed("other"), named) == Found(named)


def test_another_slots_webhook_is_no_match_however_alike_the_input() -> None:
    other = replace(doubted().row.ref, token="x" * 32)

    assert evidence(doubted(), listed(webhook=f"https://us.example/w?slot={other}")) == NotListed()


def test_without_a_webhook_the_input_decides() -> None:
    assert evidence(doubted(), listed()) == Found(listed())


@pytest.mark.parametrize(
    "other",
    [
        {"input": {"image": LINK, "seed": 8, "sizes": [1, 2]}},
        {"input": {"image": LINK, "seed": 7, "sizes": [1]}},
        {"input": {"image": LINK, "sizes": [1, 2]}},
        {"input": {"image": "https://s3.example/other.jpg", "seed": 7, "sizes": [1, 2]}},
        {"input": {"image": "https://s3.example/x" + KEY, "seed": 7, "sizes": [1, 2]}},
        {"input": {"image": None, "seed": 7, "sizes": [1, 2]}},
        {"model": "owner/another"},
        {"created_at": (NOON - timedelta(minutes=6)).isoformat()},
        {"created_at": (NOON + timedelta(minutes=7)).isoformat()},
        {"webhook": "https://elsewhere.example/hook"},
    ],
)
def test_what_differs_is_not_it(other: dict[str, Any]) -> None:
    assert evidence(doubted(), listed(**other)) == NotListed()


def test_two_predictions_with_one_input_are_not_told_apart() -> None:
    assert isinstance(evidence(doubted(), listed("p1"), listed("p2")), Unclear)


def test_a_prediction_that_an_earlier_purchase_of_the_slot_may_be_is_not_given_to_the_later() -> (
    None
):
    later = doubted()
    earlier = replace(later, row=replace(later.row, attempt=2))

    ((_, found),) = weigh([later], [listed()], rivals=[earlier])

    assert isinstance(found, Unclear)


def test_an_input_decides_nothing_where_not_all_that_it_could_fit_are_known() -> None:
    ((_, by_input),) = weigh([doubted()], [listed()], all_known=False)
    named = listed(webhook=f"https://us.example/w?slot={doubted().row.ref}")
    ((_, by_slot),) = weigh([doubted()], [named], all_known=False)

    assert isinstance(by_input, Unclear)
    assert by_slot == Found(named)


def test_one_prediction_that_fits_two_slots_is_given_to_neither() -> None:
    both = weigh([doubted(1), doubted(2)], [listed()])

    assert all(isinstance(found, Unclear) for _, found in both)


def test_slots_with_seeds_of_their_own_are_told_apart() -> None:
    first, second = doubted(1, seed=7), doubted(2, seed=8)
    of_second = listed("p2", input={"image": LINK, "seed": 8, "sizes": [1, 2]})

    assert weigh([first, second], [of_second, listed("p1")]) == [
        (first, Found(listed("p1"))),
        (second, Found(of_second)),
    ]


@pytest.mark.parametrize("lost", [{"input": {}, "data_removed": True}, {"input": {}}])
def test_a_prediction_that_lost_its_input_may_be_anybodys(lost: dict[str, Any]) -> None:
    assert isinstance(evidence(doubted(), listed(**lost)), Unclear)


def test_an_empty_list_says_that_it_was_not_bought() -> None:
    assert evidence(doubted()) == NotListed()
