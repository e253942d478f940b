"""Whether a slot whose attempt came to nothing is worth another purchase."""

from collections.abc import Callable, Mapping
from typing import Protocol

from shared.domain.slot import FailureCode
from shared.recipes.recipe import Recipe


class OrderedJob(Protocol):
    """What the rule asks of a job."""

    @property
    def recipe(self) -> str: ...

    @property
    def is_open(self) -> bool: ...


class BoughtSlot(Protocol):
    """What the rule asks of a slot: the purchase that it is at, and how many were never made."""

    @property
    def attempt(self) -> int: ...

    @property
    def not_listed(self) -> int: ...


def again_rule(
    recipes: Mapping[str, Recipe],
) -> Callable[[OrderedJob, BoughtSlot, FailureCode, str | None], bool]:
    """The rule for every job by its recipe: its job is open, attempts are left, and the failure
    is worth one. A recipe that this installation no longer knows buys nothing more."""

    def again(job: OrderedJob, slot: BoughtSlot, code: FailureCode, error: str | None) -> bool:
        recipe = recipes.get(job.recipe)
        if recipe is None or not job.is_open:
            return False
        # An attempt that the provider never heard of has cost nothing, and counts for nothing.
        if slot.attempt - slot.not_listed >= recipe.attempts:
            return False
        if code is FailureCode.EXPIRED:
            return recipe.pays_again_when_expired
        return recipe.worth_another(code, error)

    return again
