"""How a job stands for people, with what its recipe has to say about it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from shared.domain.live import JobRow, Live, PurchaseRow, SlotRow, live
from shared.domain.spared import Typical
from shared.errors import Permanent
from shared.recipes import validated
from shared.recipes.recipe import Recipe, Words


class OrderedJob(JobRow, Protocol):
    """What is asked of a job."""

    @property
    def recipe(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...


def standing(
    recipes: Mapping[str, Recipe],
    job: OrderedJob,
    slots: Sequence[SlotRow],
    bought: Iterable[PurchaseRow],
) -> Live:
    """The live status of a job. A recipe that this installation does not know says nothing."""
    recipe = recipes.get(job.recipe)
    if recipe is None:
        return live(job, slots, bought, says={})
    return live(job, slots, bought, says=recipe.says, notes=notes_of(recipe, job))


def notes_of(recipe: Recipe, job: OrderedJob) -> tuple[Words, ...]:
    """What people should know about how the order is carried out."""
    if job.n == 0:
        return ()  # it was never planned, and its params may be anything
    try:
        return recipe.notes(validated(recipe, job.params))
    except Permanent:
        return ()  # ordered under an older version of the recipe, which said something else


def typical_of(recipe: Recipe | None) -> Typical | None:
    """A run of the recipe as it usually goes; None where nothing says what that costs."""
    if recipe is None or recipe.price is None:
        return None
    return Typical(
        run=recipe.typical_run,
        micros_per_second=recipe.price.micro_dollars_per_second,
        micros_per_output=recipe.price.micro_dollars_per_output,
    )
