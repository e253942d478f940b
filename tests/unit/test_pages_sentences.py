"""What pages say, in both languages."""

import re
import string
from pathlib import Path

import pytest

from services.api.operations import schema_of
from services.api.pages.parameters import fields_of
from services.api.pages.words import WORDS, sentence
from services.api.pages.words.faults import KOREAN, in_korean
from services.ingress.answers import FAULTS
from shared import validation
from shared.domain.overview import RUNBOOK, Concern
from shared.domain.slot import SlotState
from shared.recipes import RECIPES

PAGES = Path(__file__).parents[2] / "services/api/pages"
HANGUL = re.compile("[가-힣]")


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", WORDS)
def test_a_sentence_says_the_same_values_in_both_languages(key: str) -> None:
    said = WORDS[key]

    assert said.en
    assert said.ko
    assert holes(said.en) == holes(said.ko)


@pytest.mark.parametrize("key", [key for key in WORDS if key != "frame.api"])
def test_what_is_said_in_korean_is_korean(key: str) -> None:
    letters = re.sub(r"\{\w*\}|[\W\d_]", "", WORDS[key].ko)

    assert not letters or HANGUL.search(letters)


def test_every_sentence_that_a_template_names_is_there() -> None:
    named = {
        (path.name, key)
        for path in (PAGES / "templates").glob("*.html")
        for key in re.findall(
            r'\b(?:say|tell)\(\s*"([a-z_.0-9]+[a-z0-9])"\s*[,)]', path.read_text()
        )
    }

    assert len(named) > 50
    assert {one for one in named if one[1] not in WORDS} == set()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_recipe_and_every_parameter_has_a_name_for_people(recipe) -> None:  # type: ignore[no-untyped-def]
    parameters = {".".join(one.path) for one in fields_of(schema_of(recipe.params))}

    assert f"about.{recipe.name}" in WORDS
    assert {name for name in parameters if f"param.{name}" not in WORDS} == set()


def test_every_state_of_a_slot_and_every_way_to_refuse_a_webhook_has_one_too() -> None:
    assert {state for state in SlotState if f"slot.{state}" not in WORDS} == set()
    assert {one.outcome for one in FAULTS if f"refused.{one.outcome}" not in WORDS} == set()


@pytest.mark.parametrize("concern", Concern)
def test_what_somebody_should_look_at_has_a_page_of_the_runbook(concern: Concern) -> None:
    runbook = Path(__file__).parents[2] / "docs/runbook"

    assert (runbook / f"{RUNBOOK[concern]}.md").is_file()


@pytest.mark.parametrize("form", sorted(set(validation._WORDS.values()) | {"must not be empty"}))
def test_what_is_wrong_with_a_value_can_be_said_in_korean(form: str) -> None:
    english = re.sub(r"\{[^}]*\}", "12", form)

    korean = in_korean(english)

    assert korean is not None
    assert HANGUL.search(korean)
    assert ("12" in english) == ("12" in korean)


@pytest.mark.parametrize("form", KOREAN)
def test_a_sentence_is_taken_for_itself_and_no_other(form: str) -> None:
    values = [f"<{n}>" for n in range(form.count("{}"))]

    assert in_korean(form.format(*values)) == KOREAN[form].format(*values)


def test_what_nobody_translated_is_not_made_up() -> None:
    assert in_korean("the moon is full") is None


def test_a_missing_value_is_noticed_where_the_sentence_is_written() -> None:
    with pytest.raises(KeyError):
        sentence("recipes.order", "en")
