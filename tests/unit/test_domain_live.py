"""The live status: what people are told of a job, how far it is, and that it never goes back."""

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.doing import Doing
from shared.domain.job import ENDED, JobState
from shared.domain.live import Live, live
from shared.domain.prediction import TERMINAL, Status
from shared.domain.slot import CLOSED, FailureCode, SlotState
from shared.domain.telling import of_slot
from shared.recipes import RECIPES
from shared.recipes.standing import standing
from shared.words import EN, KO, VOCABULARIES, Vocabulary, Words

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
S, J = SlotState, JobState


@dataclass(frozen=True, kw_only=True)
class AJob:
    state: JobState = J.RUNNING
    n: int = 1
    reason: str | None = None
    report: str = "pending"
    recipe: str = "variations"
    params: dict[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ASlot:
    ordinal: int = 1
    state: SlotState = S.PENDING
    attempt: int = 1
    winner: int | None = None
    failure_code: FailureCode | None = None
    failure_detail: str | None = None
    skipped: tuple[dict[str, Any], ...] = ()
    reused_from: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class APurchase:
    ordinal: int = 1
    attempt: int = 1
    prediction_id: str | None = "p1"
    status: Status | None = None
    progress: float | None = None
    last_webhook_at: datetime | None = None


def shown(
    state: JobState,
    *slots: ASlot,
    bought: tuple[APurchase, ...] = (),
    says: dict[JobState, Words] | None = None,
    held_until: datetime | None = None,
    **job: Any,
) -> Live:
    now = AJob(state=state, n=len(slots), **job)
    return live(now, slots, bought, says=says or {}, held_until=held_until)


def several(*states: SlotState, **more: Any) -> list[ASlot]:
    return [
        ASlot(
            ordinal=n,
            state=state,
            failure_code=FailureCode.NSFW if state is S.FAILED else None,
            **more,
        )
        for n, state in enumerate(states, start=1)
    ]


# ---- the sentence


@pytest.mark.parametrize(
    ("state", "english", "korean"),
    [
        (S.PENDING, "Your order is in.", "주문이 접수되었습니다."),
        (S.CREATING, "being ordered from the model", "제작을 요청하고 있습니다"),
        (S.IN_DOUBT, "finding out whether", "확인하고 있습니다"),
        (S.SUBMITTED, "Waiting for a GPU.", "GPU를 기다리고 있습니다."),
        (S.RUNNING, "It is being made.", "만들고 있습니다."),
        (S.SUCCEEDED, "being fetched and stored", "받아 보관하고 있습니다"),
        (S.STORED, "The job is being closed.", "마무리하고 있습니다."),
    ],
)
def test_one_slot_is_told_by_what_is_being_done_about_it(
    state: SlotState, english: str, korean: str
) -> None:
    sentence = shown(J.RUNNING, ASlot(state=state)).sentence

    assert english in sentence["en"]
    assert korean in sentence["ko"]


def test_a_slot_that_waits_for_room_under_its_cap_says_so_and_why() -> None:
    says: dict[JobState, Words] = {J.PENDING: {"en": "Anything.", "ko": "무엇이든."}}

    now = shown(J.PENDING, ASlot(), held_until=NOON, says=says)

    assert (now.waits_for, now.held_until) == ("cost_cap", NOON)
    assert now.slots[0].waits_for == "cost_cap"
    assert now.sentence["en"].startswith("Today's limit on what such orders may cost is reached.")
    assert now.sentence["ko"].startswith("이 종류의 주문에 정해진 하루 비용 한도에 도달했습니다.")
    assert now.slots[0].words["en"] == "held back by today's limit on what such orders may cost"


def test_what_is_bought_already_does_not_wait_for_its_recipes_cap() -> None:
    some = shown(J.RUNNING, *several(S.RUNNING, S.PENDING), held_until=NOON)
    none = shown(J.RUNNING, *several(S.RUNNING, S.STORED), held_until=NOON)

    assert [slot.waits_for for slot in some.slots] == [None, "cost_cap"]
    assert some.sentence["en"].endswith(
        "1 is being made, 1 is held back by today's limit on what such orders may cost."
    )
    assert (none.waits_for, none.held_until) == (None, None)


def test_progress_is_said_where_the_logs_tell_it() -> None:
    now = shown(
        J.RUNNING,
        ASlot(state=S.RUNNING),
        bought=(APurchase(status=Status.PROCESSING, progress=0.4),),
    )

    assert now.sentence == {"en": "It is being made (40 %).", "ko": "만들고 있습니다(40%)."}
    assert now.slots[0].words == {"en": "being made (40 %)", "ko": "만드는 중(40%)"}


def test_a_run_that_has_only_begun_is_not_said_to_stand_at_nothing() -> None:
    begun = (APurchase(status=Status.STARTING, progress=0.0),)

    assert shown(J.RUNNING, ASlot(state=S.RUNNING), bought=begun).sentence["en"] == (
        "It is being made."
    )


def test_another_attempt_is_said_to_be_one() -> None:
    now = shown(J.RUNNING, ASlot(state=S.PENDING, attempt=2))

    assert "tried again" in now.sentence["en"]
    assert "다시 시도" in now.sentence["ko"]


def test_several_slots_are_counted_by_what_is_being_done_about_them() -> None:
    now = shown(
        J.RUNNING,
        *several(S.STORED, S.SUBMITTED, S.RUNNING, S.FAILED),
        bought=(APurchase(ordinal=3, status=Status.PROCESSING, progress=0.5),),
    )

    assert now.sentence == {
        "en": "1 of 4 is ready. 1 could not be made. "
        "1 is being made (50 %), 1 is waiting for a GPU.",
        "ko": "4개 중 1개가 준비되었습니다. 1개는 만들지 못했습니다. "
        "1개는 만드는 중(50%), 1개는 GPU를 기다리는 중입니다.",
    }


def test_slots_that_are_all_at_the_same_are_told_in_one() -> None:
    assert shown(J.QUEUED, *several(S.SUBMITTED, S.SUBMITTED)).sentence == {
        "en": "2 of 2 are waiting for a GPU.",
        "ko": "2개 모두 GPU를 기다리는 중입니다.",
    }


@pytest.mark.parametrize(
    ("report", "english", "korean"),
    [
        ("pending", "2 of 2 are ready. The report is being made.", "보고서를 만들고 있습니다."),
        ("published", "2 of 2 are ready. The report is ready too.", "보고서도 준비되었습니다."),
        (
            "failed",
            "2 of 2 are ready. The report could not be made.",
            "보고서는 만들지 못했습니다.",
        ),
    ],
)
def test_a_completed_job_tells_of_its_report(report: str, english: str, korean: str) -> None:
    now = shown(J.COMPLETED, *several(S.STORED, S.STORED), report=report)

    assert now.sentence["en"] == english
    assert now.sentence["ko"] == f"2개 모두 준비되었습니다. {korean}"


def test_partial_completion_names_what_is_missing_and_why() -> None:
    slots = several(S.STORED, S.FAILED, S.STORED, S.FAILED, S.FAILED)
    slots[4] = replace(slots[4], failure_code=FailureCode.EXPIRED)

    now = shown(J.COMPLETED, *slots, report="published")

    assert now.sentence["en"].startswith(
        "2 of 5 are ready. Missing: numbers 2, 4 (held back by the model's content filter), "
        "number 5 (deleted before it could be saved)."
    )
    assert "빠진 항목: 2, 4번(모델의 콘텐츠 필터에 걸림), 5번(" in now.sentence["ko"]


def test_many_that_are_missing_for_one_reason_are_counted() -> None:
    now = shown(J.COMPLETED, *several(S.STORED, *[S.FAILED] * 6))

    assert "Missing: 6 of them (held back" in now.sentence["en"]
    assert "빠진 항목: 6개(모델의" in now.sentence["ko"]


def test_outputs_that_could_not_be_used_are_counted() -> None:
    now = shown(J.COMPLETED, ASlot(state=S.STORED, skipped=({"index": 2, "why": "no picture"},)))

    assert "1 file of it could not be used." in now.sentence["en"]
    assert "파일 1개는 사용할 수 없었습니다." in now.sentence["ko"]


@pytest.mark.parametrize("tongue", VOCABULARIES)
@pytest.mark.parametrize("code", list(FailureCode))
def test_every_failure_is_told_in_peoples_words(code: FailureCode, tongue: str) -> None:
    now = shown(J.FAILED, ASlot(state=S.FAILED, failure_code=code, failure_detail="E1001: boom"))

    words = VOCABULARIES[tongue]
    assert now.sentence[tongue].startswith(words.failures[code])
    assert now.slots[0].words[tongue] == words.because[code]


def test_what_the_provider_refused_is_told_in_its_own_words() -> None:
    detail = "input.seed: Invalid type. Expected: integer, given: string"
    refused = ASlot(state=S.FAILED, failure_code=FailureCode.INVALID_INPUT, failure_detail=detail)

    sentence = shown(J.FAILED, refused).sentence

    assert sentence["en"].endswith(f"The provider says: {detail}")
    assert sentence["ko"].endswith(f"제공업체가 알려 온 이유: {detail}")


def test_a_provider_that_gave_no_reason_is_not_quoted() -> None:
    silent = ASlot(
        state=S.FAILED,
        failure_code=FailureCode.PROVIDER,
        failure_detail="the provider ended the prediction as failed and gave no reason",
    )

    assert shown(J.FAILED, silent).sentence["en"] == EN.failures[FailureCode.PROVIDER]


def test_the_providers_words_are_one_line_without_links_and_not_a_page() -> None:
    detail = "cannot read\nhttps://bucket/jobs/x?X-Amz-Signature=secret " + "x" * 5000
    refused = ASlot(state=S.FAILED, failure_code=FailureCode.PROVIDER, failure_detail=detail)

    told = shown(J.FAILED, refused).sentence["en"]

    assert "secret" not in told
    assert "\n" not in told
    assert len(told) < 500


def test_a_job_that_needed_more_says_what_there_is_and_what_is_missing() -> None:
    now = shown(J.FAILED, *several(S.STORED, S.FAILED))

    assert now.sentence["en"].startswith("Only 1 of 2 could be made. Missing: number 2 (")
    assert now.sentence["ko"].startswith("2개 중 1개만 만들 수 있었습니다. 빠진 항목: 2번(")


def test_an_order_that_could_not_be_planned_gives_the_reason() -> None:
    now = shown(J.FAILED, reason="there is no recipe 'oil'")

    assert now.sentence["en"] == "The order could not be carried out: there is no recipe 'oil'"
    assert now.progress == 1


def test_what_the_deadline_met_undone_is_said_to_be_late() -> None:
    several_late = shown(J.FAILED, *several(S.STORED, S.CANCELED, S.RUNNING))
    one_late = shown(J.FAILED, ASlot(state=S.CANCELED))

    assert "Missing: numbers 2, 3 (not done by the deadline" in several_late.sentence["en"]
    assert "2, 3번(기한까지 완성되지 않음)" in several_late.sentence["ko"]
    assert one_late.sentence["en"] == EN.failures[None]


def test_a_canceled_job_says_what_is_kept() -> None:
    now = shown(J.CANCELED, *several(S.STORED, S.CANCELED, S.CANCELED))

    assert now.sentence["en"] == "The job was canceled. What was ready before is kept: 1 of 3."


def test_what_the_end_of_its_job_left_open_is_told_as_canceled_at_once() -> None:
    running = APurchase(prediction_id="p1", status=Status.PROCESSING, progress=0.16)
    now = shown(J.CANCELED, ASlot(state=S.RUNNING), bought=(running,))

    [slot] = now.slots
    assert (slot.state, slot.progress) == (S.CANCELED, 1.0)
    assert "made" not in slot.words["en"]


def test_a_recipe_has_the_last_word_on_a_state() -> None:
    own = {"en": "The stencil is made.", "ko": "스텐실이 준비되었습니다."}

    assert shown(J.QUEUED, ASlot(state=S.SUBMITTED), says={J.QUEUED: own}).sentence == own
    assert shown(J.RUNNING, ASlot(state=S.RUNNING), says={J.QUEUED: own}).sentence != own


def test_concepts_that_wait_for_a_gpu_say_that_the_stencil_is_made() -> None:
    recipes = {recipe.name: recipe for recipe in RECIPES}
    job = AJob(state=J.QUEUED, recipe="studio-concepts")

    now = standing(recipes, job, [ASlot(state=S.SUBMITTED)], [APurchase()])

    assert now.state == "queued"
    assert now.sentence["en"] == "The stencil is made. Waiting for a GPU."
    assert "스텐실" in now.sentence["ko"]


def test_what_nobody_reads_of_an_order_is_among_the_notes_whatever_its_recipe() -> None:
    recipes = {recipe.name: recipe for recipe in RECIPES}
    unread = ("extrenal_ref", "callbackUrl", "tenant")

    known = standing(recipes, AJob(recipe="restoration", unread=unread), [ASlot()], [])
    unknown = standing(recipes, AJob(recipe="gone", unread=unread), [ASlot()], [])

    assert known.notes == unknown.notes
    assert known.notes[0]["en"] == (
        "The order says more than is read here: "
        "extrenal_ref (external_ref?), callbackUrl (callback_url?), tenant."
    )
    assert "external_ref?" in known.notes[0]["ko"]
    learned = standing(recipes, AJob(recipe="restoration", unread=("locale",)), [ASlot()], [])
    assert learned.notes == ()


def test_what_a_recipe_has_to_say_about_an_order_is_among_the_notes() -> None:
    recipes = {recipe.name: recipe for recipe in RECIPES}
    params = {"prompt": "rain", "seconds": 3.5}

    now = standing(recipes, AJob(recipe="sound-effect", params=params), [ASlot()], [])
    refused = standing(recipes, AJob(recipe="sound-effect", n=0, state=J.FAILED), [], [])
    older = standing(recipes, AJob(recipe="sound-effect", params={"old": 1}), [ASlot()], [])

    assert "3.5 s" in now.notes[0]["en"]
    assert "3.5초" in now.notes[0]["ko"]
    assert refused.notes == older.notes == ()


SLOTS = st.builds(
    ASlot,
    state=st.sampled_from(SlotState),
    attempt=st.integers(1, 3),
    failure_code=st.sampled_from([*FailureCode, None]),
    # Without braces, which in a sentence of ours would be a place that nobody filled.
    failure_detail=st.none() | st.text(st.characters(exclude_characters="{}"), max_size=40),
    skipped=st.just(()) | st.just(({"index": 1, "why": "x"},)),
)


@given(
    st.sampled_from(JobState),
    st.lists(SLOTS, max_size=8),
    st.sampled_from(["pending", "published", "failed"]),
)
def test_whatever_the_rows_say_there_is_a_sentence_in_every_language(
    state: JobState, slots: list[ASlot], report: str
) -> None:
    placed = [replace(slot, ordinal=n) for n, slot in enumerate(slots, start=1)]

    now = shown(state, *placed, report=report, reason="because")

    assert set(now.sentence) == set(VOCABULARIES)
    for told in (now.sentence, *(slot.words for slot in now.slots)):
        assert all(told[tongue].strip() and "{" not in told[tongue] for tongue in VOCABULARIES)


# ---- progress


def test_progress_counts_every_slot_and_keeps_the_last_of_it_for_the_report() -> None:
    half = shown(J.RUNNING, *several(S.STORED, S.PENDING))
    made = shown(J.COMPLETED, *several(S.STORED, S.STORED))
    over = shown(J.COMPLETED, *several(S.STORED, S.STORED), report="published")

    assert 0.4 < half.progress < 0.5
    assert 0.9 < made.progress < 1
    assert over.progress == 1
    assert (made.over, over.over) == (False, True)


def test_another_attempt_takes_back_nothing_of_what_was_shown() -> None:
    lost = APurchase(status=Status.FAILED, progress=0.8)
    running = shown(J.RUNNING, ASlot(state=S.RUNNING), bought=(lost,))

    again = shown(J.RUNNING, ASlot(state=S.PENDING, attempt=2), bought=(lost,))

    assert again.progress == running.progress > 0.5


RANK = {Status.STARTING: 0, Status.PROCESSING: 1, **dict.fromkeys(TERMINAL, 2)}


@given(st.data())
def test_rows_that_go_forward_never_take_progress_back(data: st.DataObject) -> None:
    """A life as the system writes it: attempts one after another, each of them forward only."""
    bought: list[APurchase] = []
    seen = 0.0
    for attempt in range(1, data.draw(st.integers(1, 3)) + 1):
        row = APurchase(attempt=attempt, prediction_id=None)
        path = data.draw(st.lists(st.sampled_from(Status), max_size=4).map(_forward))
        logged = sorted(data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4)))
        steps = [row, replace(row, prediction_id="p")]
        steps += [
            replace(row, prediction_id="p", status=status, progress=done)
            for status, done in zip(path, logged, strict=False)
        ]
        for step in steps:
            now = shown(J.RUNNING, ASlot(state=S.RUNNING, attempt=attempt), bought=(*bought, step))
            assert now.progress >= seen
            seen = now.progress
        bought.append(steps[-1])
    closed = shown(J.RUNNING, ASlot(state=S.STORED, attempt=len(bought)), bought=tuple(bought))
    assert closed.progress >= seen


