"""A row of the matrix is a plan: what it pulls, how often, and when it counts as run."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.emulator.settings import Settings as Emulated
from deploy.local.prove.__main__ import FOUND, NO_RUN, run
from deploy.local.prove.clock import PATIENCE, FastClock
from deploy.local.prove.conductor import Outcome, Plan, told, write
from deploy.local.prove.installation import emulator_settings, services_settings
from deploy.local.prove.matrix import ROWS, UnknownRow, row
from deploy.local.prove.plugs import DONE, SKIPPED, Pulled
from deploy.local.prove.promises import Delivery, Fate, Handled, Observed, Promise
from deploy.local.prove.schedule import ALL_PLUGS, REPLICAS, SERVICES, Pull
from deploy.local.prove.verdict import Verdict
from services.generator.settings import Settings as Generator
from services.reconciler.settings import Settings as Reconciler

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"
OUTAGES = ("broker", "database", "both", "alarm", "disk")
A_DELIVERY = Delivery(prediction="p", webhook_id="m", at=99.0, ms=1.0, status=500, last=True)
A_FATE = Fate(prediction="p", fetched_after_s=1.0, dropped=True)
A_MESSAGE = Handled(queue="q", event_id="e", at=99.0, redelivered=False, well=True)
PARTS = {
    "AMQP_URL": "amqp://u:p@127.0.0.1:1/v",
    "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
    "S3_BUCKET": "bucket",
    "REPLICATE_API_TOKEN": "r8_" + "0" * 37,
}


def planned(name: str, *, times: float | None = None, seed: int = 1) -> Plan:
    return Plan.of_row(name, seed=seed, times=times)


def outcome(plan: Plan, *, missed: int = 0) -> Outcome:
    """A run of the plan in which the first ``missed`` pulls found their aim in another's hand."""
    pulled = [
        {"pull": {"number": pull.number}, "outcome": SKIPPED if pull.number <= missed else DONE}
        for pull in plan.pulls
    ]
    figures = {
        "under_load_s": 1800.0,
        "jobs": 0,
        "purchases": 0,
        "predictions_a_second": 0,
        "settled_after_s": 1.0,
        "judged_in_s": 1.0,
        "ordered_through_the_api": 0,
        "ordered_once_more": 0,
        "given_up_by_customers": 0,
        "requests_made_again": 0,
    }
    return Outcome(plan=plan, verdict=Verdict(), pulled=pulled, figures=figures)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_pulls_the_same_again_for_the_same_seed_at_aims_that_are_there(name: str) -> None:
    times = 0.1 if name == "F22" else 2
    plan = planned(name, times=times)

    assert plan == planned(name, times=times)
    assert plan.pulls
    replicas = {f"{service}-{letter}" for service in SERVICES for letter in REPLICAS}
    for pull in plan.pulls:
        plug = ALL_PLUGS[pull.plug]
        aims = replicas if pull.plug in ("kill", "crash", "freeze") else set(plug.aims)
        assert pull.aim in aims
        assert pull.at > 0


@pytest.mark.parametrize("name", [name for name in ROWS if name != "F22"])
def test_a_row_that_was_pulled_as_planned_was_run_as_often_as_asked(name: str) -> None:
    plan = planned(name, times=3)

    assert outcome(plan).done == 3
    # What one of its kinds of pulls misses, the row misses.
    assert outcome(plan, missed=1).done == 2


def test_a_row_runs_at_its_stated_count_where_no_other_is_asked_for() -> None:
    assert len(planned("F3").pulls) == 100
    assert Counter(pull.plug for pull in planned("F4").pulls) == {"roll": 50, "stop": 100}
    lengths = Counter((pull.aim, pull.seconds) for pull in planned("F9").pulls)
    assert len(lengths) == 12
    assert set(lengths.values()) == {20}
    assert len({pull.point for pull in planned("F1", times=1).pulls}) > 50


def test_a_soak_counts_hours_and_spares_the_first_replicas() -> None:
    plan = planned("F22", times=0.5)

    assert outcome(plan).done == 0.5
    kills = {pull.aim for pull in plan.pulls if pull.plug == "kill"}
    assert kills
    assert all(aim.endswith(REPLICAS[1]) for aim in kills)
    assert {pull.plug for pull in plan.pulls} == {"kill", "database", "partition"}


def test_outages_go_by_the_clock_and_silence_is_never_too_short_to_be_noticed() -> None:
    assert {pull.seconds for pull in planned("F5", times=1).pulls} == {60.0}
    slow = Plan.of_row("F5", seed=1, times=1, factor=1.0)
    assert {pull.seconds for pull in slow.pulls} == {600.0}
    assert min(pull.seconds for pull in planned("F9", times=1).pulls) >= 35.0


