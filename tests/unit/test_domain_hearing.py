"""Who may move what: the status of a prediction, and what its slot hears of it."""

from itertools import product

import pytest

from shared.domain.hearing import further, told_to_slot
from shared.domain.prediction import TERMINAL, Status
from shared.domain.slot import News

STEPS: list[set[Status | None]] = [{None}, {Status.STARTING}, {Status.PROCESSING}, {*TERMINAL}]


@pytest.mark.parametrize(("earlier", "later"), [*product(range(4), range(4))])
def test_a_status_goes_forward_and_never_back(earlier: int, later: int) -> None:
    for known, heard in product(STEPS[earlier], STEPS[later]):
        assert further(known, heard) == (heard if later > earlier else known)


@pytest.mark.parametrize("cancel_wanted", [True, False])
@pytest.mark.parametrize("current", [True, False])
def test_a_success_is_told_whichever_attempt_it_comes_from(
    current: bool, cancel_wanted: bool
) -> None:
    told = told_to_slot(Status.SUCCEEDED, current=current, cancel_wanted=cancel_wanted)

    assert told is News.SUCCEEDED


@pytest.mark.parametrize("status", [None, *sorted(set(Status) - {Status.SUCCEEDED})])
def test_nothing_else_is_told_of_another_attempt(status: Status | None) -> None:
    assert told_to_slot(status, current=False, cancel_wanted=False) is None


def test_only_a_cancel_that_nobody_asked_for_is_told() -> None:
    assert told_to_slot(Status.CANCELED, current=True, cancel_wanted=True) is None
    assert told_to_slot(Status.CANCELED, current=True, cancel_wanted=False) is News.CANCELED
