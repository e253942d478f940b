"""Recipes: what an order may ask for, and what is bought for it."""

from typing import Any
from uuid import UUID

import pytest

from shared.errors import Misconfigured, Permanent
from shared.recipes import RECIPES, configured, validated
from shared.recipes.recipe import Order, Recipe
from shared.recipes.variations import MODEL, SEEDS, VARIATIONS

JOB = UUID("11111111-2222-4333-8444-555555555555")


def an_order(**params: Any) -> Order:
    return Order(
        job_id=JOB, source_key="jobs/x/original/a.jpg", params=validated(VARIATIONS, params)
    )


def test_three_pictures_are_bought_where_nobody_says_how_many() -> None:
    slots = VARIATIONS.inputs(an_order(), {})

    assert len(slots) == 3
    assert len({slot.seed for slot in slots}) == 3
    assert all(slot.input["seed"] == slot.seed for slot in slots)


def test_the_same_order_buys_the_same_inputs() -> None:
    assert VARIATIONS.inputs(an_order(), {}) == VARIATIONS.inputs(an_order(), {})


def test_a_given_seed_begins_the_row() -> None:
    slots = VARIATIONS.inputs(an_order(seed=7, count=3), {})

    assert [slot.seed for slot in slots] == [7, 8, 9]


def test_the_original_is_a_reference_and_never_a_link() -> None:
    for slot in VARIATIONS.inputs(an_order(), {}):
        assert slot.input["image"] == {"object": "jobs/x/original/a.jpg"}


@pytest.mark.parametrize(
    "params",
    [
        {"count": 0},
        {"count": 11},
        {"count": 2.5},
        {"count": "3"},
        {"count": True},
        {"strength": 1.5},
        {"strength": float("nan")},
        {"prompt": ""},
        {"prompt": "x" * 2001},
        {"seed": -1},
        {"seed": SEEDS},
    ],
)
def test_a_parameter_out_of_range_is_told_by_its_name(params: dict[str, Any]) -> None:
    with pytest.raises(Permanent, match=f"wrong parameters for variations: {next(iter(params))}"):
        validated(VARIATIONS, params)


def test_an_unknown_parameter_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Permanent, match="no parameter 'colour'; it has count, prompt"):
        validated(VARIATIONS, {"colour": "blue"})


def test_the_model_comes_from_the_variable_that_the_recipe_names() -> None:
    assert configured({})["variations"].model == MODEL
    assert configured({"VARIATIONS_MODEL": ""})["variations"].model == MODEL
    assert configured({"VARIATIONS_MODEL": "a/b"})["variations"].model == "a/b"


def test_all_variables_that_no_recipe_can_use_are_named_at_once() -> None:
    with pytest.raises(Misconfigured) as refused:
        configured({"VARIATIONS_MODEL": "a/b:c", "REPLICATE_SAFETY_TOLERANCE": "7"})

    assert "VARIATIONS_MODEL" in str(refused.value)
    assert "REPLICATE_SAFETY_TOLERANCE" in str(refused.value)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_hears_the_end_and_has_a_title_in_both_languages(recipe: Recipe) -> None:
    assert "completed" in recipe.webhook_events
    assert set(recipe.title) == {"en", "ko"}
    assert recipe.attempts >= 1
    assert recipe.typical_run < recipe.timeout
