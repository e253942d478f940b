"""The document says what the server does: both are made from one table."""

import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from services.api import endpoints, problems
from services.api.document import document, document_page
from services.api.endpoints import ENDPOINTS, Endpoint
from services.api.page import STYLE
from shared.domain.token import Scope
from shared.events import ORDER_FIELDS
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe


def test_it_is_openapi() -> None:
    validate(document())


def test_every_operation_is_in_it_once() -> None:
    told = [
        what["operationId"] for methods in document()["paths"].values() for what in methods.values()
    ]

    assert sorted(told) == sorted(endpoint.name for endpoint in ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_whoever_needs_a_token_is_told_so_and_what_comes_without(endpoint: Endpoint) -> None:
    what = document()["paths"][endpoint.path][endpoint.method.lower()]

    guarded = {"401", "403", "429"} <= set(what["responses"])
    assert guarded is (endpoint.scope is not None)
    assert bool(what["security"]) is guarded
    assert {"500", "503"} <= set(what["responses"])


def test_what_changes_something_takes_more_than_reading() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET":
            assert endpoint.scope is not None
            assert endpoint.scope.includes(Scope.WRITE)


def test_every_problem_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in problems.KINDS]
    named = {kind for kind in vars(problems).values() if isinstance(kind, problems.Kind)}

    assert len(set(codes)) == len(codes)
    assert named == set(problems.KINDS)


def test_the_old_shape_of_concepts_is_written_as_its_readers_know_it() -> None:
    concept = document()["components"]["schemas"]["Concept"]

    assert set(concept["properties"]) == {"id", "originalUrl", "quantizedUrl", "quality", "index"}


def test_an_order_is_described_by_the_class_that_the_generator_reads() -> None:
    body = document()["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    schemas = document()["components"]["schemas"]
    orders = [schemas[one["$ref"].rpartition("/")[2]] for one in schemas["Order"]["oneOf"]]

    assert body["schema"] == {"$ref": "#/components/schemas/Order"}
    assert {order["properties"]["recipe"]["const"] for order in orders} == {
        recipe.name for recipe in RECIPES
    }
    assert all(set(order["properties"]) == ORDER_FIELDS for order in orders)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_example_of_a_recipe_is_an_order_as_the_document_has_it(recipe: Recipe) -> None:
    schemas = document()["components"]["schemas"]
    whole = {"$ref": "#/components/schemas/Order", "components": {"schemas": schemas}}
    reading = jsonschema.Draft202012Validator(whole)
    body = document()["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    order = body["examples"][recipe.name]["value"]

    assert reading.is_valid(order), list(reading.iter_errors(order))
    assert not reading.is_valid({**order, "params": {"no such": 1}})
    assert not reading.is_valid({**order, "external_ref": "a\0b"})


def test_the_page_has_a_place_for_everything_that_it_links_to() -> None:
    page = document_page().decode()

    links, places = (set(re.findall(f'{name}="#?([^"]+)"', page)) for name in ("href", "id"))
    within = {link for link in links if not link.startswith("/")}
    assert within <= places
    assert "<script" not in page
    assert "style=" not in page
    assert endpoints.STYLE.path in links
    assert STYLE.exists()