def test_provider_and_patience_share_one_factor() -> None:
    clock = FastClock(10.0)

    assert clock.emulated["EMULATOR_SPEED"] == "10"
    assert float(clock.patience["STORAGE_PATIENCE_SECONDS"]) == 18.0
    assert float(clock.patience["CREATE_LEASE_SECONDS"]) == 6.0
    assert clock.patience["REPLICATE_READS_PER_MINUTE"] == "30000"
    assert clock.emulated["EMULATOR_READS_PER_MINUTE"] == "30000"


@pytest.mark.parametrize("factor", [1.0, 2.0, 10.0, 100.0])
def test_the_services_take_the_patience_of_every_factor(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PARTS | services_settings(FastClock(factor))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    generator, reconciler = Generator(), Reconciler()

    assert generator.create_lease_seconds >= 1.5 * generator.create_within_seconds
    assert reconciler.storage_patience_seconds == max(2.0, 180.0 / factor)


def test_the_emulator_takes_the_clock_and_keeps_its_runs_as_long_on_the_wall() -> None:
    given = emulator_settings(FastClock(10.0))
    told = {name.removeprefix("EMULATOR_").lower(): value for name, value in given.items()}

    emulator = Emulated.model_validate(told)

    assert emulator.speed == 10.0
    assert (emulator.run_s or 0) / emulator.speed == 1.0
    assert emulator.retention_s / emulator.speed == 360.0


def test_at_factor_1_the_patience_is_productions_own() -> None:
    defaults = {
        name: field.default
        for settings in (Generator, Reconciler)
        for name, field in settings.model_fields.items()
    }
    for name, (seconds, _) in PATIENCE.items():
        default = defaults.get(name.lower())
        if default is not None:
            assert seconds == default, name


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_which_nothing_was_measured_keeps_none_of_its_promises(name: str) -> None:
    for ask in ROWS[name].asks:
        promise = ask(Observed())
        counts_what_must_not_be = promise.name.endswith(" 0") and promise.seen == "0"
        assert promise.kept is not True or counts_what_must_not_be, promise


@pytest.mark.parametrize("name", ROWS)
def test_a_row_reads_back_what_its_promises_want(name: str) -> None:
    """A promise that wants deliveries, fates or handled messages says another thing without them."""
    roll = Pulled(
        pull=Pull(number=1, at=0.0, plug="roll", aim="services", seconds=0.0),
        out_at=0.0,
        back_at=900.0,
    )
    pulled = [roll, *(replace(roll, pull=replace(roll.pull, plug=plug)) for plug in OUTAGES)]
    told = {
        reads_back: [
            ask(
                Observed(
                    pulled=pulled,
                    deliveries=[A_DELIVERY] * reads_back,
                    fates=[A_FATE] * reads_back,
                    handled=[A_MESSAGE] * reads_back,
                )
            )
            for ask in ROWS[name].asks
        ]
        for reads_back in (True, False)
    }

    assert (told[True] != told[False]) is ROWS[name].reads_back


@pytest.mark.parametrize("name", ROWS)
def test_the_page_of_the_proof_tells_each_row_as_it_is(name: str) -> None:
    told = PAGE.read_text().splitlines()
    [cells] = [line.split(" | ") for line in told if line.startswith(f"| {name} | ")]
    _, _, stated, factor, minutes, *_ = cells

    found = ROWS[name]
    assert stated.split()[0] == f"{found.stated:g}"
    assert factor == f"{found.factor:g}"
    assert minutes == f"{found.stated * found.seconds_each / 60:,.0f}"


def test_an_unknown_row_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownRow, match="no row is called F99; there are F1, F2"):
        row("F99")
    assert row("f5") is ROWS["F5"]


def test_a_clock_that_a_row_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="F2 runs on the wall's clock"):
        Plan.of_row("F2", seed=1, factor=10.0)
    with pytest.raises(ValueError, match="between 1 and 100"):
        Plan.of_row("F5", seed=1, factor=1000.0)


def test_a_row_that_was_written_down_is_the_plan_of_the_next(tmp_path: Path) -> None:
    plan = planned("F8", times=2)
    write(outcome(plan), tmp_path / "F8.json")

    assert Plan.of_an_earlier_run(tmp_path / "F8.json") == plan


def test_a_broken_promise_makes_a_run_unclean_and_is_told() -> None:
    run_ = outcome(planned("F3", times=2))
    run_.promises = [Promise(name="settled within 15 s", kept=True, seen="worst 6.0 s")]
    assert run_.clean
    run_.promises.append(Promise(name="confirmed and not there 0", kept=False, seen="1"))

    assert not run_.clean
    lines = list(told(run_))
    assert "row F3: 2 of 100 kills: kill -9 of RabbitMQ; clock factor 1" in lines
    assert "  BROKEN confirmed and not there 0: 1" in lines
    assert lines[-1] == "NOT CLEAN"


def test_times_without_a_row_are_refused_and_nothing_is_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(
        seed=1,
        predictions=1,
        minutes=0.1,
        faults=[],
        every=6,
        cancels=False,
        replay=None,
        json=None,
        times=3,
    )

    assert code == NO_RUN != FOUND
    assert "belong to a --row" in capsys.readouterr().out
