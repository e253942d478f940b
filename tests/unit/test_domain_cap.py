"""What a recipe may cost a day: the rule, and what it promises whatever the purchases come to."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cap import (
    ADDED_UP_EVERY,
    AT_MOST_EVERY,
    Spent,
    day_of,
    days_since,
    room,
    to_add_up,
    why_caps_cannot_hold,
)

CENT = 10_000
NOTHING = Spent()
SEOUL = ZoneInfo("Asia/Seoul")
MONEY = st.integers(min_value=0, max_value=10**9)
COUNT = st.integers(min_value=0, max_value=1_000)


def fits(spent: Spent, *, cap: int, estimate: int = CENT, wanted: int = 100) -> int:
    return room(spent, cap=cap, estimate=estimate, wanted=wanted)


# ---- what fits


def test_as_many_fit_as_the_cap_pays_for_to_the_last_of_them() -> None:
    assert fits(NOTHING, cap=10 * CENT) == 10
    assert fits(NOTHING, cap=10 * CENT - 1) == 9
    assert fits(NOTHING, cap=10 * CENT, wanted=3) == 3
    assert fits(NOTHING, cap=0) == 0


def test_what_runs_or_is_in_doubt_counts_by_what_it_was_expected_to_cost() -> None:
    assert fits(Spent(open=4, open_micros=4 * CENT), cap=10 * CENT) == 6


def test_a_cost_takes_the_place_of_its_estimate() -> None:
    assert fits(Spent(paid=4, paid_micros=CENT), cap=10 * CENT) == 9
    assert fits(Spent(paid=1, paid_micros=11 * CENT), cap=10 * CENT) == 0


def test_where_purchases_turn_out_dearer_those_that_run_count_as_much() -> None:
    dearer = Spent(paid=2, paid_micros=6 * CENT, open=2, open_micros=2 * CENT)

    assert dearer.micros == 12 * CENT
    assert fits(dearer, cap=15 * CENT) == 1
    assert fits(dearer, cap=15 * CENT - 1) == 0


def test_where_they_turn_out_cheaper_the_next_one_counts_as_it_is_expected() -> None:
    cheaper = Spent(paid=10, paid_micros=CENT, open=1, open_micros=CENT)

    assert fits(cheaper, cap=4 * CENT) == 2


def test_what_costs_nothing_always_fits_under_a_cap_that_is_not_broken() -> None:
    assert fits(NOTHING, cap=0, estimate=0, wanted=7) == 7
    assert fits(Spent(open=1, open_micros=1), cap=0, estimate=0, wanted=7) == 0


@given(
    paid=COUNT,
    paid_micros=MONEY,
    open_=COUNT,
    open_micros=MONEY,
    cap=MONEY,
    estimate=MONEY,
    wanted=COUNT,
)
def test_what_is_expected_never_goes_over_the_cap_and_no_room_is_left_unused(
    paid: int, paid_micros: int, open_: int, open_micros: int, cap: int, estimate: int, wanted: int
) -> None:
    spent = Spent(paid=paid, paid_micros=paid_micros, open=open_, open_micros=open_micros)

    granted = fits(spent, cap=cap, estimate=estimate, wanted=wanted)

    assert 0 <= granted <= wanted
    if granted:
        assert spent.micros + granted * spent.one_more(estimate) <= cap
    if granted < wanted:
        assert spent.micros + (granted + 1) * spent.one_more(estimate) > cap
    assert fits(spent, cap=cap, estimate=estimate, wanted=granted) == granted


@given(
    paid=COUNT,
    paid_micros=MONEY,
    open_=COUNT,
    more=st.integers(1, 50),
    estimate=MONEY,
    cap=MONEY,
)
def test_what_was_granted_counts_for_whoever_asks_next(
    paid: int, paid_micros: int, open_: int, more: int, estimate: int, cap: int
) -> None:
    before = Spent(paid=paid, paid_micros=paid_micros, open=open_, open_micros=open_ * estimate)

    after = before.intended(more, estimate)

    assert after.micros >= before.micros + more * estimate
    assert fits(after, cap=cap, estimate=estimate) <= fits(before, cap=cap, estimate=estimate)


# ---- a day of it, with several who buy


@dataclass
class ADay:
    """Purchases as they go: each bought at an estimate, and settled at what it did cost."""

    cap: int
    estimate: int
    running: list[int] = field(default_factory=list)  # what each will have cost
    paid: list[int] = field(default_factory=list)
    known: Spent = NOTHING
    since: int = 0
    age: timedelta = timedelta(0)

    def added_up(self) -> Spent:
        return Spent(
            paid=len(self.paid),
            paid_micros=sum(self.paid),
            open=len(self.running),
            open_micros=len(self.running) * self.estimate,
        )

    def buy(self, wanted: int, costs: list[int]) -> int:
        """One claim of one replica, as it goes under the lock of the row."""
        if to_add_up(
            self.known,
            cap=self.cap,
            estimate=self.estimate,
            wanted=wanted,
            since=self.since,
            age=self.age,
        ):
            self.known, self.since, self.age = self.added_up(), 0, timedelta(0)
        granted = fits(self.known, cap=self.cap, estimate=self.estimate, wanted=wanted)
        self.known, self.since = self.known.intended(granted, self.estimate), self.since + granted
        self.running += costs[:granted]
        return granted

    def settle(self, place: int) -> None:
        if self.running:
            self.paid.append(self.running.pop(place % len(self.running)))

    @property
    def total(self) -> int:
        return sum(self.paid) + sum(self.running)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.integers(1, 16)),
        st.tuples(st.just("settle"), st.integers(0, 99)),
        st.tuples(st.just("wait"), st.integers(0, 10)),
    ),
    max_size=120,
)


def lived(day: ADay, steps: list[tuple[str, int]], dearest: int, seed: int) -> None:
    chance = random.Random(seed)
    for step, number in steps:
        if step == "buy":
            day.buy(number, [chance.randint(0, dearest) for _ in range(number)])
        elif step == "settle":
            day.settle(number)
        else:
            day.age += timedelta(seconds=number)


@given(steps=STEPS, cap=st.integers(0, 200 * CENT), estimate=st.integers(1, 20 * CENT), seed=COUNT)
def test_a_day_whose_purchases_cost_no_more_than_expected_never_goes_over(
    steps: list[tuple[str, int]], cap: int, estimate: int, seed: int
) -> None:
    day = ADay(cap=cap, estimate=estimate)

    lived(day, steps, dearest=estimate, seed=seed)

    assert day.total <= cap


@given(steps=STEPS, cap=st.integers(0, 200 * CENT), estimate=st.integers(1, 20 * CENT), seed=COUNT)
def test_a_day_goes_over_only_by_what_its_purchases_cost_more_than_expected(
    steps: list[tuple[str, int]], cap: int, estimate: int, seed: int
) -> None:
    day = ADay(cap=cap, estimate=estimate)

    lived(day, steps, dearest=5 * estimate, seed=seed)

    beyond = sum(max(0, cost - estimate) for cost in (*day.paid, *day.running))
    assert day.total <= cap + beyond


@given(cap=st.integers(CENT, 300 * CENT), dearer=st.integers(1, 8))
def test_one_after_the_other_goes_over_by_one_purchase_at_most(cap: int, dearer: int) -> None:
    day = ADay(cap=cap, estimate=CENT)

    for _ in range(600):
        day.buy(1, [dearer * CENT])
        day.age += AT_MOST_EVERY
        day.settle(0)

    assert day.total <= cap + (dearer - 1) * CENT
    assert cap - day.total < dearer * CENT


# ---- when the day is added up anew


def anew(spent: Spent, *, cap: int, since: int = 0, wanted: int = 1, age: float = 0.0) -> bool:
    return to_add_up(
        spent,
        cap=cap,
        estimate=CENT,
        wanted=wanted,
        since=since,
        age=timedelta(seconds=age),
    )


def test_far_from_the_cap_a_day_is_added_up_now_and_then() -> None:
    assert not anew(NOTHING, cap=1_000 * CENT)
    assert not anew(NOTHING, cap=1_000 * CENT, since=99)
    assert anew(NOTHING, cap=1_000 * CENT, since=100)
    assert anew(NOTHING, cap=1_000 * CENT, age=ADDED_UP_EVERY.total_seconds())


def test_near_the_cap_it_is_added_up_for_each_purchase() -> None:
    assert anew(NOTHING, cap=9 * CENT)


def test_while_nothing_fits_it_is_added_up_once_a_second() -> None:
    full = Spent(open=9, open_micros=9 * CENT)

    assert not anew(full, cap=9 * CENT, age=0.5)
    assert anew(full, cap=9 * CENT, age=AT_MOST_EVERY.total_seconds())
    assert anew(full, cap=9 * CENT, since=1)
    assert anew(full, cap=10 * CENT)


# ---- days


@given(
    now=st.integers(0, 2_400_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    zone=st.sampled_from(
        ["UTC", "Asia/Seoul", "America/New_York", "America/Sao_Paulo", "Asia/Beirut"]
        + ["Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]
    ),
)
def test_every_moment_lies_in_one_day_and_the_days_meet(now: datetime, zone: str) -> None:
    day = day_of(now, ZoneInfo(zone))

    assert day.begins <= now < day.ends
    assert day_of(day.begins, ZoneInfo(zone)) == day
    assert day_of(day.ends, ZoneInfo(zone)).begins == day.ends
    assert timedelta(hours=22) < day.ends - day.begins < timedelta(hours=26)


def test_a_day_begins_at_midnight_where_people_are() -> None:
    day = day_of(datetime(2026, 11, 21, 15, 30, tzinfo=UTC), SEOUL)

    assert day.begins == datetime(2026, 11, 21, 15, tzinfo=UTC)
    assert day.ends == datetime(2026, 11, 22, 15, tzinfo=UTC)


def test_days_are_named_by_their_dates_and_leave_nothing_out() -> None:
    begin = datetime(2026, 11, 20, 3, tzinfo=UTC)
    now = datetime(2026, 11, 21, 15, tzinfo=UTC)

    days = days_since(begin, now, SEOUL)

    assert list(days) == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert days["2026-11-20"].begins == begin
    assert days["2026-11-20"].ends == days["2026-11-21"].begins
    assert days["2026-11-22"].ends > now


# ---- caps that cannot hold


@pytest.mark.parametrize(
    ("cap", "says"),
    [
        ("restoration", "nobody knows what restoration costs, so a cap cannot hold"),
        ("paintings", "there is no recipe 'paintings'; there is variations, restoration"),
    ],
)
def test_a_cap_that_nothing_can_be_counted_towards_is_told(cap: str, says: str) -> None:
    (why,) = why_caps_cannot_hold(["variations", cap], {"variations": 29_250, "restoration": None})

    assert says in why
