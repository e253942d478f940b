"""Who vouches for our clock, and for how long."""

from datetime import timedelta

import pytest

from services.ingress.clock import Vouched

NOW = 1_800_000_000.0


def vouched(*, skew: float = 1.0) -> Vouched:
    """Somebody who heard a genuine webhook ``skew`` seconds from our time, at NOW."""
    by_sender = Vouched()
    by_sender.genuine(timedelta(seconds=skew), wall=NOW, running=50.0)
    return by_sender


def test_nobody_vouches_before_the_first_webhook() -> None:
    assert not Vouched().for_us(wall=NOW, running=50.0)


@pytest.mark.parametrize("skew", [-59, 0, 59])
def test_a_sender_that_has_our_time_vouches_for_it(skew: int) -> None:
    assert vouched(skew=skew).for_us(wall=NOW + 500, running=550.0)


@pytest.mark.parametrize("skew", [-61, 61, 299])
def test_a_sender_whose_time_is_another_one_vouches_for_nothing(skew: int) -> None:
    assert not vouched(skew=skew).for_us(wall=NOW, running=50.0)


def test_what_was_vouched_for_is_forgotten_after_ten_minutes() -> None:
    assert not vouched().for_us(wall=NOW + 601, running=651.0)


@pytest.mark.parametrize("step", [-600, -61, 61, 600])
def test_a_clock_that_was_set_since_is_vouched_for_no_more(step: int) -> None:
    assert not vouched().for_us(wall=NOW + 5 + step, running=55.0)
