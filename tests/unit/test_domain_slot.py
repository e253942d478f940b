"""The slot table, row by row, each under the name of its outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.slot import CLOSED, OPEN, UNBOUGHT, Move, News, SlotState, Stale, decide

S, N = SlotState, News
BUYABLE = Move(S.PENDING)
BOUGHT_ANEW = Move(S.PENDING, next_attempt=True)
BEFORE_A_VERDICT = sorted(OPEN - {S.SUCCEEDED})


def test_a_due_slot_is_claimed_by_its_buyer() -> None:
    assert decide(S.PENDING, N.CLAIMED) == Move(S.CREATING)


@pytest.mark.parametrize("state", sorted(set(SlotState) - {S.PENDING}))
def test_only_a_pending_slot_can_be_claimed(state: SlotState) -> None:
    assert decide(state, N.CLAIMED) == Stale()


@pytest.mark.parametrize("state", [S.CREATING, S.IN_DOUBT])
def test_a_create_that_was_answered_submits_the_slot(state: SlotState) -> None:
    assert decide(state, N.ACCEPTED) == Move(S.SUBMITTED)


@pytest.mark.parametrize("state", [S.RUNNING, S.SUCCEEDED, S.PENDING, *sorted(CLOSED)])
def test_an_answer_that_comes_after_better_news_moves_nothing(state: SlotState) -> None:
    assert decide(state, N.ACCEPTED) == Stale()


@pytest.mark.parametrize("state", [S.CREATING, S.IN_DOUBT])
def test_a_refused_create_fails_the_slot_for_good(state: SlotState) -> None:
    assert decide(state, N.REFUSED, again=True) == Move(S.FAILED)


@pytest.mark.parametrize("state", [S.CREATING, S.IN_DOUBT])
def test_a_paused_account_fails_nothing_and_keeps_the_attempt(state: SlotState) -> None:
    assert decide(state, N.ACCOUNT_PAUSED) == BUYABLE


@pytest.mark.parametrize("state", [S.CREATING, S.IN_DOUBT])
def test_what_was_not_bought_is_due_again_as_the_same_attempt(state: SlotState) -> None:
    assert decide(state, N.NOT_BOUGHT) == BUYABLE


def test_a_create_without_a_clear_answer_is_in_doubt() -> None:
    assert decide(S.CREATING, N.UNKNOWN_OUTCOME) == Move(S.IN_DOUBT)


def test_a_purchase_that_the_list_lacks_becomes_another_attempt() -> None:
    assert decide(S.IN_DOUBT, N.NOT_LISTED) == BOUGHT_ANEW


@pytest.mark.parametrize("state", sorted(set(SlotState) - {S.IN_DOUBT}))
def test_a_list_says_nothing_about_a_slot_that_is_not_in_doubt(state: SlotState) -> None:
    assert decide(state, N.NOT_LISTED) == Stale()


@pytest.mark.parametrize("state", sorted(UNBOUGHT))
def test_a_prediction_that_started_makes_its_slot_run(state: SlotState) -> None:
    assert decide(state, N.STARTED) == Move(S.RUNNING)


@pytest.mark.parametrize("state", [S.RUNNING, S.SUCCEEDED, *sorted(CLOSED)])
def test_a_late_start_takes_nothing_back(state: SlotState) -> None:
    assert decide(state, N.STARTED) == Stale()


@pytest.mark.parametrize("state", BEFORE_A_VERDICT)
def test_a_success_wins_every_slot_without_a_verdict(state: SlotState) -> None:
    assert decide(state, N.SUCCEEDED) == Move(S.SUCCEEDED)


def test_a_second_success_wins_nothing() -> None:
    assert decide(S.SUCCEEDED, N.SUCCEEDED) == Stale()


@pytest.mark.parametrize("verdict", [N.FAILED, N.ABORTED, N.CANCELED])
@pytest.mark.parametrize("state", BEFORE_A_VERDICT)
def test_a_failure_worth_it_becomes_another_attempt(state: SlotState, verdict: News) -> None:
    assert decide(state, verdict, again=True) == BOUGHT_ANEW


@pytest.mark.parametrize("verdict", [N.FAILED, N.ABORTED, N.CANCELED])
@pytest.mark.parametrize("state", BEFORE_A_VERDICT)
def test_a_failure_not_worth_it_fails_the_slot(state: SlotState, verdict: News) -> None:
    assert decide(state, verdict, again=False) == Move(S.FAILED)


@pytest.mark.parametrize("verdict", [N.FAILED, N.ABORTED, N.CANCELED])
def test_a_failure_of_another_attempt_takes_no_success_away(verdict: News) -> None:
    assert decide(S.SUCCEEDED, verdict, again=True) == Stale()


def test_saved_files_close_the_slot_as_stored() -> None:
    assert decide(S.SUCCEEDED, N.SAVED) == Move(S.STORED)


@pytest.mark.parametrize("state", sorted(set(SlotState) - {S.SUCCEEDED}))
@pytest.mark.parametrize("news", [N.SAVED, N.EXPIRED, N.UNUSABLE, N.NOT_STORED])
def test_files_are_only_spoken_of_after_a_success(state: SlotState, news: News) -> None:
    assert decide(state, news, again=True) == Stale()


def test_files_that_are_gone_fail_the_slot() -> None:
    assert decide(S.SUCCEEDED, N.EXPIRED, again=False) == Move(S.FAILED)


def test_files_that_are_gone_are_bought_anew_where_the_recipe_pays_again() -> None:
    assert decide(S.SUCCEEDED, N.EXPIRED, again=True) == BOUGHT_ANEW


@pytest.mark.parametrize("news", [N.UNUSABLE, N.NOT_STORED])
def test_files_that_cannot_be_used_or_stored_fail_the_slot(news: News) -> None:
    assert decide(S.SUCCEEDED, news, again=True) == Move(S.FAILED)


@pytest.mark.parametrize("state", sorted(OPEN))
def test_the_end_of_the_job_cancels_every_open_slot(state: SlotState) -> None:
    assert decide(state, N.JOB_ENDED, again=True) == Move(S.CANCELED)


@pytest.mark.parametrize("news", sorted(News))
@pytest.mark.parametrize("state", sorted(CLOSED))
def test_a_closed_slot_stays_closed(state: SlotState, news: News) -> None:
    assert decide(state, news, again=True) == Stale()


RANK = {
    S.PENDING: 0,
    S.CREATING: 1,
    S.IN_DOUBT: 2,
    S.SUBMITTED: 3,
    S.RUNNING: 4,
    S.SUCCEEDED: 5,
    **dict.fromkeys(CLOSED, 6),
}
NOTHING_WAS_BOUGHT = (N.NOT_BOUGHT, N.ACCOUNT_PAUSED)


@given(st.sampled_from(sorted(SlotState)), st.sampled_from(sorted(News)), st.booleans())
def test_within_an_attempt_a_slot_goes_back_only_where_nothing_was_bought(
    state: SlotState, news: News, again: bool
) -> None:
    move = decide(state, news, again=again)

    if isinstance(move, Move) and not move.next_attempt and news not in NOTHING_WAS_BOUGHT:
        assert RANK[move.to] > RANK[state]


@given(st.sampled_from(sorted(SlotState)), st.sampled_from(sorted(News)))
def test_the_same_news_twice_moves_once(state: SlotState, news: News) -> None:
    first = decide(state, news)

    if isinstance(first, Move):
        # Failures of what is to be bought again speak of the attempt before: their caller knows.
        assert decide(first.to, news) == Stale()