def _forward(path: list[Status]) -> list[Status]:
    return sorted(path, key=lambda status: RANK[status])[: 1 + sum(RANK[s] < 2 for s in path)]


@given(st.sampled_from(JobState), st.lists(st.sampled_from(SlotState), max_size=5))
def test_progress_is_a_share_of_the_whole(state: JobState, states: list[SlotState]) -> None:
    now = shown(state, *several(*states))

    assert 0 <= now.progress <= 1
    assert (now.progress == 1) is now.over


# ---- what old front ends poll for


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        ([None], None),
        ([Status.STARTING], Status.STARTING),
        ([Status.PROCESSING], Status.PROCESSING),
        ([Status.FAILED], Status.FAILED),
        ([Status.STARTING, None], Status.STARTING),
        ([Status.STARTING, Status.PROCESSING], Status.PROCESSING),
        ([Status.SUCCEEDED, Status.STARTING], Status.PROCESSING),
        ([Status.SUCCEEDED, None], Status.PROCESSING),
        ([Status.CANCELED, Status.SUCCEEDED], Status.SUCCEEDED),
    ],
)
def test_one_word_stands_for_all_predictions(
    statuses: list[Status | None], word: Status | None
) -> None:
    bought = [APurchase(ordinal=n, status=status) for n, status in enumerate(statuses, start=1)]
    closed = {Status.FAILED: S.FAILED, Status.CANCELED: S.CANCELED}
    slots = several(
        *[closed.get(status, S.RUNNING) if status else S.PENDING for status in statuses]
    )

    now = shown(J.RUNNING, *slots, bought=tuple(bought))

    assert now.replicate_status == word


