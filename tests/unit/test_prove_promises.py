"""A promise of a row is kept by what was measured, and broken where nothing was."""

from dataclasses import replace
from typing import Any

import pytest

from deploy.local.prove import promises
from deploy.local.prove.plugs import FAILED, SKIPPED, Pulled
from deploy.local.prove.promises import Ask, Delivery, Fate, Handled, Observed, Promise
from deploy.local.prove.schedule import Pull


def a_pull(
    plug: str = "broker",
    *,
    out_at: float = 100.0,
    back_at: float = 200.0,
    settled_at: float | None = 210.0,
    healing_at: float | None = None,
    **seen: Any,
) -> Pulled:
    pull = Pull(number=1, at=0.0, plug=plug, aim="rabbitmq", seconds=0.0)
    return Pulled(
        pull=pull,
        out_at=out_at,
        healing_at=healing_at,
        back_at=back_at,
        settled_at=settled_at,
        seen=seen,
    )


def a_delivery(at: float, status: int, *, ms: float = 5.0, last: bool = False) -> Delivery:
    return Delivery(prediction="p", webhook_id=f"msg_{at}", at=at, ms=ms, status=status, last=last)


def of(ask: Ask, **observed: Any) -> Promise:
    return ask(Observed(**observed))


def test_a_pull_that_settled_too_late_or_never_breaks_the_promise() -> None:
    ask = promises.settled(15.0)

    assert of(ask, pulled=[a_pull(settled_at=214.0)]).kept
    assert of(ask, pulled=[a_pull(settled_at=214.0), a_pull(settled_at=216.0)]).kept is False
    never = of(ask, pulled=[a_pull(settled_at=214.0), a_pull(settled_at=None)])
    assert never.kept is False
    assert "1 never" in never.seen


def test_a_plug_that_could_not_be_put_back_in_breaks_every_row_and_one_that_was_missed_does_not() -> (
    None
):
    failed, missed = a_pull(), a_pull()
    failed.outcome, failed.why = FAILED, "RabbitMQ did not start"
    missed.outcome = SKIPPED

    assert of(promises.every_pull_made, pulled=[a_pull(), missed]).kept
    assert of(promises.every_pull_made, pulled=[missed]).kept is False
    broken = of(promises.every_pull_made, pulled=[a_pull(), failed])
    assert broken.kept is False
    assert broken.seen == "1; done 1 of 2; broker: RabbitMQ did not start"
    assert of(promises.nobody_ended, deaths=1).kept is False


def test_settling_is_counted_in_the_time_that_the_row_promises_it_in() -> None:
    wall, provider = promises.settled(60.0), promises.settled(60.0, by_the_clock=True)

    assert of(wall, factor=10.0, pulled=[a_pull(settled_at=210.0)]).kept
    assert of(provider, factor=10.0, pulled=[a_pull(settled_at=210.0)]).kept is False
    assert of(provider, factor=5.0, pulled=[a_pull(settled_at=210.0)]).kept


@pytest.mark.parametrize(
    "ask",
    [
        promises.settled(15.0),
        promises.confirmed_is_there(10),
        promises.only_answered("broker", {503}),
        promises.all_heard_in("roll"),
        promises.lost_for_good("both"),
        promises.left_at_least(600.0),
        promises.healed(180.0),
        promises.noticed(40.0),
        promises.drained(30.0),
        promises.nothing_finished_comes_again("roll"),
        promises.queues_did_not_grow,
        promises.memory_flat(1.0),
        promises.descriptors_flat,
        promises.journal_not_bloated(2.0),
        promises.nothing_redelivered,
        promises.seen("stale writes refused", 1),
    ],
)
def test_nothing_that_was_measured_is_never_a_promise_kept(ask: Ask) -> None:
    assert of(ask).kept is False


def test_only_what_was_asked_and_answered_while_the_plug_was_out_counts() -> None:
    ask = promises.only_answered("broker", {503})
    pulled = [a_pull(out_at=100.0, healing_at=160.0, back_at=200.0)]

    in_it = [a_delivery(120.0, 503), a_delivery(150.0, 503)]
    # Under way as the plug came out; asked in the outage and answered after it; while it came back.
    beside = [a_delivery(101.0, 200), a_delivery(159.0, 200, ms=2000.0), a_delivery(170.0, 200)]
    assert of(ask, pulled=pulled, deliveries=in_it + beside).kept
    assert of(ask, pulled=pulled, deliveries=[*in_it, a_delivery(130.0, 401)]).kept is False
    assert of(ask, pulled=pulled, deliveries=beside).kept is False


def test_answers_that_come_late_break_the_promise_of_a_fast_one() -> None:
    ask = promises.only_answered("broker", {503}, within_s=3.0)
    slow = [a_delivery(120.0 + n, 503, ms=4000.0 if n < 2 else 20.0) for n in range(50)]

    assert of(ask, pulled=[a_pull()], deliveries=slow).kept is False
    assert of(ask, pulled=[a_pull()], deliveries=slow[2:]).kept


def test_one_webhook_that_is_turned_away_in_a_roll_breaks_its_promise() -> None:
    ask, roll = promises.all_heard_in("roll"), [a_pull("roll")]
    heard = [a_delivery(150.0 + n, 200) for n in range(3)]

    assert of(ask, pulled=roll, deliveries=[*heard, a_delivery(99.0, 503)]).kept
    broken = of(ask, pulled=roll, deliveries=[*heard, a_delivery(160.0, 0)])
    assert broken.kept is False
    assert broken.seen == "1 of 4; 1 × no answer"


