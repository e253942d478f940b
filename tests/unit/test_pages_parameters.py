"""Fields of a form made from any recipe's parameters, and what is typed into them."""

from typing import Any

import pytest

from services.api.operations import schema_of
from services.api.pages.parameters import Kind, field_of, fields_of, typed_from, values_of
from shared.errors import Flawed
from shared.recipes import RECIPES, validated
from shared.recipes.recipe import Recipe
from shared.recipes.studio_concepts import STUDIO_CONCEPTS
from shared.recipes.variations import VARIATIONS


def fields(recipe: Recipe) -> Any:
    return fields_of(schema_of(recipe.params))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_is_asked_for_without_json(recipe: Recipe) -> None:
    assert Kind.JSON not in {one.kind for one in fields(recipe)}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_form_that_is_sent_as_it_came_means_what_stood_in_it(recipe: Recipe) -> None:
    wanted = validated(recipe, recipe.example)

    typed = typed_from(fields(recipe), recipe.example)

    assert validated(recipe, values_of(fields(recipe), typed)) == wanted


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ({"params.count": "7"}, {"count": 7}),
        ({"params.count": " 7 "}, {"count": 7}),
        ({"params.count": ""}, {}),
        ({"params.strength": "0.25"}, {"strength": 0.25}),
        ({"params.strength": "1"}, {"strength": 1.0}),
        ({"params.prompt": "a\r\nb"}, {"prompt": "a\nb"}),
        # Emptied on purpose: not the default that stood there.
        ({"params.prompt": ""}, {"prompt": ""}),
        ({"params.at_least": "2"}, {"at_least": 2}),
        ({"somebody.else": "x"}, {}),
    ],
)
def test_what_is_typed_becomes_what_the_recipe_takes(
    typed: dict[str, str], meant: dict[str, Any]
) -> None:
    prompt = {} if "prompt" in meant else {"params.prompt": "hills"}
    said = {} if "prompt" in meant else {"prompt": "hills"}

    assert values_of(fields(VARIATIONS), typed | prompt) == meant | said


@pytest.mark.parametrize(
    "nonsense", ["three", "1e3", "0x3", "1_000", "٣", "nan", "inf", "9" * 5000]
)
def test_what_is_no_number_goes_on_as_it_is_and_is_refused_at_its_field(nonsense: str) -> None:
    values = values_of(fields(VARIATIONS), {"params.count": nonsense, "params.prompt": "hills"})

    with pytest.raises(Flawed) as refused:
        validated(VARIATIONS, values)
    assert [path for path, _ in refused.value.faults] == ["params.count"]


def test_a_half_is_no_whole_number() -> None:
    values = values_of(fields(VARIATIONS), {"params.count": "2.5", "params.prompt": "hills"})

    with pytest.raises(Flawed, match="whole number"):
        validated(VARIATIONS, values)


def test_an_object_is_asked_for_part_by_part_and_a_list_line_by_line() -> None:
    typed = {
        "params.prompt": "a river",
        "params.surface.width": "12",
        "params.surface.height": "8.5",
        "params.colours": "#1f6f8b\r\n\r\n  #99c24d \r\n",
        "params.dither": "on",
    }

    assert values_of(fields(STUDIO_CONCEPTS), typed) == {
        "prompt": "a river",
        "surface": {"width": 12, "height": 8.5},
        "colours": ["#1f6f8b", "#99c24d"],
        "dither": True,
    }


def test_a_box_that_is_not_ticked_is_a_no() -> None:
    assert values_of(fields(STUDIO_CONCEPTS), {})["dither"] is False


def test_what_nobody_foresaw_is_asked_for_as_json() -> None:
    schema = {
        "properties": {
            "tree": {"type": "array", "items": {"type": "array"}},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "mood": {"enum": ["calm", "wild", 3]},
        },
        "required": ["tree"],
    }
    tree, either, mood = made = fields_of(schema)

    assert (tree.kind, tree.required) == (Kind.JSON, True)
    assert either.kind is Kind.JSON
    assert (mood.kind, mood.choices) == (Kind.CHOICE, ("calm", "wild", 3))
    assert values_of(made, {"params.tree": "[[1]]", "params.either": "{", "params.mood": "3"}) == {
        "tree": [[1]],
        "either": "{",  # for the recipe to refuse
        "mood": 3,
    }


@pytest.mark.parametrize(
    ("path", "stands_at"),
    [
        ("params.count", "params.count"),
        ("params.colours.3", "params.colours"),
        ("params.surface", "params.surface.width"),
        ("params.surface.height", "params.surface.height"),
        ("source.key", "source"),
        ("params", None),
        ("params.nothing", None),
        ("body", None),
    ],
)
def test_a_fault_stands_at_the_field_that_it_is_about(path: str, stands_at: str | None) -> None:
    names = ["params.count", "params.colours", "params.surface.width", "params.surface.height"]

    assert field_of(path, [*names, "source"]) == stands_at
