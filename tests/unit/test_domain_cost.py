"""What a prediction has cost, by the price hint and by what its last news says."""

from typing import Any

import pytest

from shared.domain.cost import cost_micros
from shared.domain.prediction import read_prediction

BEGAN, ENDED = "2026-06-01T12:00:00Z", "2026-06-01T12:00:04Z"


def cost(
    status: str = "succeeded",
    *,
    per_second: int | None = 975,
    per_output: int | None = 0,
    **body: Any,
) -> int | None:
    return cost_micros(
        read_prediction({"id": "p1", "status": status, **body}),
        micros_per_second=per_second,
        micros_per_output=per_output,
    )


def test_seconds_are_paid_for_by_the_metrics() -> None:
    assert cost(metrics={"predict_time": 4.0}, started_at=BEGAN, completed_at=BEGAN) == 3900


def test_outputs_are_paid_for_by_their_number() -> None:
    assert cost(per_second=0, per_output=40_000, output=["u", None, "v"]) == 80_000
    assert cost(per_second=0, per_output=40_000, output="u") == 40_000
    assert cost(per_second=0, per_output=40_000, output=None) == 0


def test_seconds_and_outputs_add_up() -> None:
    assert cost(per_second=100, per_output=7, output=["u"], metrics={"predict_time": 2}) == 207


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted"])
def test_what_came_to_nothing_is_paid_for_as_long_as_it_ran(status: str) -> None:
    assert cost(status, metrics={"predict_time": 2.0}) == 1950
    assert cost(status, started_at=BEGAN, completed_at=ENDED) == 3900
    assert cost(status) == 0


def test_no_price_is_no_cost_rather_than_none_at_all() -> None:
    assert cost(per_second=None, per_output=None, metrics={"predict_time": 4.0}) is None


@pytest.mark.parametrize("status", ["starting", "processing", "dreaming"])
def test_what_still_runs_has_no_cost_yet(status: str) -> None:
    assert cost(status, metrics={"predict_time": 4.0}) is None


def test_what_is_not_known_is_not_guessed() -> None:
    assert cost() is None
    assert cost(started_at=BEGAN) is None
    assert cost(per_second=0, per_output=5, data_removed=True) is None
    assert cost(per_output=0, data_removed=True, metrics={"predict_time": 4.0}) == 3900


def test_a_clock_that_runs_backwards_pays_nobody_back() -> None:
    assert cost(started_at=ENDED, completed_at=BEGAN) == 0
