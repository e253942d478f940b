"""The recipes that this installation knows. To add one: write its module, name it here."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.domain.cost import Price
from shared.errors import Flawed, Misconfigured
from shared.recipes.background_music import BACKGROUND_MUSIC
from shared.recipes.prices import PRICES_SETTING, read_prices
from shared.recipes.recipe import Configured, Recipe
from shared.recipes.restoration import RESTORATION
from shared.recipes.sound_effect import SOUND_EFFECT
from shared.recipes.studio_concepts import STUDIO_CONCEPTS
from shared.recipes.variations import VARIATIONS
from shared.validation import faults, sentence

RECIPES: tuple[Recipe, ...] = (
    VARIATIONS,
    RESTORATION,
    STUDIO_CONCEPTS,
    SOUND_EFFECT,
    BACKGROUND_MUSIC,
)

# Every variable that ``configured`` reads.
VARIABLES = frozenset({PRICES_SETTING}).union(*(recipe.settings for recipe in RECIPES))


def configured(environment: Mapping[str, str]) -> dict[str, Configured]:
    """Every recipe by name, with the variables that it names taken from ``environment``, and the
    prices that the installation states there.

    Raises Misconfigured with a line for each variable that is not what its recipe can use.
    """
    wrong = []
    known = {}
    prices: Mapping[str, Price] = {}
    try:
        prices = read_prices(environment.get(PRICES_SETTING, ""))
    except ValueError as error:
        wrong.append(f"{PRICES_SETTING}: {error}")
    for recipe in RECIPES:
        config = {}
        for name, setting in recipe.settings.items():
            config[name] = environment.get(name) or setting.default
            if not re.fullmatch(setting.pattern, config[name]):
                wrong.append(f"{name} must be {setting.means}")
        known[recipe.name] = Configured(recipe, config, prices)
    if wrong:
        raise Misconfigured("\n".join(wrong))
    return known


def validated(recipe: Recipe, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of an order with the recipe's defaults filled in.

    Raises Flawed with one sentence that names each wrong parameter and what it may be.
    """
    known = _reader(recipe.params)
    if unknown := sorted(set(params) - set(recipe.params.__dataclass_fields__)):
        there = f"it has {', '.join(recipe.params.__dataclass_fields__)}"
        raise Flawed(
            f"{recipe.name} has no parameter {', '.join(map(repr, unknown))}; {there}",
            [(f"params.{name}", f"is no parameter of {recipe.name}; {there}") for name in unknown],
        )
    try:
        return dict(known.dump_python(known.validate_python(params), mode="json"))
    except ValidationError as error:
        what = sentence(error, whole="params")
        raise Flawed(
            f"wrong parameters for {recipe.name}: {what}",
            [
                (field if field == "params" else f"params.{field}", said)
                for field, said in faults(error, whole="params")
            ],
        ) from None


_READERS: dict[type, TypeAdapter[Any]] = {}


def _reader(params: type[Any]) -> TypeAdapter[Any]:
    """Built once: it takes a millisecond, and every look at a job reads its parameters."""
    if params not in _READERS:
        _READERS[params] = TypeAdapter(params)
    return _READERS[params]
