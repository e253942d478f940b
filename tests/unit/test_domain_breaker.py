"""When a consumer stops by itself, and how it finds its way back."""

from datetime import timedelta

from shared.domain.breaker import FIRST_REST, LONGEST_REST, MOST_DEAD_IN_A_ROW, Breaker


def after(dead: int) -> Breaker:
    breaker = Breaker()
    for number in range(dead):
        breaker.died(f"why {number + 1}")
    return breaker


def test_it_opens_with_the_last_of_too_many_in_a_row() -> None:
    assert not after(MOST_DEAD_IN_A_ROW - 1).is_open
    assert after(MOST_DEAD_IN_A_ROW).is_open


def test_one_that_went_well_in_between_begins_the_row_anew() -> None:
    breaker = after(MOST_DEAD_IN_A_ROW - 1)

    breaker.went_well()
    for _ in range(MOST_DEAD_IN_A_ROW - 1):
        breaker.died("why")

    assert not breaker.is_open


def test_each_try_in_vain_doubles_the_rest_up_to_the_longest() -> None:
    rests = [after(MOST_DEAD_IN_A_ROW + tries).rest for tries in range(8)]

    assert rests[:5] == [FIRST_REST * factor for factor in (1, 2, 4, 8, 16)]
    assert set(rests[5:]) == {LONGEST_REST}
    assert after(MOST_DEAD_IN_A_ROW + 10_000).rest == LONGEST_REST


def test_a_try_that_goes_well_closes_it_and_forgets_how_long_it_was_open() -> None:
    breaker = after(MOST_DEAD_IN_A_ROW + 5)

    breaker.went_well()

    assert (breaker.is_open, breaker.rest, breaker.reason) == (False, timedelta(seconds=1), "")


def test_it_tells_of_what_the_last_one_died() -> None:
    assert after(MOST_DEAD_IN_A_ROW).reason == f"why {MOST_DEAD_IN_A_ROW}"
