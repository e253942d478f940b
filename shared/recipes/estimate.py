"""What an order will cost, as well as that can be said before it is planned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.recipes import validated
from shared.recipes.recipe import Configured, Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``micros`` (millionths of a dollar) if every one of so many ``purchases`` runs as usual;
    ``most_micros`` if each slot takes all the attempts that its recipe allows, which costs of failed
    runs seldom reach. None: nobody knows what the model costs."""

    purchases: int
    micros: int | None
    most_micros: int | None


# Any will do: how many purchases an order makes depends on its parameters alone.
_NOBODYS = UUID(int=0)


def estimate(recipe: Configured, params: Mapping[str, Any]) -> Estimate:
    """What an order with these ``params`` costs. Raises Permanent where they are not the recipe's."""
    order = Order(job_id=_NOBODYS, source_key="original", params=validated(recipe.recipe, params))
    purchases = len(recipe.inputs(order))
    each = recipe.estimate_micros
    return Estimate(
        purchases=purchases,
        micros=None if each is None else purchases * each,
        most_micros=None if each is None else purchases * each * recipe.recipe.attempts,
    )
