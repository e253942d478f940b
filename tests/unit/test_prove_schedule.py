"""What goes wrong in a run is decided by its seed alone."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.prove import orders, schedule
from deploy.local.prove.conductor import Outcome, Plan, write
from deploy.local.prove.schedule import FAULTS, PLUGS, REPLICAS, SERVICES, Reachable, UnknownFaults
from deploy.local.prove.verdict import Finding, Verdict
from shared.domain.identity import job_id_of_key

POINTS = [Reachable(name=f"storage: {n}", service="storage", often=n < 2) for n in range(4)]


def drawn(seed: int, *, seconds: float = 600.0) -> tuple[schedule.Pull, ...]:
    return schedule.draw(seed, FAULTS, seconds=seconds, points=POINTS, every=6.0)


@given(st.integers(min_value=0, max_value=10**6))
def test_a_seed_draws_the_same_pulls_and_the_same_orders_again(seed: int) -> None:
    assert drawn(seed) == drawn(seed)
    again = [list(orders.draw(seed, 200, cancels=True)) for _ in range(2)]
    assert again[0] == again[1]


def test_another_seed_draws_others() -> None:
    assert drawn(1) != drawn(2)


@given(st.integers(min_value=0, max_value=10**6))
def test_every_plug_is_drawn_in_a_run_of_ten_minutes_and_aims_at_something_that_is_there(
    seed: int,
) -> None:
    pulls = drawn(seed)

    assert {pull.plug for pull in pulls} == set(PLUGS)
    replicas = {f"{service}-{letter}" for service in SERVICES for letter in REPLICAS}
    for pull in pulls:
        assert 0 < pull.at < 600
        if pull.plug == "crash":
            assert pull.aim.rpartition("-")[0] == "storage"
            assert pull.point in {point.name for point in POINTS}
        else:
            assert pull.aim in replicas | set(PLUGS[pull.plug].aims) - set(SERVICES)


def test_all_crash_points_are_dealt_before_one_comes_again() -> None:
    pulls = schedule.draw(5, ["crash"], seconds=600, points=POINTS, every=6.0)

    times = Counter(pull.point for pull in pulls)
    assert max(times.values()) - min(times.values()) <= 1


def test_a_fault_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UnknownFaults, match="no fault is called rain; there are kill, crash"):
        schedule.known(["kill", "rain"])


def test_a_run_that_was_written_down_is_the_plan_of_the_next(tmp_path: Path) -> None:
    plan = Plan.drawn(seed=7, predictions=10, minutes=2, faults=["kill", "crash", "s3"], every=5)
    write(Outcome(plan=plan), tmp_path / "7.json")

    assert Plan.of_an_earlier_run(tmp_path / "7.json") == plan
    assert plan.pulls


def test_orders_add_up_to_the_predictions_that_were_asked_for() -> None:
    placed = list(orders.draw(3, 1000, cancels=False))

    assert 1000 <= sum(order.predictions for order in placed) <= 1001
    assert len({order.job_id for order in placed}) == len(placed)
    assert {order.body["recipe"] for order in placed} > {"variations", "restoration"}
    assert not any(order.given_up_after for order in placed)


def test_a_run_without_a_verdict_is_never_clean() -> None:
    plan = Plan.drawn(seed=1, predictions=1, minutes=1, faults=[], every=6)

    assert not Outcome(plan=plan).clean
    assert Outcome(plan=plan, verdict=Verdict()).clean


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": Verdict(lost=(Finding("p", "gone"),))},
        {"verdict": Verdict(), "unplanned": ["job"]},
        {"verdict": Verdict(), "left": {"parked": 12.0}},
        {"verdict": Verdict(), "queues": {"darkroom.report.jobs": 1}},
    ],
)
def test_one_thing_that_is_wrong_makes_a_run_unclean(wrong: dict[str, object]) -> None:
    plan = Plan.drawn(seed=1, predictions=1, minutes=1, faults=[], every=6)

    assert not Outcome(plan=plan, **wrong).clean  # type: ignore[arg-type]


def test_some_orders_go_through_the_api_under_keys_that_name_their_jobs() -> None:
    plain = list(orders.draw(3, 3000, cancels=False))
    placed = list(orders.draw(3, 3000, cancels=False, by_api=True, wishes=True))
    by_api = [order for order in placed if order.key]

    assert placed == list(orders.draw(3, 3000, cancels=False, by_api=True, wishes=True))
    assert [order.predictions for order in placed] == [order.predictions for order in plain]
    assert 0.2 < len(by_api) / len(placed) < 0.4
    for order in by_api:
        assert order.key is not None
        assert order.job_id == job_id_of_key("", order.key)
        assert "job_id" not in order.body
    assert any(order.hangs_up_after for order in by_api)
    # Some are given up, and of those some come again; nobody else has wishes.
    wishes = [(order.given_up_after is not None, order.again) for order in placed]
    assert {(True, True), (True, False), (False, True), (False, False)} == set(wishes)
    assert not any(order.given_up_after or order.again for order in placed if not order.key)
    steady = list(orders.draw(3, 3000, cancels=False, by_api=True))
    assert not any(order.given_up_after or order.again for order in steady)
