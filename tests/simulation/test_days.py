"""Thousands of days of trouble, each out of one seed: the laws hold on every one of them, and they
see every bug that is planted."""

import pytest

from tests.simulation.__main__ import first_that_breaks_a_law
from tests.simulation.planted import PLANTED
from tests.simulation.rules import RULES
from tests.simulation.world import World

SEEDS = 12_000
SHARE = 3_000  # of one test, so that workers share them


@pytest.mark.parametrize("begin", range(0, SEEDS, SHARE))
def test_no_day_of_trouble_breaks_a_law(begin: int) -> None:
    broken = first_that_breaks_a_law(range(begin, begin + SHARE), RULES)

    assert broken is None, broken


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_breaks_a_law_on_some_day(bug: str) -> None:
    assert first_that_breaks_a_law(range(SHARE), PLANTED[bug]) is not None


def test_a_seed_tells_the_same_day_again() -> None:
    first: list[str] = []
    second: list[str] = []

    World(17, tell=first.append).run()
    World(17, tell=second.append).run()

    assert len(first) > 10
    assert first == second


def test_most_days_have_trouble_and_most_kinds_of_end() -> None:
    """A simulation in which nothing ever happens would hold every law."""
    days = [World(seed).run() for seed in range(300)]

    jobs = [job for day in days for job in day.jobs]
    slots = [slot for job in jobs for slot in job.slots]
    rows = [row for slot in slots for row in slot.rows]
    assert sum(bool(day.troubles) for day in days) > len(days) / 2
    assert {job.state for job in jobs} == {"completed", "failed", "canceled"}
    assert {slot.state for slot in slots} == {"stored", "failed", "canceled"}
    assert {row.outcome for row in rows} >= {"accepted", "refused", "not_bought", "not_listed"}
    assert any(slot.winner is not None and slot.winner < slot.attempt for slot in slots)
    assert any(sold.late for day in days for sold in day.sold.values())
