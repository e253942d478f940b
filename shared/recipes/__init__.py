"""The recipes that this installation knows. To add one: write its module, name it here."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.errors import Permanent
from shared.recipes.recipe import Configured, Recipe
from shared.recipes.variations import VARIATIONS
from shared.validation import sentence

RECIPES: tuple[Recipe, ...] = (VARIATIONS,)


def configured(environment: Mapping[str, str]) -> dict[str, Configured]:
    """Every recipe by name, with the variables that it names taken from ``environment``."""
    return {
        recipe.name: Configured(
            recipe,
            {name: environment.get(name) or default for name, default in recipe.settings.items()},
        )
        for recipe in RECIPES
    }


def validated(recipe: Recipe, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an order with the recipe's defaults filled in.

    Raises Permanent with one sentence that names each wrong parameter and what it may be.
    """
    known = TypeAdapter(recipe.params)
    if unknown := sorted(set(params) - set(recipe.params.__dataclass_fields__)):
        raise Permanent(
            f"{recipe.name} has no parameter {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(recipe.params.__dataclass_fields__)}"
        )
    try:
        return dict(known.dump_python(known.validate_python(params)))
    except ValidationError as error:
        what = sentence(error, whole="params")
        raise Permanent(f"wrong parameters for {recipe.name}: {what}") from None
