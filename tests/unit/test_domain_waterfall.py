"""Where a slot's seconds went: one name for each, honestly counted, whatever was written down."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.clocks import Clock
from shared.domain.slot import SlotState
from shared.domain.slowest import CLOCKS, STAGES, about_clocks, as_data, sentence
from shared.domain.times import Bought, JobTimes, SlotTimes, Stored, Verdict, Wait
from shared.domain.waterfall import Lane, Stage, waterfall

ORDERED = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
S = SlotState
# Seconds since the order, on one clock that everybody has: a slot that went well.
WELL = {
    "taken": 0.01,
    "planned": 0.05,
    "intended": 0.2,
    "created": 0.3,
    "answered": 0.35,
    "started": 2.0,
    "completed": 6.0,
    "received": 6.1,
    "handed": 6.12,
    "stored_taken": 6.13,
    "heard": 6.135,
    "begun": 6.14,
    "fetched": 6.5,
    "finished": 6.8,
    "put": 6.9,
    "closed": 6.92,
    "counted": 6.95,
}
WHOSE = {
    "taken": Clock.GENERATOR,
    "created": Clock.PROVIDER,
    "started": Clock.PROVIDER,
    "completed": Clock.PROVIDER,
    "received": Clock.INGRESS,
    "handed": Clock.INGRESS,
    "stored_taken": Clock.STORAGE,
    "begun": Clock.STORAGE,
    "fetched": Clock.STORAGE,
    "finished": Clock.STORAGE,
    "put": Clock.STORAGE,
}
EVERY_STAGE = [
    Stage.ORDER,
    Stage.PLAN,
    Stage.QUEUE,
    Stage.CREATE,
    Stage.PROVIDER_QUEUE,
    Stage.RUN,
    Stage.TRANSIT,
    Stage.ACK,
    Stage.BROKER,
    Stage.TURN,
    Stage.DOWNLOAD,
    Stage.FINISH,
    Stage.UPLOAD,
    Stage.RECORD,
    Stage.COUNT,
]


def at(seconds: float) -> datetime:
    return ORDERED + timedelta(seconds=seconds)


def a_job(
    times: Mapping[str, float] = WELL,
    *,
    off: Mapping[Clock, float] | None = None,
    missing: frozenset[str] = frozenset(),
    slot: Mapping[str, Any] | None = None,
    bought: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    stored: Mapping[str, Any] | None = None,
    **job: Any,
) -> JobTimes:
    """A job of one slot, as its machines wrote it down: each on its own clock, ``off`` by so much,
    and without what is ``missing``."""
    off = off or {}

    def told(name: str) -> datetime | None:
        return None if name in missing else here(name)

    def here(name: str) -> datetime:
        return at(times[name] + off.get(WHOSE.get(name, Clock.DATABASE), 0.0))

    kept = Stored(
        taken_at=here("stored_taken"),
        begun_at=here("begun"),
        fetched_at=here("fetched"),
        finished_at=here("finished"),
        put_at=here("put"),
    )
    heard = Verdict(
        recorded_at=here("heard"), received_at=told("received"), handed_at=told("handed")
    )
    purchase = Bought(
        attempt=1,
        intended_at=here("intended"),
        answered_at=told("answered"),
        created_at=told("created"),
        started_at=told("started"),
        completed_at=told("completed"),
        verdict=replace(heard, **(verdict or {})),
    )
    one = SlotTimes(
        ordinal=1,
        state=S.STORED,
        attempt=1,
        bought=(replace(purchase, **(bought or {})),),
        stored=None if "stored" in missing else replace(kept, **(stored or {})),
        closed_at=told("closed"),
        counted_at=told("counted"),
    )
    known = JobTimes(
        job_id=UUID(int=7),
        ordered_at=ORDERED + timedelta(seconds=off.get(Clock.PUBLISHER, 0.0)),
        taken_at=told("taken"),
        planned_at=here("planned"),
        read_at=at(max(times.values()) + 10),
        slots=(replace(one, **(slot or {})),),
    )
    return replace(known, **job)


def lane_of(job: JobTimes) -> Lane:
    (lane,) = waterfall(job).lanes
    return lane


def stages_of(job: JobTimes) -> list[Stage]:
    return [segment.stage for segment in lane_of(job).segments]


def assert_covered(lane: Lane) -> None:
    """One segment after the other, none empty, from the first moment to the last."""
    for a, b in pairwise(lane.segments):
        assert a.ends == b.begins
    assert all(segment.seconds > 0 for segment in lane.segments)
    assert sum(segment.seconds for segment in lane.segments) == pytest.approx(lane.seconds)
    assert sum(lane.by_stage().values()) == pytest.approx(lane.seconds)
    unnamed = sum(one.seconds for one in lane.segments if one.stage is Stage.OTHER)
    assert 0 <= lane.named <= 1
    if lane.seconds:
        assert lane.named == pytest.approx(1 - unnamed / lane.seconds)


# ---- a slot that went well


def test_every_second_of_a_slot_that_went_well_has_its_name() -> None:
    lane = lane_of(a_job())

    assert [segment.stage for segment in lane.segments] == EVERY_STAGE
    assert lane.named == 1
    assert lane.seconds == pytest.approx(6.95)
    assert lane.by_stage()[Stage.RUN] == pytest.approx(4.0)
    assert lane.by_stage()[Stage.DOWNLOAD] == pytest.approx(0.36)
    assert lane.shifts == {}
    assert_covered(lane)


def test_the_slowest_part_is_said_in_both_languages() -> None:
    said = sentence(waterfall(a_job()))

    assert said["en"] == "58% of its 7.0 s went into the run at Replicate (4.0 s)."
    assert said["ko"] == "전체 7.0초 가운데 58%(4.0초)가 'Replicate 실행'에 쓰였습니다."


def test_of_several_slots_the_last_is_spoken_of() -> None:
    early, (late,) = a_job(), a_job(WELL | {"counted": 60.0}).slots
    job = replace(early, slots=(*early.slots, replace(late, ordinal=2)))

    assert sentence(waterfall(job))["en"] == (
        "Slot 2 was the last: 88% of its 60.0 s went into counting it (53.1 s)."
    )


def test_every_step_and_clock_has_words_in_every_language() -> None:
    assert set(STAGES) == set(Stage)
    assert set(CLOCKS) == set(Clock)
    assert all(set(words) == {"en", "ko"} for words in (*STAGES.values(), *CLOCKS.values()))


def test_the_data_is_plain_and_says_what_the_lanes_say() -> None:
    import json

    data = json.loads(json.dumps(as_data(waterfall(a_job()))))

    assert data["named"] == 1.0
    assert data["slowest"] == {"ordinal": 1, "stage": "run", "seconds": pytest.approx(4.0)}
    (slot,) = data["slots"]
    assert [one["stage"] for one in slot["segments"]] == [str(stage) for stage in EVERY_STAGE]
    assert slot["segments"][5]["words"] == {"en": "the run at Replicate", "ko": "Replicate 실행"}


# ---- holes


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        # The names before and after it go with the moment that divided them.
        ({"handed"}, {Stage.ACK, Stage.BROKER}),
        ({"completed"}, {Stage.RUN, Stage.TRANSIT}),
        ({"received", "handed"}, {Stage.TRANSIT, Stage.ACK, Stage.BROKER}),
        ({"answered", "created", "started", "completed"}, {Stage.CREATE, Stage.RUN, Stage.TRANSIT}),
    ],
)
def test_what_nobody_wrote_down_is_unnamed(missing: set[str], named: set[Stage]) -> None:
    lane = lane_of(a_job(missing=frozenset(missing)))

    whole = lane_of(a_job()).by_stage()
    lost = [stage for stage in EVERY_STAGE if stage not in lane.by_stage()]
    assert named <= set(lost)
    assert lane.unnamed_seconds == pytest.approx(sum(whole[stage] for stage in lost))
    assert lane.named < 1
    assert_covered(lane)


@pytest.mark.parametrize(
    ("missing", "instead"),
    [
        ({"taken"}, Stage.ORDER),
        ({"started"}, Stage.PROVIDER),
        ({"stored"}, Stage.STORE),
        ({"created"}, Stage.CREATE),  # until it was answered
    ],
)
def test_what_is_told_together_is_named_together(missing: set[str], instead: Stage) -> None:
    lane = lane_of(a_job(missing=frozenset(missing)))

    assert instead in lane.by_stage()
    assert lane.named == 1
    assert_covered(lane)


def test_a_run_whose_start_was_not_told_is_as_long_as_it_was_billed() -> None:
    lane = lane_of(a_job(missing=frozenset({"started"}), bought={"run_seconds": 4.0}))

    assert lane.by_stage()[Stage.RUN] == pytest.approx(4.0)
    assert lane.by_stage()[Stage.PROVIDER_QUEUE] == pytest.approx(1.7)


def test_a_run_that_began_before_it_was_made_waited_in_no_queue() -> None:
    lane = lane_of(a_job(WELL | {"started": 0.29}))

    assert Stage.PROVIDER_QUEUE not in lane.by_stage()
    assert lane.named == 1


def test_two_moments_that_changed_places_leave_their_time_unnamed() -> None:
    # Upload "ended" before finishing did, by one and the same clock: both claim that second.
    lane = lane_of(a_job(WELL | {"finished": 7.9, "put": 6.9, "closed": 8.0, "counted": 8.1}))

    assert lane.unnamed_seconds == pytest.approx(1.0)
    assert_covered(lane)


# ---- a bad day, each with a name of its own


def test_a_second_attempt_names_the_first_as_a_whole() -> None:
    first = Bought(
        attempt=1,
        intended_at=at(0.1),
        created_at=at(0.11),
        started_at=at(0.12),
        completed_at=at(0.15),
        verdict=Verdict(recorded_at=at(0.16), succeeded=False, received_at=at(0.155)),
    )
    job = a_job(slot={"attempt": 2})
    (slot,) = job.slots
    second = replace(slot.bought[0], attempt=2)
    lane = lane_of(replace(job, slots=(replace(slot, bought=(first, second)),)))

    taken = lane.by_stage()
    assert taken[Stage.LOST_ATTEMPT] == pytest.approx(0.06)
    assert taken[Stage.AGAIN] == pytest.approx(0.04)
    assert lane.named == 1
    assert lane.attempts == 2
    by_attempt = {segment.stage: segment.attempt for segment in lane.segments}
    assert (by_attempt[Stage.LOST_ATTEMPT], by_attempt[Stage.RUN]) == (1, 2)
    assert_covered(lane)


def test_a_create_whose_answer_was_lost_is_doubt_until_it_is_bought_anew() -> None:
    lost = Bought(attempt=1, intended_at=at(0.1), never_made=True)
    job = a_job(slot={"attempt": 2})
    (slot,) = job.slots
    second = replace(slot.bought[0], attempt=2)
    lane = lane_of(replace(job, slots=(replace(slot, bought=(lost, second)),)))

    assert lane.by_stage()[Stage.DOUBT] == pytest.approx(0.1)
    assert lane.named == 1


def test_a_create_that_was_not_taken_is_no_waiting_of_ours() -> None:
    lane = lane_of(a_job(bought={"first_intended_at": at(0.08)}))

    assert lane.by_stage()[Stage.QUEUE] == pytest.approx(0.03)
    assert lane.by_stage()[Stage.TURNED_AWAY] == pytest.approx(0.12)
    assert lane.named == 1


def test_the_answer_to_a_create_that_was_not_taken_says_nothing_of_clocks() -> None:
    lane = lane_of(a_job(bought={"first_intended_at": at(0.08), "answered_at": at(0.1)}))

    assert lane.shifts == {}
    assert lane.by_stage()[Stage.CREATE] == pytest.approx(0.1)


def test_a_webhook_that_got_through_late_is_not_called_slow() -> None:
    late = {name: when + 20 for name, when in WELL.items() if when > 6}
    lane = lane_of(a_job(WELL | late | {"completed": 6.0}, verdict={"sent_at": at(26)}))

    assert lane.by_stage()[Stage.WEBHOOK_AGAIN] == pytest.approx(20)
    assert lane.by_stage()[Stage.TRANSIT] == pytest.approx(0.1)
    assert lane.named == 1


def test_a_second_that_is_cut_off_a_webhooks_time_makes_it_no_later_one() -> None:
    lane = lane_of(a_job(WELL | {"completed": 6.05}, verdict={"sent_at": at(6)}))

    assert Stage.WEBHOOK_AGAIN not in lane.by_stage()
    assert lane.named == 1


def test_a_verdict_that_was_asked_for_names_the_silence() -> None:
    lane = lane_of(a_job(WELL | {"heard": 6.1}, verdict={"found": True, "received_at": at(9)}))

    assert lane.by_stage()[Stage.SILENCE] == pytest.approx(0.1)
    assert Stage.TRANSIT not in lane.by_stage()
    assert lane.named == 1


def test_parked_waits_and_failed_tries_have_their_names() -> None:
    waits = (
        Wait(parked_at=at(7), brought_at=at(9)),
        Wait(parked_at=at(9.5), brought_at=at(15)),
    )
    late = {"stored_taken": 15.1, "begun": 15.2, "fetched": 16.0, "finished": 16.1, "put": 16.2}
    lane = lane_of(
        a_job(
            WELL | late | {"closed": 16.3, "counted": 16.4},
            verdict={"waits": waits},
            stored={"heard_before": True},
        )
    )

    taken = lane.by_stage()
    assert taken[Stage.PARKED] == pytest.approx(2 + 5.5)
    assert taken[Stage.TRIED] == pytest.approx(7 - 6.135 + 0.5)
    assert taken[Stage.BROKER] == pytest.approx(0.015 + 0.1)
    assert lane.named == 1
    assert_covered(lane)


def test_an_order_that_was_parked_waits_before_its_plan() -> None:
    later = {name: when + 10 for name, when in WELL.items()}
    lane = lane_of(a_job(later, waits=(Wait(parked_at=at(1), brought_at=at(10)),)))

    assert lane.by_stage()[Stage.PARKED] == pytest.approx(9)
    assert lane.named == 1


def test_what_a_dead_process_began_and_another_repeated_is_named() -> None:
    late = {"stored_taken": 15.1, "begun": 15.2, "fetched": 16.0, "finished": 16.1, "put": 16.2}
    lane = lane_of(
        a_job(WELL | late | {"closed": 16.3, "counted": 16.4}, stored={"heard_before": True})
    )

    assert lane.by_stage()[Stage.REPEATED] == pytest.approx(15.1 - 6.135)
    assert lane.named == 1


def test_the_time_without_a_database_is_named_for_it() -> None:
    late = {"stored_taken": 15.1, "begun": 15.2, "fetched": 16.0, "finished": 16.1, "put": 16.2}
    lane = lane_of(
        a_job(
            WELL | late | {"heard": 15.15, "closed": 16.3, "counted": 16.4},
            stored={"held_since": at(6.2)},
        )
    )

    assert lane.by_stage()[Stage.HELD] == pytest.approx(15.1 - 6.2)
    assert lane.by_stage()[Stage.BROKER] == pytest.approx(0.08)
    assert lane.named == 1


def test_news_that_was_parked_before_it_was_written_down_waited_first() -> None:
    waits = (Wait(parked_at=at(6.2), brought_at=at(6.5)),)
    lane = lane_of(
        a_job(WELL | {"heard": 6.6}, missing=frozenset({"stored"}), verdict={"waits": waits})
    )

    assert [one.stage for one in lane.segments][-5:] == [
        Stage.TRIED,
        Stage.PARKED,
        Stage.BROKER,
        Stage.STORE,
        Stage.COUNT,
    ]
    assert lane.named == 1


def test_a_count_whose_transaction_began_before_the_closing_takes_no_time() -> None:
    lane = lane_of(a_job(WELL | {"counted": 6.91}))

    assert lane.segments[-1].stage is Stage.RECORD
    assert lane.ends == pytest.approx(6.92)
    assert lane.named == 1


def test_a_refused_create_ends_with_its_answer() -> None:
    job = a_job(
        missing=frozenset({"created", "started", "completed", "stored"}),
        slot={"state": S.FAILED, "closed_at": at(0.36), "counted_at": at(0.4)},
        bought={"verdict": None},
    )

    assert stages_of(job)[2:] == [Stage.QUEUE, Stage.CREATE, Stage.RECORD, Stage.COUNT]
    assert lane_of(job).named == 1


# ---- not at its end


@pytest.mark.parametrize(
    ("missing", "state", "doing"),
    [
        ({"created", "answered"}, S.CREATING, Stage.CREATE),
        ({"created", "answered"}, S.IN_DOUBT, Stage.DOUBT),
        ({"started"}, S.SUBMITTED, Stage.PROVIDER_QUEUE),
        ({"completed"}, S.RUNNING, Stage.RUN),
    ],
)
def test_an_open_slot_is_named_by_what_it_is_at(
    missing: set[str], state: SlotState, doing: Stage
) -> None:
    later = {"created", "answered", "started", "completed"} if "created" in missing else missing
    later = later | ({"completed"} if "started" in missing else set())
    lane = lane_of(
        a_job(
            missing=frozenset({*later, "stored", "closed", "counted"}),
            slot={"state": state},
            bought={"verdict": None},
        )
    )

    assert lane.segments[-1].stage is doing
    assert lane.ends == pytest.approx(16.95)
    assert lane.named == 1


def test_a_slot_that_waits_for_its_next_try_is_parked_until_now() -> None:
    job = a_job(
        missing=frozenset({"stored", "closed", "counted"}),
        slot={"state": S.SUCCEEDED},
        verdict={"waits": (Wait(parked_at=at(7), brought_at=None),)},
    )

    assert stages_of(job)[-1] is Stage.PARKED
    assert lane_of(job).named == 1


def test_a_slot_that_was_not_taken_yet_is_turned_away() -> None:
    job = a_job(
        missing=frozenset({"created", "answered", "started", "completed", "stored", "closed"}),
        slot={"state": S.PENDING, "counted_at": None},
        bought={"verdict": None, "not_taken": True},
    )

    assert stages_of(job)[-1] is Stage.TURNED_AWAY


def test_a_canceled_slot_ends_with_its_job_and_not_with_its_run() -> None:
    lane = lane_of(
        a_job(
            missing=frozenset({"stored"}),
            slot={"state": S.CANCELED, "closed_at": at(4), "counted_at": at(4)},
            verdict={"succeeded": False},
        )
    )

    assert lane.segments[-1].stage is Stage.RUN
    assert lane.ends == pytest.approx(4)
    assert lane.named == 1


def test_a_slot_that_was_canceled_in_the_queue_never_ran() -> None:
    # Its end at the provider came later, and tells of no start.
    lane = lane_of(
        a_job(
            missing=frozenset({"started", "stored"}),
            slot={"state": S.CANCELED, "closed_at": at(4), "counted_at": at(4)},
            verdict={"succeeded": False},
        )
    )

    assert lane.segments[-1].stage is Stage.PROVIDER_QUEUE
    assert lane.named == 1


# ---- clocks

SHIFTS = st.fixed_dictionaries(
    {
        clock: st.floats(-4000, 4000)
        for clock in (Clock.GENERATOR, Clock.PROVIDER, Clock.INGRESS, Clock.STORAGE)
    }
)


def test_a_provider_that_is_ahead_is_brought_back_and_said() -> None:
    lane = lane_of(a_job(off={Clock.PROVIDER: 3.0}))

    assert lane.shifts is not None
    assert lane.shifts[Clock.PROVIDER] == pytest.approx(-2.95)  # up to the create's answer
    assert lane.by_stage()[Stage.RUN] == pytest.approx(4.0)
    assert lane.named == 1
    (said,) = about_clocks(lane)
    assert said["en"].startswith("The clock of Replicate is at least 3.0 s ahead of the database's")
    assert "빠릅니다" in said["ko"]


def test_clocks_that_agree_are_not_spoken_of() -> None:
    assert about_clocks(lane_of(a_job())) == ()


def test_a_clock_that_jumped_is_said_and_what_it_claims_twice_is_unnamed() -> None:
    # The provider made it before it was ordered, and ended it after it was heard of: no shift helps.
    lane = lane_of(a_job(WELL | {"created": -5.0, "completed": 6.5}))

    assert lane.shifts is None
    assert lane.named < 1
    assert about_clocks(lane)[0]["en"].startswith("The clocks contradict each other")
    assert_covered(lane)


@given(SHIFTS)
def test_whatever_the_clocks_say_the_time_is_covered_and_named(off: dict[Clock, float]) -> None:
    lane = lane_of(a_job(off=off))

    assert_covered(lane)
    assert lane.shifts is not None
    assert lane.named == pytest.approx(1, abs=1e-5)
    assert lane.seconds == pytest.approx(6.95, abs=1e-5)  # both ends are the database's
    # What begins and ends on one clock is as long as it was.
    for stage in (
        Stage.PROVIDER_QUEUE,
        Stage.RUN,
        Stage.ACK,
        Stage.DOWNLOAD,
        Stage.UPLOAD,
        Stage.COUNT,
    ):
        assert lane.by_stage()[stage] == pytest.approx(lane_of(a_job()).by_stage()[stage], abs=1e-5)


MOMENTS = sorted(set(WELL) - {"planned", "intended"})


@given(
    gaps=st.lists(st.floats(0, 1000), min_size=len(WELL), max_size=len(WELL)),
    off=SHIFTS,
    missing=st.frozensets(st.sampled_from([*MOMENTS, "stored"])),
    state=st.sampled_from(list(SlotState)),
)
def test_no_record_however_full_of_holes_overlaps_or_leaves_a_gap(
    gaps: list[float], off: dict[Clock, float], missing: frozenset[str], state: SlotState
) -> None:
    times, now = {}, 0.0
    for name, gap in zip(WELL, gaps, strict=True):
        now += gap
        times[name] = now

    lane = lane_of(a_job(times, off=off, missing=missing, slot={"state": state}))

    assert_covered(lane)


@given(st.lists(st.floats(-100, 100), min_size=len(WELL), max_size=len(WELL)))
def test_moments_in_any_order_at_all_never_overlap(wild: list[float]) -> None:
    lane = lane_of(a_job(dict(zip(WELL, wild, strict=True))))

    assert_covered(lane)


@given(
    off=SHIFTS,
    hole=st.sampled_from(["handed", "received", "completed"]),
    length=st.floats(0.01, 500),
)
def test_a_hole_counts_for_as_long_as_it_is(
    off: dict[Clock, float], hole: str, length: float
) -> None:
    names = list(WELL)
    place = names.index(hole)
    times = {
        name: when + (length if names.index(name) >= place else 0) for name, when in WELL.items()
    }

    lane = lane_of(a_job(times, off={}, missing=frozenset({hole})))

    assert lane.unnamed_seconds >= length - 1e-6


def test_a_slot_that_was_taken_over_says_from_where_and_has_no_time_without_a_name() -> None:
    before = UUID(int=9)
    job = a_job(slot={"bought": (), "stored": None, "reused_from": before})

    lane = lane_of(job)

    assert_covered(lane)
    assert [one.stage for one in lane.segments] == [
        Stage.ORDER,
        Stage.PLAN,
        Stage.REUSE,
        Stage.COUNT,
    ]
    assert (lane.named, lane.attempts, lane.reused_from) == (1, 0, before)
    told = as_data(waterfall(job))["slots"][0]
    assert told["reused_from"] == str(before)
    assert all(str(before) in told["where_from"][tongue] for tongue in ("en", "ko"))