def test_the_word_of_an_attempt_that_failed_is_not_taken_back_by_the_next() -> None:
    first = APurchase(attempt=1, status=Status.FAILED)
    then = [
        (ASlot(state=S.RUNNING), (APurchase(attempt=1, status=Status.STARTING),)),
        (ASlot(state=S.RUNNING), (APurchase(attempt=1, status=Status.PROCESSING),)),
        (ASlot(state=S.PENDING, attempt=2), (first,)),
        (ASlot(state=S.CREATING, attempt=2), (first, APurchase(attempt=2))),
        (ASlot(state=S.RUNNING, attempt=2), (first, APurchase(attempt=2, status=Status.STARTING))),
        (
            ASlot(state=S.SUCCEEDED, attempt=2, winner=2),
            (first, APurchase(attempt=2, status=Status.SUCCEEDED)),
        ),
    ]

    words = [shown(J.RUNNING, slot, bought=bought).replicate_status for slot, bought in then]

    assert words == ["starting", *["processing"] * 4, "succeeded"]


def test_an_ended_job_says_how_it_went_also_where_a_slot_was_never_bought() -> None:
    bought = (APurchase(ordinal=1, status=Status.SUCCEEDED),)

    now = shown(J.CANCELED, *several(S.STORED, S.CANCELED), bought=bought)

    assert now.replicate_status == "succeeded"


