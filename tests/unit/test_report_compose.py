"""What of a job its report shows, and in which order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.report.compose import (
    ENTRIES_SHOWN,
    Material,
    People,
    compose,
    known_zone,
    language,
    results_of,
    to_show,
)
from services.report.view import Failure, Picture, ReportView, Result
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow, Purchase
from shared.db.slots import Slot
from shared.domain import identity, keys
from shared.domain.job import JobState
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState
from shared.events import Artifact
from shared.recipes.variations import VARIATIONS
from shared.settings import Locale

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
JOB = UUID("8f7a2c41-93d0-4c6e-a1b5-2f60d4e7c913")
SEOUL = People(zone="Asia/Seoul", locale="ko")
A_COPY = Picture(content_type="image/jpeg", data=b"x", width=4, height=3)


def a_job(**known: Any) -> Job:
    job = Job(
        id=JOB,
        recipe="variations",
        n=3,
        ordered_at=NOON,
        external_ref="order-17",
        state=JobState.COMPLETED,
        stored=3,
        failed=0,
        canceled=0,
        reason=None,
        report="pending",
        report_key=None,
        created_at=NOON + timedelta(seconds=1),
        queued_at=NOON,
        running_at=NOON,
        ended_at=NOON + timedelta(minutes=1),
    )
    return replace(job, **known)


def a_slot(ordinal: int, **known: Any) -> Slot:
    slot = Slot(
        job_id=JOB,
        ordinal=ordinal,
        model="somebody/model",
        input={},
        seed=1000 + ordinal,
        state=SlotState.STORED,
        attempt=1,
        not_listed=0,
        winner=1,
        due_at=None,
        lease_until=None,
        fence=1,
        expires_at=None,
        failure_code=None,
        skipped=[],
        failure_detail=None,
        counted_at=NOON,
        created_at=NOON,
        moved_at=NOON,
    )
    return replace(slot, **known)


def a_failed_slot(ordinal: int, code: FailureCode = FailureCode.NSFW) -> Slot:
    return a_slot(ordinal, state=SlotState.FAILED, winner=None, failure_code=code)


def a_prediction(ordinal: int, attempt: int = 1) -> PredictionRow:
    return PredictionRow(
        job_id=JOB,
        ordinal=ordinal,
        attempt=attempt,
        token="t" * 20,
        model="somebody/model",
        seed=1000 + ordinal,
        prediction_id=f"prediction-{ordinal}-{attempt}",
        url=None,
        status=Status.SUCCEEDED,
        outcome=Purchase.ACCEPTED,
        adopted=False,
        error=None,
        metrics={},
        predict_seconds=1.0,
        cost_micros=None,
        intended_at=NOON,
        create_deadline=NOON,
        answered_at=NOON,
        created_at=NOON,
        started_at=NOON,
        completed_at=NOON,
        last_news_at=NOON,
        ask_every=timedelta(seconds=30),
        ask_at=None,
        asked=0,
        cancel_wanted_at=None,
        cancel_sent_at=None,
    )


def a_picture(ordinal: int, *, attempt: int = 1, index: int = 0, **known: Any) -> Artifact:
    key = keys.generated(JOB, ordinal, attempt, index, "image/png")
    file = Artifact(
        id=identity.artifact_id(key),
        kind="generated",
        key=key,
        content_type="image/png",
        bytes=1000,
        sha256="0" * 64,
        ordinal=ordinal,
        attempt=attempt,
        index=index,
        width=1024,
        height=1024,
    )
    return replace(file, **known)


def an_original(**known: Any) -> Artifact:
    file = Artifact(
        id=identity.artifact_id("original"),
        kind="original",
        key=keys.originals(JOB) + "photo.jpg",
        content_type="image/jpeg",
        bytes=1000,
        sha256="0" * 64,
    )
    return replace(file, **known)


def material(n: int = 3, **known: Any) -> Material:
    ordinals = range(1, n + 1)
    made = Material(
        job=a_job(n=n),
        finished_at=NOON + timedelta(minutes=1),
        slots=[a_slot(ordinal) for ordinal in ordinals],
        predictions=[a_prediction(ordinal) for ordinal in ordinals],
        artifacts=[an_original(), *(a_picture(ordinal) for ordinal in ordinals)],
    )
    return replace(made, **known)


def the_view(of: Material, *, people: People = SEOUL) -> ReportView:
    return compose(of, {}, recipe=VARIATIONS, people=people)


def places(view: ReportView) -> list[str]:
    return [entry.place for entry in view.entries]


def test_results_stand_by_slot_whatever_order_the_rows_come_in() -> None:
    rows = [a_picture(n) for n in (10, 2, 1, 11, 3)]

    view = the_view(material(slots=[a_slot(n) for n in (1, 2, 3, 10, 11)], artifacts=rows))

    assert places(view) == ["1", "2", "3", "10", "11"]


def test_several_files_of_a_slot_stand_by_their_index() -> None:
    rows = [a_picture(2), *(a_picture(1, index=i) for i in (10, 0, 2, 1))]

    view = the_view(material(n=2, artifacts=rows))

    assert places(view) == ["1.1", "1.2", "1.3", "1.11", "2.1"]


def test_what_failed_stands_in_its_own_place() -> None:
    of = material(slots=[a_slot(1), a_failed_slot(2), a_slot(3)])
    of = replace(of, artifacts=[a_picture(3), a_picture(1)])

    view = the_view(of)

    assert places(view) == ["1", "2", "3"]
    assert view.entries[1] == Failure(place="2", code=FailureCode.NSFW)
    assert (view.files, view.failures) == (2, 1)


def test_a_slot_that_the_deadline_left_open_is_told_without_a_code() -> None:
    open_slot = a_slot(2, state=SlotState.RUNNING, winner=None)

    view = the_view(material(n=2, slots=[a_slot(1), open_slot], artifacts=[a_picture(1)]))

    assert view.entries[1] == Failure(place="2", code=None)


def test_files_of_an_attempt_that_lost_are_not_shown() -> None:
    of = material(
        n=1,
        slots=[a_slot(1, attempt=2, winner=2)],
        predictions=[a_prediction(1, 1), a_prediction(1, 2)],
        artifacts=[a_picture(1, attempt=1), a_picture(1, attempt=2)],
    )

    [result] = the_view(of).entries

    assert isinstance(result, Result)
    assert result.prediction_id == "prediction-1-2"


def test_what_was_derived_from_a_file_stands_for_it() -> None:
    quantised = a_picture(1, kind="derived", key="derived-1", variant="quantised")

    [shown] = results_of(material(n=1, artifacts=[a_picture(1), quantised]))

    assert shown is quantised


def test_seed_and_prediction_come_from_the_file_and_else_from_its_slot() -> None:
    told = a_picture(1, seed=0, prediction_id="told")

    first, second = the_view(material(n=2, artifacts=[told, a_picture(2)])).entries

    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert (first.seed, first.prediction_id) == (0, "told")
    assert (second.seed, second.prediction_id) == (1002, "prediction-2-1")


def test_pictures_reach_their_places_by_key() -> None:
    of = material(n=2)

    view = compose(of, {a_picture(2).key: A_COPY}, recipe=VARIATIONS, people=SEOUL)

    pictures = [entry.picture for entry in view.entries if isinstance(entry, Result)]
    assert pictures == [None, A_COPY]
    assert view.original is not None
    assert view.original.picture is None


@pytest.mark.parametrize(
    ("asked", "zone", "unknown"),
    [
        ("Europe/Berlin", "Europe/Berlin", None),
        (None, "Asia/Seoul", None),
        ("Mars/Olympus", "Asia/Seoul", "Mars/Olympus"),
        ("../../etc/passwd", "Asia/Seoul", "../../etc/passwd"),
        ("/etc/localtime", "Asia/Seoul", "/etc/localtime"),
        ("Asia", "Asia/Seoul", "Asia"),
        ("", "Asia/Seoul", None),
    ],
)
def test_times_are_in_the_jobs_zone_and_else_in_the_installations(
    asked: str | None, zone: str, unknown: str | None
) -> None:
    view = the_view(material(job=a_job(timezone=asked)))

    assert (view.zone.key, view.unknown_zone) == (zone, unknown)


@pytest.mark.parametrize("name", ["\x00", "Asia/Seoul\x00", "a" * 300, "시간대", "\ud800"])
def test_no_name_of_a_zone_is_a_crash(name: str) -> None:
    assert known_zone(name) is None


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        ("ko", "ko"),
        ("KO", "ko"),
        ("ko-KR", "ko"),
        ("ko_KR.UTF-8", "ko"),
        ("en-GB", "en"),
        ("tlh", "ko"),
        ("", "ko"),
        (None, "ko"),
        ("korean", "ko"),
    ],
)
def test_the_language_is_the_jobs_and_else_the_installations(
    asked: str | None, spoken: Locale
) -> None:
    assert language(asked, otherwise="ko") == spoken


def test_the_title_is_in_the_language_of_the_page() -> None:
    assert the_view(material(job=a_job(locale="en"))).recipe_title == VARIATIONS.title["en"]
    assert the_view(material(job=a_job(locale="ko"))).recipe_title == VARIATIONS.title["ko"]


def test_a_recipe_that_is_gone_still_gets_its_report() -> None:
    view = compose(material(), {}, recipe=None, people=SEOUL)

    assert view.recipe_title == "variations"
    assert view.sections == ("original", "results", "outcome")


def test_a_senders_clock_that_is_ahead_does_not_finish_a_job_before_its_order() -> None:
    ahead = a_job(ordered_at=NOON + timedelta(hours=1))

    view = the_view(material(job=ahead))

    assert view.ordered_at == ahead.created_at < view.finished_at


def test_a_page_lists_so_many_and_counts_the_rest() -> None:
    of = material(n=ENTRIES_SHOWN + 50)

    view = the_view(of)

    assert len(view.entries) == ENTRIES_SHOWN
    assert (view.left_out, view.files) == (50, ENTRIES_SHOWN + 50)


@pytest.mark.parametrize(
    ("n", "edge", "shown"), [(3, 1200, 3), (12, 1200, 12), (13, 800, 13), (10_000, 480, 120)]
)
def test_the_more_pictures_the_smaller_each(n: int, edge: int, shown: int) -> None:
    of = material(n=n)

    pictures = to_show(of)

    assert pictures.pop(an_original().key) == 1200
    assert list(pictures.values()) == [edge] * shown


def test_only_pictures_are_fetched_for_the_page() -> None:
    sound = a_picture(1, content_type="audio/mpeg")

    assert to_show(material(n=1, artifacts=[sound, an_original(content_type="audio/wav")])) == {}
