"""The documents for others: up to date, whole, and true of what really travels."""

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from deploy.contracts.__main__ import FOLDER, documents, stale
from deploy.contracts.asyncapi import document, example
from deploy.contracts.examples import EXAMPLES
from deploy.contracts.openapi import document as ingress
from deploy.contracts.schemas import shapes
from services.ingress.answers import FAULTS
from services.ingress.app import PATH
from shared.events import FACTS, TYPES, adapter
from shared.messaging.topology import FOR_OTHERS, FROM_OTHERS, QUEUES

TYPED = [shape.type for shape in shapes()]


def schema_of(kind: str) -> Any:
    return json.loads(documents()[f"schemas/{kind}.schema.json"])


def test_the_documents_in_the_tree_are_those_that_the_code_makes() -> None:
    assert stale() == [], "python -m deploy.contracts"
    assert (FOLDER / "asyncapi.json").exists()


def test_every_type_that_is_published_has_a_channel_an_operation_and_a_schema() -> None:
    told = document()

    assert set(told["channels"]) == set(told["components"]["messages"]) == set(TYPES)
    assert len(told["operations"]) == len(TYPES)
    assert {name.split("/")[-1] for name in documents() if name.startswith("schemas/")} == {
        f"{kind}.schema.json" for kind in TYPES
    }


def test_what_others_publish_is_heard_by_us_and_the_rest_is_told() -> None:
    actions = {
        op["channel"]["$ref"].removeprefix("#/channels/"): op["action"]
        for op in document()["operations"].values()
    }

    assert {kind for kind, action in actions.items() if action == "receive"} == set(FROM_OTHERS)
    assert set(FROM_OTHERS) <= {fact for queue in QUEUES for fact in queue.hears}


def test_what_stays_inside_is_marked() -> None:
    inside = {kind for kind, told in document()["components"]["messages"].items() if told["tags"]}

    assert inside == set(TYPES) - {*FROM_OTHERS, *FOR_OTHERS}


def test_every_fact_has_an_example_that_its_own_class_wrote() -> None:
    assert {type(fact) for fact in EXAMPLES} == set(FACTS)
    for fact in EXAMPLES:
        assert adapter(type(fact)).validate_python(example(fact.type)) == fact


@pytest.mark.parametrize("kind", TYPED)
def test_what_travels_fits_its_schema_and_what_lacks_a_field_does_not(kind: str) -> None:
    schema = schema_of(kind)
    check = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    jsonschema.Draft202012Validator.check_schema(schema)

    check.validate(example(kind))
    for field in schema["required"]:
        short = {name: value for name, value in example(kind).items() if name != field}
        assert not check.is_valid(short), field


@pytest.mark.parametrize("kind", TYPED)
def test_every_schema_says_what_it_means(kind: str) -> None:
    assert len(schema_of(kind)["description"]) > 20


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for inner in node.values() for ref in references(inner)]
    if isinstance(node, list):
        return [ref for inner in node for ref in references(inner)]
    return []


def test_every_reference_leads_somewhere() -> None:
    for name, text in documents().items():
        whole = json.loads(text)
        for ref in references(whole):
            node = whole
            for part in ref.removeprefix("#/").split("/"):
                assert part in node, (name, ref)
                node = node[part]


def test_the_ingress_is_described_with_every_answer_that_it_gives() -> None:
    told = ingress()
    validate(told)

    answers = told["paths"][PATH]["post"]["responses"]
    assert set(answers) == {"204", *(str(f.status) for f in FAULTS if f.status != 404)}
    assert "Retry-After" in answers["503"]["headers"]