def test_the_last_webhook_is_the_latest_of_all_attempts() -> None:
    bought = (
        APurchase(attempt=1, status=Status.FAILED, last_webhook_at=NOON),
        APurchase(attempt=2, status=Status.STARTING, last_webhook_at=NOON + timedelta(seconds=9)),
        APurchase(attempt=3, prediction_id=None),
    )

    now = shown(J.RUNNING, ASlot(state=S.CREATING, attempt=3), bought=bought)

    assert now.last_webhook_received == NOON + timedelta(seconds=9)


def test_the_prediction_that_won_stands_for_its_slot() -> None:
    bought = (
        APurchase(attempt=1, prediction_id="won", status=Status.SUCCEEDED),
        APurchase(attempt=2, prediction_id="lost", status=Status.CANCELED),
    )

    now = shown(J.RUNNING, ASlot(state=S.STORED, attempt=2, winner=1), bought=bought)

    assert now.slots[0].prediction_id == "won"
    assert now.replicate_status is Status.SUCCEEDED


@pytest.mark.parametrize("state", list(JobState))
def test_a_report_is_spoken_of_only_where_one_may_come(state: JobState) -> None:
    ended_without = state in ENDED - {J.COMPLETED}

    assert shown(state, ASlot()).report == (None if ended_without else "pending")


