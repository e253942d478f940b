"""When a job ends, and how."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.job import ALL, ANY, Call, Completion, JobState, Tally, at_least, decide_end

SLOTS_CLOSED, DEADLINE = Call.SLOTS_CLOSED, Call.DEADLINE_REACHED


def test_a_job_waits_for_its_last_slot_even_when_its_end_is_certain() -> None:
    assert decide_end(Tally(n=3, stored=0, failed=2), ALL, SLOTS_CLOSED) is None


@pytest.mark.parametrize(
    ("rule", "stored", "failed", "end"),
    [
        (ALL, 3, 0, JobState.COMPLETED),
        (ALL, 2, 1, JobState.FAILED),
        (ANY, 1, 2, JobState.COMPLETED),
        (ANY, 0, 3, JobState.FAILED),
        (at_least(2), 2, 1, JobState.COMPLETED),
        (at_least(2), 1, 2, JobState.FAILED),
        (at_least(9), 3, 0, JobState.COMPLETED),
        (at_least(0), 0, 3, JobState.FAILED),
    ],
)
def test_the_last_slot_ends_the_job_by_its_rule(
    rule: Completion, stored: int, failed: int, end: JobState
) -> None:
    assert decide_end(Tally(n=3, stored=stored, failed=failed), rule, SLOTS_CLOSED) is end


@pytest.mark.parametrize(("stored", "end"), [(1, JobState.COMPLETED), (0, JobState.FAILED)])
def test_the_deadline_ends_a_job_with_slots_open_by_the_same_rule(
    stored: int, end: JobState
) -> None:
    assert decide_end(Tally(n=3, stored=stored, failed=0), ANY, DEADLINE) is end


def test_a_wish_cancels_whatever_is_counted() -> None:
    assert decide_end(Tally(n=3, stored=2, failed=0), ANY, Call.CANCEL_REQUESTED) is (
        JobState.CANCELED
    )


def test_a_job_without_a_slot_has_failed() -> None:
    assert decide_end(Tally(n=0, stored=0, failed=0), ALL, SLOTS_CLOSED) is JobState.FAILED


@given(st.integers(1, 50), st.integers(0, 50), st.data())
def test_closed_slots_always_end_a_job_and_open_ones_never(
    n: int, stored: int, data: st.DataObject
) -> None:
    stored = min(stored, n)
    failed = data.draw(st.integers(0, n - stored))
    canceled = data.draw(st.integers(0, n - stored - failed))
    tally = Tally(n=n, stored=stored, failed=failed, canceled=canceled)

    end = decide_end(tally, ALL, SLOTS_CLOSED)

    assert (end is None) == (stored + failed + canceled < n)
    assert (end is JobState.COMPLETED) == (stored == n)
