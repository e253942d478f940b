"""What the simulation plays with: the rules of production, and the guards that stand around them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from services.storage.verdict import Verdict, verdict
from shared.domain import backoff, hearing
from shared.domain.job import Call as Asks
from shared.domain.job import Completion, JobState, Tally, decide_end
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, Move, News, Stale, decide
from shared.recipes import RECIPES
from shared.recipes.again import again_rule
from shared.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an order is made under: as much of a recipe as the rules ask for."""

    recipe: Recipe
    again: Callable[[Any, Any, FailureCode, str | None], bool]


def _terms(attempts: int, pays_again: bool) -> Terms:
    recipe = replace(
        RECIPES[0],
        name="simulated",
        attempts=attempts,
        pays_again_when_expired=pays_again,
        typical_run=timedelta(seconds=20),
        timeout=timedelta(minutes=30),
    )
    return Terms(recipe=recipe, again=again_rule({recipe.name: recipe}))


TERMS = tuple(_terms(attempts, pays) for attempts in (1, 2, 3) for pays in (False, True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The first ones are production's own functions. The last ones are guards that stand in SQL and
    in handlers there, and in the world of the simulation here; False: there is no such guard."""

    decide: Callable[..., Move | Stale] = decide
    told_to_slot: Callable[..., News | None] = hearing.told_to_slot
    further: Callable[[Status | None, Status | None], Status | None] = hearing.further
    decide_end: Callable[[Tally, Completion, Asks], JobState | None] = decide_end
    wait_before: Callable[..., timedelta] = backoff.wait_before
    silence_before: Callable[..., timedelta] = backoff.silence_before
    verdict: Callable[..., Verdict] = verdict

    grace: float = 15.0
    fence: bool = True
    lease_is_checked_before_the_create: bool = True
    a_verdict_is_final: bool = True
    slots_are_counted_once: bool = True
    losers_are_stopped: bool = True
    the_budget_is_kept: bool = True
    the_end_closes_what_is_open: bool = True
    outputs_are_rescued: bool = True
    doubts_are_followed_up: bool = True
    waste_is_cleared: bool = True


RULES = Rules()