# ---- the words


def test_a_table_with_a_word_too_few_is_refused() -> None:
    given_words = {each.name: getattr(EN, each.name) for each in fields(Vocabulary)}
    incomplete = {now: words for now, words in EN.doing.items() if now is not Doing.AGAIN}

    with pytest.raises(TypeError, match="again"):
        Vocabulary(**given_words | {"doing": incomplete})


@pytest.mark.parametrize("name", [each.name for each in fields(Vocabulary)])
def test_both_languages_leave_the_same_gaps_for_numbers(name: str) -> None:
    def gaps(words: Any) -> set[str]:
        texts = words.values() if isinstance(words, dict) else [words]
        return {gap for text in texts for gap in _gaps(text)}

    assert gaps(getattr(EN, name)) == gaps(getattr(KO, name))


def _gaps(text: str) -> set[str]:
    return {part.partition("}")[0] for part in text.split("{")[1:]}


def test_closed_slots_have_nothing_done_about_them() -> None:
    for state in SlotState:
        now = shown(J.RUNNING, ASlot(state=state, failure_code=FailureCode.NSFW))
        assert (now.sentence["en"] == EN.closing) is (state in CLOSED)


def test_a_slot_that_was_taken_over_is_ready_and_says_so() -> None:
    taken = ASlot(state=S.STORED, winner=1, reused_from=UUID(int=9))
    now = shown(J.PENDING, taken, ASlot(ordinal=2))

    assert (now.stored, now.progress) == (1, 0.475)
    assert now.slots[0].words == {"en": EN.slot_reused, "ko": KO.slot_reused}
    assert now.slots[0].words != of_slot(replace(now.slots[0].part, reused=False))
