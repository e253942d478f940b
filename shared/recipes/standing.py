"""How a job stands for people, with what its recipe has to say about it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from shared.domain.live import JobRow, Live, PurchaseRow, SlotRow, live
from shared.domain.spared import Typical
from shared.domain.unread import note_of
from shared.errors import Permanent
from shared.events import ORDER_FIELDS
from shared.recipes import validated
from shared.recipes.prices import price_of
from shared.recipes.recipe import Recipe, Words


class Noted(Protocol):
    """What is asked of a job that something may be said about."""

    @property
    def n(self) -> int: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def unread(self) -> Sequence[str]: ...


class OrderedJob(JobRow, Noted, Protocol):
    """What is asked of a job."""

    @property
    def recipe(self) -> str: ...


def standing(
    recipes: Mapping[str, Recipe],
    job: OrderedJob,
    slots: Sequence[SlotRow],
    bought: Iterable[PurchaseRow],
    *,
    held_until: datetime | None = None,
) -> Live:
    """The live status of a job. A recipe that this installation does not know says nothing.
    ``held_until``: nothing more is bought of its recipe before then."""
    recipe = recipes.get(job.recipe)
    says = recipe.says if recipe else {}
    notes = notes_of(recipe, job)
    return live(job, slots, bought, says=says, notes=notes, held_until=held_until)


def notes_of(recipe: Recipe | None, job: Noted) -> tuple[Words, ...]:
    """What people should know about how the order is carried out, and what of it nobody reads."""
    unread = note_of(job.unread, ORDER_FIELDS)
    return (*_recipes_notes(recipe, job), *((unread,) if unread else ()))


def _recipes_notes(recipe: Recipe | None, job: Noted) -> tuple[Words, ...]:
    if recipe is None or job.n == 0:
        return ()  # it was never planned, and its params may be anything
    try:
        return recipe.notes(validated(recipe, job.params))
    except Permanent:
        return ()  # ordered under an older version of the recipe, which said something else


def typical_of(recipe: Recipe | None) -> Typical | None:
    """A run of the recipe as it usually goes, on the model that it takes unless told otherwise;
    None where nothing says what that costs."""
    price = price_of(recipe.default_model) if recipe else None
    return Typical(run=recipe.typical_run, price=price) if recipe and price else None
