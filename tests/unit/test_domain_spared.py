"""What the end of a job spared, and what that would have cost."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.cost import Price
from shared.domain.prediction import Status
from shared.domain.spared import Spared, Typical, Unfinished, spared

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
# Ten seconds at a tenth of a cent each, and one output at half a cent: 1.5 cents.
PRICE = Price(micro_dollars_per_second=1_000, micro_dollars_per_output=5_000)
TYPICAL = Typical(run=timedelta(seconds=10), price=PRICE)
FULL = 15_000


def of(*unfinished: Unfinished, typical: Typical | None = TYPICAL) -> Spared:
    return spared(unfinished, typical=typical, now=NOON)


def running(*, since: float, status: Status = Status.PROCESSING) -> Unfinished:
    began = NOON - timedelta(seconds=since)
    return Unfinished(bought=True, known=True, status=status, started_at=began)


def test_a_slot_that_was_never_bought_spares_a_whole_run() -> None:
    assert of(Unfinished(bought=False)) == Spared(not_bought=1, micros=FULL)


@pytest.mark.parametrize(("since", "left"), [(0, 10), (4, 6), (10, 0), (300, 0), (-5, 10)])
def test_a_run_that_is_told_to_end_spares_what_is_left_of_it(since: float, left: int) -> None:
    assert of(running(since=since)) == Spared(stopped=1, micros=left * 1_000 + 5_000)


def test_a_run_that_has_not_started_spares_all_of_it() -> None:
    waits = Unfinished(bought=True, known=True, status=Status.STARTING)

    assert of(waits) == Spared(stopped=1, micros=FULL)


@pytest.mark.parametrize("status", [Status.CANCELED, Status.ABORTED])
def test_once_its_verdict_is_in_a_stopped_run_spares_what_it_did_not_cost(status: Status) -> None:
    ended = Unfinished(bought=True, known=True, status=status, started_at=NOON, cost_micros=4_000)

    assert of(ended) == Spared(stopped=1, micros=FULL - 4_000)


def test_a_run_that_cost_more_than_usual_spares_nothing_and_never_less() -> None:
    dear = Unfinished(bought=True, known=True, status=Status.CANCELED, cost_micros=1_000_000)

    assert of(dear) == Spared(stopped=1, micros=0)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED])
def test_a_run_that_came_to_its_own_end_is_paid_for(status: Status) -> None:
    assert of(Unfinished(bought=True, known=True, status=status)) == Spared(micros=0)


def test_a_purchase_in_doubt_is_not_counted_as_spared() -> None:
    assert of(Unfinished(bought=True, known=False)) == Spared(micros=0)


def test_without_a_price_slots_are_counted_and_no_money_is_told() -> None:
    told = of(Unfinished(bought=False), running(since=1), typical=None)

    assert told == Spared(not_bought=1, stopped=1, micros=None)
    assert told.dollars is None


def test_all_slots_of_a_job_add_up() -> None:
    told = of(Unfinished(bought=False), Unfinished(bought=False), running(since=5))

    assert told == Spared(not_bought=2, stopped=1, micros=2 * FULL + 10_000)
    assert told.dollars == 0.04
