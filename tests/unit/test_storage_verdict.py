"""What becomes of a slot whose outputs were tried."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.laps import Lap, Laps
from services.storage.outputs import left_out
from services.storage.verdict import Later, Lost, Stored, Tried, verdict
from shared.domain.outputs import outputs_of
from shared.domain.slot import FailureCode, News
from shared.downloads import Gone
from shared.errors import Permanent, Transient
from shared.events import Artifact
from shared.guard import Forbidden
from tests.support.purchases import NOON

FILE = Artifact(
    id=UUID(int=1), kind="generated", key="k", content_type="image/png", bytes=1, sha256="0" * 64
)
OURS = (FILE,)
FINISHED = (FILE, replace(FILE, kind="derived", key="d", variant="quantised"))
GONE, BAD = Gone("gone (404)"), Permanent("not a picture")
SLOW = Transient("429", retry_after=timedelta(seconds=9))


def judge(*came_to: Any, last_try: bool = False, too_late: bool = False) -> Stored | Lost | Later:
    tried = [Tried(index=n, came_to=one) for n, one in enumerate(came_to)]
    return verdict(tried, last_try=last_try, too_late=too_late)


def code(*came_to: Any, **when: bool) -> FailureCode | None:
    judged = judge(*came_to, **when)
    return judged.code if isinstance(judged, Lost) else None


def test_all_that_is_ours_is_stored() -> None:
    assert judge(OURS, OURS) == Stored(artifacts=(FILE, FILE), skipped=())


def test_the_times_are_those_of_the_output_that_was_done_last_also_where_it_failed() -> None:
    def done(second: int, came_to: Any) -> Tried:
        laps = Laps.by(lambda: NOON + timedelta(seconds=second))
        laps.ended()
        return Tried(index=second, came_to=came_to, laps=laps)

    for tried in ([done(1, OURS), done(2, OURS)], [done(1, OURS), done(2, BAD)]):
        judged = verdict(tried, last_try=False, too_late=False)

        assert isinstance(judged, Stored)
        assert judged.laps is tried[1].laps


def test_what_failed_on_its_way_spent_its_time_there() -> None:
    seconds = iter((1, 2, 30))
    laps = Laps.by(lambda: NOON + timedelta(seconds=next(seconds)))
    laps.reached(Lap.BEGUN)
    laps.reached(Lap.FETCHED)

    laps.ended()

    since = {lap: (at - NOON).total_seconds() for lap, at in laps.at.items()}
    assert since == {Lap.BEGUN: 1, Lap.FETCHED: 2, Lap.FINISHED: 30, Lap.PUT: 30}


def test_what_was_derived_is_stored_with_its_output() -> None:
    judged = judge(FINISHED, BAD)

    assert isinstance(judged, Stored)
    assert judged.artifacts == FINISHED
    assert [skip.index for skip in judged.skipped] == [1]


def test_what_is_not_ours_beside_what_is_is_said_by_its_index() -> None:
    judged = judge(GONE, OURS, BAD)

    assert isinstance(judged, Stored)
    assert [(s.index, s.why) for s in judged.skipped] == [(0, "gone (404)"), (2, "not a picture")]


def test_as_long_as_something_may_come_nothing_is_decided() -> None:
    assert judge(OURS, SLOW, BAD) == Later(reason="429", retry_after=timedelta(seconds=9))


@pytest.mark.parametrize(
    ("came_to", "when", "expected"),
    [
        ((), {}, FailureCode.NO_OUTPUT),
        ((GONE, GONE), {}, FailureCode.EXPIRED),
        ((GONE, BAD), {}, FailureCode.UNUSABLE_OUTPUT),
        ((BAD,), {}, FailureCode.UNUSABLE_OUTPUT),
        ((Forbidden("no"),), {}, FailureCode.UNUSABLE_OUTPUT),
        ((BAD,), {"too_late": True}, FailureCode.UNUSABLE_OUTPUT),
        ((SLOW,), {"last_try": True}, FailureCode.NOT_STORED),
        ((SLOW, GONE), {"last_try": True}, FailureCode.NOT_STORED),
        ((SLOW,), {"too_late": True}, FailureCode.EXPIRED),
        ((SLOW, GONE), {"too_late": True, "last_try": True}, FailureCode.EXPIRED),
    ],
)
def test_a_slot_without_a_file_fails_by_name(
    came_to: tuple[Any, ...], when: dict[str, bool], expected: FailureCode
) -> None:
    assert code(*came_to, **when) is expected


@pytest.mark.parametrize("when", [{"last_try": True}, {"too_late": True}])
def test_in_the_end_what_is_ours_is_kept(when: dict[str, bool]) -> None:
    judged = judge(OURS, SLOW, **when)

    assert isinstance(judged, Stored)
    assert [s.index for s in judged.skipped] == [1]


def test_only_what_a_person_can_see_into_is_kept_for_a_look() -> None:
    looks = {
        judged.code: judged.look
        for judged in (judge(), judge(GONE), judge(BAD), judge(SLOW, last_try=True))
        if isinstance(judged, Lost)
    }

    assert looks == {
        FailureCode.NO_OUTPUT: False,
        FailureCode.EXPIRED: False,
        FailureCode.UNUSABLE_OUTPUT: True,
        FailureCode.NOT_STORED: True,
    }


@given(st.lists(st.sampled_from([OURS, GONE, BAD, SLOW])), st.booleans(), st.booleans())
def test_the_last_word_is_always_spoken_in_the_end(
    came_to: list[Any], last_try: bool, too_late: bool
) -> None:
    judged = judge(*came_to, last_try=last_try, too_late=too_late)

    if last_try or too_late:
        assert not isinstance(judged, Later)
    if isinstance(judged, Lost):
        assert OURS not in came_to
        assert judged.news in (News.EXPIRED, News.UNUSABLE, News.NOT_STORED)
        assert judged.detail
    if isinstance(judged, Stored):
        assert len(judged.artifacts) + len(judged.skipped) == len(came_to)


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ({}, ()),
        ("u", ("u",)),
        (["u", "v"], ("u", "v")),
        (["u", None, "v"], ("u", None, "v")),
        (["u", "", 5], ("u", None, None)),
        ([["u"], ["v", "w"]], ("u", "v", "w")),
        ({"a": "u", "score": 0.5, "ok": True, "b": ["v"], "none": None}, ("u", "v")),
        ({"images": [{"url": "u"}, {"url": "v"}]}, ("u", "v")),
        (5, (None,)),
        (True, (None,)),
    ],
)
def test_an_output_of_any_shape_names_its_files_in_order(
    output: object, found: tuple[str | None, ...]
) -> None:
    assert outputs_of(output) == found


def test_an_output_without_a_bottom_is_no_file() -> None:
    output: list[Any] = ["u"]
    for _ in range(5000):
        output = [output]

    assert outputs_of(output) == (None,)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, []),
        ({"num_outputs": 4}, [1, 2, 3]),
        ({"num_outputs": 1}, []),
        ({"num_outputs": "4"}, []),
    ],
)
def test_what_was_asked_for_and_not_made_is_said(asked: dict[str, Any], said: list[int]) -> None:
    assert [skipped.index for skipped in left_out(1, asked)] == said