def test_a_webhook_is_lost_for_good_only_when_its_last_try_was_not_heard() -> None:
    ask, both = promises.lost_for_good("both"), [a_pull("both")]

    assert of(ask, pulled=both, deliveries=[a_delivery(150.0, 503)]).kept is False
    assert of(ask, pulled=both, deliveries=[a_delivery(150.0, 503, last=True)]).kept


def test_a_file_that_was_fetched_near_its_end_breaks_the_promise() -> None:
    def fates(*after: float) -> list[Fate]:
        return [Fate(prediction="p", fetched_after_s=each, dropped=True) for each in after]

    ask = promises.left_at_least(600.0)
    assert of(ask, fates=fates(10.0, 2999.0)).kept
    assert of(ask, fates=fates(10.0, 3001.0)).kept is False


def test_what_healed_is_told_by_the_hundredth_that_took_longest() -> None:
    quick = [Fate(prediction="p", fetched_after_s=20.0, dropped=True)] * 99
    slow = Fate(prediction="q", fetched_after_s=900.0, dropped=True)
    heard = [Fate(prediction="r", fetched_after_s=2.0, dropped=False)] * 1000

    assert of(promises.healed(180.0), fates=[*quick, slow, *heard]).kept
    assert of(promises.healed(180.0), fates=[*quick[:98], slow, slow, *heard]).kept is False


def test_a_silence_that_one_process_never_noticed_breaks_the_promise() -> None:
    def silent(lasting: float, **noticed_s: float | None) -> Pulled:
        pulled = a_pull("partition", noticed_s=noticed_s)
        pulled.pull = replace(pulled.pull, seconds=lasting)
        return pulled

    ask = promises.noticed(40.0)

    assert of(ask, pulled=[silent(60.0, storage=12.0)]).kept
    assert of(ask, pulled=[silent(60.0, storage=41.0)]).kept is False
    missed = of(ask, pulled=[silent(60.0, storage=12.0, report=None)])
    assert missed.kept is False
    assert "never by report" in missed.seen
    # It was over before anybody had to know.
    assert of(ask, pulled=[silent(60.0, storage=12.0), silent(35.0, report=None)]).kept


def test_a_drain_that_was_cut_short_is_told_with_its_process() -> None:
    def drains(seconds: float, code: int) -> list[Pulled]:
        return [a_pull("roll", drains=[{"replica": "a", "seconds": seconds, "exit_code": code}])]

    ask = promises.drained(30.0)
    assert of(ask, pulled=drains(2.0, 0)).kept
    assert of(ask, pulled=drains(31.0, 0)).kept is False
    assert of(ask, pulled=drains(2.0, -9)).kept is False


def test_only_finished_work_that_the_broker_gives_out_again_counts() -> None:
    def handled(at: float, *, redelivered: bool, well: bool = True) -> Handled:
        return Handled(queue="q", event_id="e", at=at, redelivered=redelivered, well=well)

    ask, roll = promises.nothing_finished_comes_again("roll"), [a_pull("roll")]
    # A duplicate of the provider's is no redelivery, and work that was not finished comes again.
    twice = [handled(110.0, redelivered=False), handled(120.0, redelivered=False)]
    torn = [handled(110.0, redelivered=False, well=False), handled(120.0, redelivered=True)]
    assert of(ask, pulled=roll, handled=twice).kept
    assert of(ask, pulled=roll, handled=torn).kept
    again = [handled(110.0, redelivered=False), handled(120.0, redelivered=True)]
    assert of(ask, pulled=roll, handled=again).kept is False


def test_a_queue_that_grew_under_an_alarm_breaks_the_promise() -> None:
    ask = promises.queues_did_not_grow

    assert of(ask, pulled=[a_pull("alarm", queued=(9, 0))]).kept
    assert of(ask, pulled=[a_pull("alarm", queued=(9, 0)), a_pull("disk", queued=(0, 1))]).kept is (
        False
    )


def test_what_the_broker_confirmed_and_lost_breaks_the_promise() -> None:
    ask = promises.confirmed_is_there(1_000_000)

    kept = of(ask, confirmed=300_000)
    assert kept.kept
    assert "300,000 of 1,000,000" in kept.seen
    assert of(ask, confirmed=300_000, confirmed_and_gone=1).kept is False


def test_a_soak_that_grows_is_told() -> None:
    assert of(promises.memory_flat(1.0), growth={"storage": 0.4, "ingress": None}).kept
    assert of(promises.memory_flat(1.0), growth={"storage": 0.4, "report": 1.6}).kept is False
    assert of(promises.descriptors_flat, descriptors={"storage-a (7)": (40, 60)}).kept
    assert of(promises.descriptors_flat, descriptors={"storage-a (7)": (40, 90)}).kept is False
    assert of(promises.journal_not_bloated(2.0), bloat=1.1).kept
    assert of(promises.journal_not_bloated(2.0), bloat=2.1).kept is False


def test_a_number_is_told_and_promises_nothing() -> None:
    told = of(promises.facts(100_000), facts=1234)

    assert told.kept is None
    assert told.line == "seen   facts: 1,234 of 100,000"


def test_a_pull_that_never_happened_counts_for_nothing() -> None:
    missed = a_pull(settled_at=999.0)
    missed.outcome = SKIPPED

    assert of(promises.settled(15.0), pulled=[missed, a_pull()]).kept
