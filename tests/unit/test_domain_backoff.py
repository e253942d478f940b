"""How long a message waits for its next try, and a silent prediction for its next question."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.backoff import (
    FIRST,
    LONGEST,
    LONGEST_SILENCE,
    silence_before,
    wait_before,
)

MINUTE = timedelta(minutes=1)
chances = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), chances)
def test_the_wait_doubles_at_the_most_and_is_never_longer_than_the_longest(
    attempt: int, chance: float
) -> None:
    wait = wait_before(attempt, chance=chance)

    assert timedelta(0) <= wait <= min(LONGEST, FIRST * 2 ** min(attempt - 1, 20))


@given(st.integers(1, 100), chances)
def test_what_the_other_side_asked_for_is_waited_at_the_least(attempt: int, chance: float) -> None:
    assert wait_before(attempt, chance=chance, retry_after=MINUTE) >= MINUTE


@given(
    st.integers(1, 100),
    chances,
    st.none() | st.timedeltas(timedelta(0), timedelta(hours=2)),
    st.timedeltas(timedelta(seconds=2), timedelta(hours=1)),
)
def test_there_is_always_another_try_before_it_is_too_late(
    attempt: int, chance: float, asked: timedelta | None, left: timedelta
) -> None:
    assert wait_before(attempt, chance=chance, retry_after=asked, left=left) <= left / 2


@pytest.mark.parametrize("left", [timedelta(0), -MINUTE, FIRST])
def test_where_it_is_too_late_the_wait_is_as_ever(left: timedelta) -> None:
    assert wait_before(3, chance=0.5, left=left) == wait_before(3, chance=0.5)


@pytest.mark.parametrize("every", [timedelta(seconds=2), timedelta(seconds=20)])
def test_a_silent_prediction_is_asked_about_ever_more_seldom_and_never_forgotten(
    every: timedelta,
) -> None:
    waits = [silence_before(asked, every=every) for asked in range(50)]

    assert waits[0] == every
    assert waits == sorted(waits)
    assert waits[-1] == min(every * 10, LONGEST_SILENCE)
