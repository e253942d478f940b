"""What an overview says of the numbers that it is made of."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.cost import Bill
from shared.domain.level import Level
from shared.domain.overview import (
    CONCERNS,
    WAITING_FOR,
    Account,
    Backlog,
    CapNow,
    Concern,
    Ended,
    Losses,
    Money,
    Overview,
    QueueNow,
    RecipeMoney,
    Webhooks,
    as_data,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOTHING = Level(count=0, seconds=0.0)
QUIET = Webhooks(last_at=None, taken=0, unplaced=0, refused={}, asked=0, to_journal_p95=None)
HEARD = QueueNow(
    name="darkroom.report.jobs", ready=0, consumers=1, waits=None, parked=NOTHING, dead=NOTHING
)


def cap(*, holds: bool) -> CapNow:
    return CapNow(cap_micros=5, counted_micros=4, holds=holds, ends_at=NOON)


def recipe(name: str = "variations", **more: Any) -> RecipeMoney:
    return RecipeMoney(**{"recipe": name, "bill": Bill(), "seconds": 0.0, "cap": None, **more})


def an_overview(**more: Any) -> Overview:
    waits = dict.fromkeys(Backlog, NOTHING) | more.pop("backlog", {})
    recipes = more.pop("recipes", ())
    return Overview(
        **{
            "at": NOON,
            "seconds": 900,
            "webhooks": QUIET,
            "ended": Ended(completed=0, failed=0, canceled=0),
            "open_jobs": NOTHING,
            "slots": (),
            "backlog": waits,
            "queues": (HEARD,),
            "losses": Losses(made=None, silent=None),
            "account": Account(left={}, paused_until=None, reason=None),
            "money": Money(begins=NOON, ends=NOON + timedelta(days=1), recipes=tuple(recipes)),
            **more,
        }
    )


def webhooks(**more: Any) -> Webhooks:
    told = {"last_at": NOON, "taken": 90, "unplaced": 0, "refused": {}, "asked": 0}
    return Webhooks(**{**told, "to_journal_p95": 0.01, **more})


def test_where_nothing_is_wrong_nothing_is_said() -> None:
    assert an_overview().concerns == ()
    assert an_overview(webhooks=webhooks()).concerns == ()


@pytest.mark.parametrize(
    ("changed", "concern"),
    [
        ({"webhooks": webhooks(refused={"stale": 5, "bad_signature": 6})}, Concern.REFUSED),
        ({"webhooks": webhooks(unplaced=1)}, Concern.UNPLACED),
        ({"webhooks": webhooks(taken=10, asked=21)}, Concern.ASKED),
        ({"losses": Losses(made=1199.0, silent=None)}, Concern.LOSS),
        ({"losses": Losses(made=5000.0, silent=3.0)}, Concern.LOSS),
        ({"losses": Losses(made=-1.0, silent=None)}, Concern.LOST),
        ({"account": Account(left={}, paused_until=NOON, reason="unpaid")}, Concern.PAUSED),
        ({"backlog": {Backlog.BUY: Level(count=1, seconds=301)}}, Concern.BUYING),
        ({"backlog": {Backlog.SAY: Level(count=1, seconds=31)}}, Concern.SAYING),
        ({"recipes": [recipe(cap=cap(holds=True))]}, Concern.CAPPED),
    ],
)
def test_what_somebody_should_look_at_is_named(changed: dict[str, Any], concern: Concern) -> None:
    assert an_overview(**changed).concerns == (concern,)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhooks": webhooks(refused={"stale": 10})},
        {"webhooks": webhooks(taken=10, asked=20)},
        {"losses": Losses(made=1200.0, silent=None)},
        {"backlog": {Backlog.BUY: Level(count=1, seconds=300)}},
        {"backlog": {Backlog.SAY: Level(count=1000, seconds=30)}},
        {"recipes": [recipe(cap=cap(holds=False))]},
    ],
)
def test_what_is_still_in_order_is_not(changed: dict[str, Any]) -> None:
    assert an_overview(**changed).concerns == ()


def queue(**more: Any) -> QueueNow:
    told = {"name": "q", "ready": 0, "consumers": 1, "waits": None}
    return QueueNow(**{**told, "parked": NOTHING, "dead": NOTHING, **more})


def test_a_queue_is_unheard_where_messages_wait_and_nobody_listens() -> None:
    assert an_overview(queues=(queue(ready=1, consumers=0),)).concerns == (Concern.UNHEARD,)
    assert an_overview(queues=(queue(ready=0, consumers=0),)).concerns == ()


def test_a_broker_that_says_nothing_is_not_taken_for_one_without_messages() -> None:
    silent = queue(ready=None, consumers=None)

    assert an_overview(queues=(silent, silent)).concerns == (Concern.BROKER,)
    assert an_overview(queues=(silent, queue())).concerns == ()


def test_the_parked_and_the_dead_of_all_queues_are_added_up() -> None:
    few, more = Level(count=2, seconds=1), Level(count=3, seconds=1)
    told = an_overview(queues=(queue(parked=few, dead=more), queue(parked=more)))

    assert (told.parked, told.dead, told.concerns) == (5, 3, (Concern.DEAD,))


def test_the_worst_is_said_first() -> None:
    told = an_overview(
        recipes=[recipe(cap=cap(holds=True))],
        losses=Losses(made=1.0, silent=None),
        queues=(queue(dead=Level(count=1, seconds=1)),),
    )

    assert told.concerns == (Concern.LOSS, Concern.DEAD, Concern.CAPPED)


def test_every_concern_has_a_rank_and_both_languages() -> None:
    for concern in Concern:
        assert set(CONCERNS[concern]) == {"en", "ko"}
    for stage in Backlog:
        assert set(WAITING_FOR[stage]) == {"en", "ko"}


def test_shares_are_of_what_there_was_and_nothing_of_nothing() -> None:
    assert QUIET.share_taken is None
    assert webhooks(taken=3, unplaced=0, refused={"stale": 1}).share_taken == 0.75
    assert Ended(completed=0, failed=0, canceled=0).share_completed is None
    assert Ended(completed=2, failed=1, canceled=1).share_completed == 0.5


def test_the_money_of_the_day_is_that_of_its_recipes() -> None:
    told = an_overview(
        recipes=[
            recipe("a", bill=Bill(paid=1, paid_micros=10, open=2, open_micros=20, unknown=1)),
            recipe("b", bill=Bill(paid=3, paid_micros=30)),
        ]
    )

    assert told.money.bill == Bill(paid=4, paid_micros=40, open=2, open_micros=20, unknown=1)


def test_for_programs_it_is_json_with_everything_in_it() -> None:
    told = as_data(
        an_overview(
            webhooks=webhooks(unplaced=1),
            recipes=[recipe(cap=cap(holds=True), bill=Bill(paid=1, paid_micros=7))],
            losses=Losses(made=61.0, silent=None),
        )
    )

    assert json.loads(json.dumps(told)) == told
    assert [one["code"] for one in told["concerns"]] == [
        "files_expire_soon",
        "webhooks_unplaced",
        "cost_cap_reached",
    ]
    assert told["seconds_to_loss"] == {"first": 61.0, "made": 61.0, "silent": None}
    assert set(told["backlog"]) == {str(stage) for stage in Backlog}
    [money] = told["money"]["recipes"]
    assert (money["recipe"], money["paid_micros"], money["cap"]["holds"]) == ("variations", 7, True)
