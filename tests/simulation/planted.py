"""Bugs on purpose, each a rule that is subtly wrong or a guard that is gone: what the laws must see."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.storage.verdict import Later, Lost, Verdict, verdict
from shared.domain.backoff import wait_before
from shared.domain.hearing import told_to_slot
from shared.domain.job import Call, Completion, JobState, Tally, decide_end
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, Move, News, SlotState, Stale, decide
from tests.simulation.rules import RULES, Rules

S, N = SlotState, News


def _deciding(**rows: Move | Stale) -> Rules:
    """The table with some rows replaced, each named ``state__news``."""
    wrong = {
        (SlotState(state), News(news)): to
        for (state, news), to in ((name.split("__"), to) for name, to in rows.items())
    }

    def decide_wrongly(state: SlotState, news: News, *, again: bool = False) -> Move | Stale:
        return wrong.get((state, news)) or decide(state, news, again=again)

    return replace(RULES, decide=decide_wrongly)


def _ends_when_it_is_certain(tally: Tally, rule: Completion, call: Call) -> JobState | None:
    if rule.satisfied(stored=tally.stored, n=tally.n):
        return JobState.COMPLETED
    return decide_end(tally, rule, call)


def _forgets_that_nothing_was_stored(tally: Tally, rule: Completion, call: Call) -> JobState | None:
    end = decide_end(tally, rule, call)
    return JobState.COMPLETED if end is JobState.FAILED else end


def _news_of_any_attempt(
    status: Status | None, *, current: bool, cancel_wanted: bool
) -> News | None:
    return told_to_slot(status, current=True, cancel_wanted=cancel_wanted)


def _success_of_the_current_attempt_only(
    status: Status | None, *, current: bool, cancel_wanted: bool
) -> News | None:
    return told_to_slot(status, current=current, cancel_wanted=cancel_wanted) if current else None


def _the_last_word_counts(_known: Status | None, heard: Status | None) -> Status | None:
    return heard


def _no_eye_on_expiry(attempt: int, **about: Any) -> timedelta:
    return wait_before(attempt, chance=about["chance"], retry_after=about["retry_after"])


def _gives_up_at_once(*about: Any, **more: Any) -> Verdict:
    judged = verdict(*about, **more)
    if isinstance(judged, Later) and judged.retry_after is None:
        return Lost(news=News.NOT_STORED, code=FailureCode.NOT_STORED, detail=judged.reason)
    return judged


def _asks_ever_more_seldom(asked: int, *, every: timedelta) -> timedelta:
    return every * float(4**asked)


PLANTED: dict[str, Rules] = {
    "a late start takes a success back": _deciding(succeeded__started=Move(S.RUNNING)),
    "a closed slot is opened by a success": _deciding(failed__succeeded=Move(S.SUCCEEDED)),
    "a second success wins again": _deciding(succeeded__succeeded=Move(S.SUCCEEDED)),
    "a create without an answer is simply tried again": _deciding(
        creating__unknown_outcome=Move(S.PENDING)
    ),
    "what the list lacks is bought under the same attempt": _deciding(
        in_doubt__not_listed=Move(S.PENDING)
    ),
    "a paused account fails the slot": _deciding(creating__account_paused=Move(S.FAILED)),
    "a throttled create is another attempt": _deciding(
        creating__not_bought=Move(S.PENDING, next_attempt=True)
    ),
    "an answer after the lease is not believed": _deciding(in_doubt__accepted=Stale()),
    "the end of a job leaves what is in doubt open": _deciding(in_doubt__job_ended=Stale()),
    "a job ends as soon as its rule is met": replace(RULES, decide_end=_ends_when_it_is_certain),
    "a job of which nothing is stored is completed": replace(
        RULES, decide_end=_forgets_that_nothing_was_stored
    ),
    "news of any attempt moves the slot": replace(RULES, told_to_slot=_news_of_any_attempt),
    "only the current attempt can win": replace(
        RULES, told_to_slot=_success_of_the_current_attempt_only
    ),
    "the status is the last word that came": replace(
        RULES, further=_the_last_word_counts, a_verdict_is_final=False
    ),
    "downloads are put off without an eye on expiry": replace(RULES, wait_before=_no_eye_on_expiry),
    "storage has no patience": replace(RULES, verdict=_gives_up_at_once),
    "questions become ever more seldom": replace(RULES, silence_before=_asks_ever_more_seldom),
    "a list is believed before it can know": replace(RULES, grace=-25.0),
    "a buyer writes without its fence": replace(RULES, fence=False),
    "a buyer trusts the lease that it had": replace(
        RULES, lease_is_checked_before_the_create=False
    ),
    "a closing that comes twice counts twice": replace(RULES, slots_are_counted_once=False),
    "losers run on": replace(RULES, losers_are_stopped=False),
    "tokens are not waited for": replace(RULES, the_budget_is_kept=False),
    "nobody hears of the end of a job": replace(RULES, the_end_closes_what_is_open=False),
    "nobody looks after a success that is not stored": replace(RULES, outputs_are_rescued=False),
    "nobody clears what a stopped download left": replace(RULES, waste_is_cleared=False),
    "a doubt is forgotten when its slot moves on": replace(RULES, doubts_are_followed_up=False),
}
