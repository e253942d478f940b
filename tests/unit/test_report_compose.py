"""What of a job its report shows, and in which order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.report.compose import (
    ENTRIES_SHOWN,
    SOUNDS_PLAYED,
    Copies,
    Material,
    People,
    compose,
    known_zone,
    language,
    results_of,
    to_play,
    to_show,
)
from services.report.view import Brief, Failure, Original, Picture, ReportView, Result, Sound
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow, Purchase
from shared.db.slots import Slot
from shared.domain import identity, keys
from shared.domain.job import JobState
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState
from shared.events import Artifact
from shared.recipes.recipe import Recipe
from shared.recipes.restoration import RESTORATION
from shared.recipes.sound_effect import SOUND_EFFECT
from shared.recipes.studio_concepts import STUDIO_CONCEPTS
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
    return compose(of, Copies(), recipe=VARIATIONS, people=people)


def places(view: ReportView) -> list[str]:
    return [entry.place for entry in view.entries]


def test_results_stand_by_slot_whatever_order_the_rows_come_in() -> None:
    rows = [a_picture(n) for n in (10, 2, 1, 11, 3)]

    view = the_view(material(slots=[a_slot(n) for n in (1, 2, 3, 10, 11)], artifacts=rows))

    assert places(view) == ["1", "2", "3", "10", "11"]


def test_several_files_of_a_slot_stand_by_their_index() -> None:
    rows = [a_picture(2), *(a_picture(1, index=i, seed=i) for i in (10, 0, 2, 1))]

    view = the_view(material(n=2, artifacts=rows))

    assert places(view) == ["1.1", "1.2", "1.3", "1.4", "2.1"]
    assert [result.seed for result in results(view)] == [0, 1, 2, 10, 1002]


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

    view = compose(of, Copies(pictures={a_picture(2).key: A_COPY}), recipe=VARIATIONS, people=SEOUL)

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
    view = compose(material(), Copies(), recipe=None, people=SEOUL)

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

    pictures = to_show(of, VARIATIONS.report_sections)

    assert pictures.pop(an_original().key) == 1200
    assert list(pictures.values()) == [edge] * shown


def test_only_pictures_are_fetched_for_the_page() -> None:
    sound = a_picture(1, content_type="audio/mpeg")

    of = material(n=1, artifacts=[sound, an_original(content_type="audio/wav")])
    assert to_show(of, VARIATIONS.report_sections) == {}


BRIEF = {
    "prompt": "islands and a path",
    "surface": {"width": 20, "height": 13.5},
    "colours": ["#1f3a5f", "#e9b44c"],
    "concepts": 4,
}


def a_stencil() -> Artifact:
    key = keys.prepared(JOB, 1, "stencil", "image/png")
    return replace(a_picture(1), kind="prepared", key=key, variant="stencil", attempt=None)


def a_concept(index: int, score: float | None) -> list[Artifact]:
    """What the model drew, and the same in granule colours."""
    key = keys.derived(JOB, 1, 1, index, variant="quantised", content_type="image/png")
    drawn = a_picture(1, index=index, score=score)
    return [drawn, replace(drawn, kind="derived", key=key, variant="quantised")]


def concepts(*scores: float | None, **known: Any) -> Material:
    files = [file for index, score in enumerate(scores) for file in a_concept(index, score)]
    job = a_job(recipe="studio-concepts", n=1, stored=1, params=BRIEF)
    return replace(material(n=1, job=job, artifacts=[a_stencil(), *files]), **known)


def a_view_of(of: Material, recipe: Recipe, copies: Copies | None = None) -> ReportView:
    return compose(of, copies or Copies(), recipe=recipe, people=SEOUL)


def results(view: ReportView) -> list[Result]:
    return [entry for entry in view.entries if isinstance(entry, Result)]


def test_concepts_stand_best_first_and_are_named_by_their_rank() -> None:
    shown = results(a_view_of(concepts(0.4, None, 0.9, 0.6), STUDIO_CONCEPTS))

    assert [result.score for result in shown] == [0.9, 0.6, 0.4, None]
    assert [result.place for result in shown] == ["1", "2", "3", "4"]


def test_equal_scores_keep_the_order_of_the_outputs() -> None:
    keys_shown = [file.key for file in results_of(concepts(0.5, 0.5, 0.5))]

    assert keys_shown == sorted(keys_shown)


def test_a_concept_stands_beside_what_the_model_drew() -> None:
    of = concepts(0.9)
    drawn, quantised = a_concept(0, 0.9)
    model, finished = replace(A_COPY, data=b"drawn"), replace(A_COPY, data=b"finished")
    copies = Copies(pictures={drawn.key: model, quantised.key: finished})

    [shown] = results(a_view_of(of, STUDIO_CONCEPTS, copies))

    assert shown.picture == finished
    assert shown.source == Original(picture=model)


def test_the_stencil_and_the_models_pictures_are_fetched_smaller_and_for_concepts_only() -> None:
    of = concepts(0.9)
    drawn, quantised = a_concept(0, 0.9)

    beside = to_show(of, STUDIO_CONCEPTS.report_sections)
    alone = to_show(of, VARIATIONS.report_sections)

    assert beside == {a_stencil().key: 640, quantised.key: 1200, drawn.key: 640}
    assert alone == {quantised.key: 1200}


def test_the_brief_is_what_the_order_said() -> None:
    copies = Copies(pictures={a_stencil().key: A_COPY})

    assert a_view_of(concepts(0.9), STUDIO_CONCEPTS, copies).brief == Brief(
        prompt="islands and a path",
        surface=(20.0, 13.5),
        colours=("#1f3a5f", "#e9b44c"),
        stencil=Original(picture=A_COPY),
    )


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"prompt": 7, "surface": "wide", "colours": "#1f3a5f"},
        {"prompt": " ", "surface": {"width": "1", "height": 2}, "colours": ["url(//evil.example)"]},
        {"surface": {"width": 1}, "colours": ["#1f3a5", "#1f3a5f\n", None, 3]},
    ],
)
def test_what_no_brief_can_say_is_not_said(params: dict[str, Any]) -> None:
    view = a_view_of(material(job=a_job(params=params)), STUDIO_CONCEPTS)

    assert view.brief == Brief()


def test_outputs_that_were_skipped_are_missing_behind_those_that_were_not() -> None:
    skipped = [
        {"index": 1, "why": "the picture is cut off or damaged"},
        {"index": 3, "why": "the model made fewer files than asked for, as with NSFW"},
    ]
    of = concepts(0.4, 0.3, 0.9, slots=[a_slot(1, skipped=skipped)])

    view = a_view_of(of, STUDIO_CONCEPTS)

    assert [result.score for result in results(view)] == [0.9, 0.4]
    assert view.entries[2:] == (
        Failure(place="3", code=FailureCode.UNUSABLE_OUTPUT),
        Failure(place="4", code=FailureCode.NSFW),
    )
    assert (view.files, view.failures) == (2, 2)


def test_what_was_skipped_of_one_slot_of_several_names_its_slot() -> None:
    slots = [a_slot(1, skipped=[{"index": 1, "why": "cut off"}]), a_slot(2)]

    view = the_view(material(n=2, slots=slots, artifacts=[a_picture(1), a_picture(2)]))

    assert places(view) == ["1", "1.2", "2"]


def test_a_slot_that_was_bought_again_shows_only_what_won() -> None:
    loser, winner = a_concept(0, 0.99), a_concept(0, 0.2)
    late = [replace(file, attempt=2, key=f"{file.key}-2") for file in winner]
    of = concepts(artifacts=[*loser, *late], slots=[a_slot(1, attempt=2, winner=2)])

    assert [file.key for file in results_of(of)] == [late[1].key]
    assert set(to_show(of, STUDIO_CONCEPTS.report_sections)) == {f.key for f in late}


def a_sound(ordinal: int = 1, **known: Any) -> Artifact:
    key = keys.generated(JOB, ordinal, 1, 0, "audio/wav")
    return a_picture(ordinal, key=key, content_type="audio/wav", seconds=8.2, **known)


def test_the_trimmed_sound_is_played_and_the_made_one_is_not() -> None:
    trimmed = replace(a_sound(), kind="derived", key="trimmed", variant="trimmed", seconds=7.5)
    of = material(n=1, artifacts=[a_sound(), trimmed])
    heard = Sound(content_type="audio/mpeg", data=b"mp3", peaks=(0.5,), loudness=None)

    [shown] = results(a_view_of(of, SOUND_EFFECT, Copies(sounds={"trimmed": heard})))

    assert to_play(of, SOUND_EFFECT.report_sections) == ("trimmed",)
    assert (shown.sound, shown.seconds) == (heard, 7.5)


def test_no_sound_is_fetched_for_a_page_that_plays_none() -> None:
    assert to_play(material(n=1, artifacts=[a_sound()]), VARIATIONS.report_sections) == ()


def test_a_page_plays_so_many_sounds() -> None:
    n = SOUNDS_PLAYED + 3
    of = material(n=n, artifacts=[a_sound(ordinal) for ordinal in range(1, n + 1)])

    assert len(to_play(of, SOUND_EFFECT.report_sections)) == SOUNDS_PLAYED


def test_an_order_in_words_alone_has_no_original() -> None:
    of = material(n=1, artifacts=[a_picture(1)])

    assert the_view(of).original is None


@pytest.mark.parametrize(
    "source", [{"source_key": "some/key"}, {"source_url": "https://x.example"}]
)
def test_an_original_that_was_sent_and_is_gone_is_said_to_be_missing(source: Any) -> None:
    of = material(n=1, job=a_job(n=1, **source), artifacts=[a_picture(1)])

    assert the_view(of).original == Original(picture=None)


def test_the_original_of_a_restoration_is_fetched_as_large_as_its_result() -> None:
    shown = to_show(material(n=1), RESTORATION.report_sections)

    assert list(shown.values()) == [1200, 1200]


@pytest.mark.parametrize(("locale", "begins"), [("en", "The model takes"), ("ko", "모델은 초")])
def test_what_the_recipe_notes_is_said_in_the_language_of_the_page(
    locale: str, begins: str
) -> None:
    job = a_job(locale=locale, params={"prompt": "steps on gravel", "seconds": 7.5})

    [note] = a_view_of(material(n=1, job=job), SOUND_EFFECT).notes

    assert note.startswith(begins)
    assert "7.5" in note


def test_parameters_of_another_version_of_the_recipe_cost_the_note_and_not_the_page() -> None:
    job = a_job(params={"words": "steps on gravel"})

    assert a_view_of(material(n=1, job=job), SOUND_EFFECT).notes == ()
