"""A refusal is a sentence of ours: for every field that an order has, and every way to get it wrong."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.errors import Permanent
from shared.events import JobCancelRequested, UploadReceived, adapter
from shared.recipes import RECIPES, validated
from shared.recipes.recipe import Recipe
from shared.recipes.studio_concepts import StudioConceptsParams
from shared.validation import OURS, sentence

NONSENSE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**20,
    1e300,
    "",
    "x",
    "x" * 200_000,
    [],
    [1],
    ["#c05a2b"],
    ["red"] * 40,
    ["#c05a2b", "#C05A2B"],
    {},
    {"width": "a"},
    {"width": 1, "height": 1000},
    {"width": 2000, "height": -1},
    {"key": ""},
    {"url": "ftp://x"},
    {"key": "a", "url": "https://a/b"},
    {"kee": "a"},
)
BRIEF = {
    "prompt": "a lake",
    "surface": {"width": 1, "height": 1},
    "colours": ["#c05a2b", "#2b5ac0"],
}
ORDER = {"recipe": "variations"}


def refusals(kind: type[Any], right: dict[str, Any]) -> Iterator[tuple[str, Any, ValidationError]]:
    read: TypeAdapter[Any] = TypeAdapter(kind)
    for field in kind.__dataclass_fields__:
        for value in NONSENSE:
            try:
                read.validate_python(right | {field: value})
            except ValidationError as error:
                yield field, value, error


def of(recipe: Recipe) -> dict[str, Any]:
    fields = recipe.params.__dataclass_fields__
    return {name: value for name, value in BRIEF.items() if name in fields}


KINDS: list[tuple[str, type[Any], dict[str, Any]]] = [
    *((recipe.name, recipe.params, of(recipe)) for recipe in RECIPES),
    ("the order", UploadReceived, ORDER),
    ("the wish", JobCancelRequested, {"job_id": "0" * 32}),
]


@pytest.mark.parametrize(("kind", "right"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_no_refusal_speaks_the_validators_words(kind: type[Any], right: dict[str, Any]) -> None:
    adapter(kind).validate_python(right)
    refused = list(refusals(kind, right))
    assert len(refused) > 20
    for field, value, error in refused:
        said = sentence(error, whole="it")
        assert said.startswith(field), (field, value, said)
        assert "cannot be used" not in said, (field, value, said)
        theirs = {f["msg"] for f in error.errors() if f["type"] not in ("value_error", OURS)}
        assert not [msg for msg in theirs if msg in said], (field, value, said)
        assert "Value error" not in said


@pytest.mark.parametrize(
    ("recipe", "params", "said"),
    [
        ("studio-concepts", {"colours": ["#c05a2b"]}, "colours: must have 2 entries or more"),
        (
            "studio-concepts",
            {"colours": ["red", "#c05a2b"]},
            "colours.0: must be a colour such as #c05a2b",
        ),
        ("studio-concepts", {"colours": ["#c05a2b\n"] * 2}, "colours.0: must be a colour"),
        ("studio-concepts", {"surface": {"height": 1}}, "surface.width: is missing"),
        ("studio-concepts", {"concepts": 7}, "concepts: must be 4 or less"),
        ("studio-concepts", {"dither": "no"}, "dither: must be true or false"),
        ("studio-concepts", {"prompt": ""}, "prompt: must not be empty"),
        ("variations", {"seed": 2**31}, "seed: must be less than 2147483638"),
        ("variations", {"count": 2.5}, "count: must be a whole number"),
    ],
)
def test_a_wrong_parameter_is_told_with_its_limit(
    recipe: str, params: dict[str, Any], said: str
) -> None:
    chosen = next(one for one in RECIPES if one.name == recipe)
    with pytest.raises(Permanent, match=f"wrong parameters for {recipe}: ") as refused:
        validated(chosen, of(chosen) | params)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"kee": "a"}, 'source: must be {"key": …} or {"url": …}'),
        ("a/b.jpg", 'source: must be {"key": …} or {"url": …}'),
        ({"key": "a", "url": "https://a/b"}, 'source: must be {"key": …} or {"url": …}'),
        ({"key": 5}, "source.key: must be text"),
        ({"url": "http://a.example/b"}, "source.url: must be an https URL without user info"),
    ],
)
def test_a_wrong_source_is_told_once_and_by_what_was_meant(source: Any, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        adapter(UploadReceived).validate_json(json.dumps(ORDER | {"source": source}))
    assert sentence(refused.value, whole="the body") == said


def test_a_list_of_wrong_entries_is_not_called_too_short_as_well() -> None:
    with pytest.raises(ValidationError) as refused:
        adapter(StudioConceptsParams).validate_python(BRIEF | {"colours": ["red"] * 2})
    assert "entries" not in sentence(refused.value, whole="it")


def test_more_faults_than_anybody_reads_are_counted() -> None:
    with pytest.raises(ValidationError) as refused:
        adapter(StudioConceptsParams).validate_python(BRIEF | {"colours": ["red"] * 30})
    said = sentence(refused.value, whole="it")
    assert said.count("must be a colour") == 8
    assert said.endswith("; and 22 more")


def test_a_refusal_never_repeats_what_was_said() -> None:
    with pytest.raises(ValidationError) as refused:
        adapter(UploadReceived).validate_json(
            json.dumps(ORDER | {"callback_url": "ftp://hunter2", "job_id": "hunter2"})
        )
    assert "hunter2" not in sentence(refused.value, whole="the body")
