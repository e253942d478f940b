"""The API as an OpenAPI 3.1 document, made from the table of endpoints and the classes that they
read and write; and the same as a page."""

import json
from collections import defaultdict
from copy import deepcopy
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from services.api import frames
from services.api.answers import Standing
from services.api.asked import KEY_PATTERN, PLAIN
from services.api.endpoints import CANCEL, ENDPOINTS, EVENTS, PLACE, RETRY, SHOW, Endpoint
from services.api.page import page_of
from services.api.problems import (
    BROKEN,
    FLAWED,
    FROM_ELSEWHERE,
    NO_TOKEN,
    NOT_ALLOWED,
    TOO_MANY,
    UNAVAILABLE,
    UNMET,
    UNREADABLE,
    Kind,
    Problem,
)
from services.api.tickets import PARAMETER
from shared.events import KeySource, UploadReceived, UrlSource
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe, SourceRule
from shared.settings import Locale

Document = dict[str, Any]

VERSION = "1.0.0"
REF = "#/components/schemas/{model}"
ORDER = "Order"
# What an original may be fetched from, and who may be called back.
_NEAR = r"http://(127\.0\.0\.1|localhost|\[::1\])"
ADDRESS = rf"^(https://[A-Za-z0-9._-]+|{_NEAR})(:[0-9]{{1,4}})?([/?#][!-~]*)?$"

PREAMBLE = """\
Order media, follow it live, fetch it.

Errors are `application/problem+json`: `detail` is a sentence, `code` is for programs, and `faults` name
each wrong field by its path. 503 and 429 say in `Retry-After` when to come again; with an
`Idempotency-Key` that is safe for orders too. Times are UTC. Links to files open without a token and
expire within 15 minutes: ask again rather than keep them.
"""

# Of everything that wants a token.
_OF_THE_GATE = (NO_TOKEN, NOT_ALLOWED, FROM_ELSEWHERE, TOO_MANY)
# Of every request, whatever it asks.
_OF_ALL = (UNREADABLE, UNMET, BROKEN, UNAVAILABLE)

_JOB_ID: Document = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_KEY: Document = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "One key, one order, however often it is sent. Keys of other tokens are others.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": KEY_PATTERN},
}


# What can be asked of the job that an answer names.
_LINKS: Document = {
    then.name: {
        "operationId": then.name,
        "parameters": {"job_id": "$response.body#/id"},
        "description": then.summary,
    }
    for then in (SHOW, EVENTS, CANCEL, RETRY)
}


@cache
def document() -> Document:
    schemas, refs = _schemas()
    paths: defaultdict[str, Document] = defaultdict(dict)
    for endpoint in ENDPOINTS:
        paths[endpoint.path][endpoint.method.lower()] = _operation(endpoint, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Darkroom",
            "version": VERSION,
            "description": PREAMBLE,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`dk_…`, made by `darkroom tokens create`. `read` looks, `write`"
                    " orders and cancels, `operate` settles what waits for a person; each includes"
                    " the former. An installation without any token serves its own machine alone.",
                },
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": PARAMETER,
                    "description": "Of `events_url`, for one job and at most 15 minutes.",
                },
            },
        },
    }


@cache
def document_json() -> bytes:
    return json.dumps(document(), ensure_ascii=False).encode()


@cache
def document_page() -> bytes:
    return page_of(document())


Refs = dict[tuple[type, JsonSchemaMode], Document]


def _schemas() -> tuple[Document, Refs]:
    """The schema of every class, each once, and how to refer to it."""
    wanted: list[tuple[type, JsonSchemaMode]] = [(Problem, "serialization")]
    for endpoint in ENDPOINTS:
        if endpoint.answer is not None:
            wanted.append((endpoint.answer, "serialization"))
        if endpoint.body is not None:
            wanted.append((endpoint.body, "validation"))
    wanted += [(recipe.params, "validation") for recipe in RECIPES]
    made, definitions = TypeAdapter.json_schemas(
        [((kind, mode), mode, TypeAdapter(kind)) for kind, mode in dict.fromkeys(wanted)],
        by_alias=True,
        ref_template=REF,
    )
    schemas: Document = dict(definitions.get("$defs", {}))
    refs: Refs = {}
    for ((kind, mode), _), schema in made.items():
        if "$ref" in schema:
            refs[kind, mode] = schema
        else:
            schemas[kind.__name__] = schema
            refs[kind, mode] = {"$ref": REF.format(model=kind.__name__)}
    schemas |= _orders(schemas.pop(UploadReceived.__name__), schemas, refs)
    refs[UploadReceived, "validation"] = {"$ref": REF.format(model=ORDER)}
    return schemas, refs


def _orders(fact: Document, schemas: Document, refs: Refs) -> Document:
    """What may be ordered: the fact that the generator reads, as each recipe wants it."""
    mapping = {recipe.name: REF.format(model=_order_name(recipe)) for recipe in RECIPES}
    made: Document = {
        ORDER: {
            "title": ORDER,
            "description": "An order of one of the recipes. Text holds no NUL.",
            "oneOf": [{"$ref": ref} for ref in mapping.values()],
            "discriminator": {"propertyName": "recipe", "mapping": mapping},
        }
    }
    schemas[UrlSource.__name__]["properties"]["url"]["pattern"] = ADDRESS
    for recipe in RECIPES:
        params = schemas[recipe.params.__name__]
        params["additionalProperties"] = False
        made[_order_name(recipe)] = _order(fact, recipe, params, refs[recipe.params, "validation"])
    named = [KeySource.__name__, *(recipe.params.__name__ for recipe in RECIPES)]
    for schema in (*made.values(), *(schemas[name] for name in named)):
        _only_text_that_is_kept(schema)
    return made


def _order_name(recipe: Recipe) -> str:
    return "".join(word.capitalize() for word in recipe.name.split("-")) + ORDER


def _order(fact: Document, recipe: Recipe, params: Document, ref: Document) -> Document:
    of = deepcopy(fact)
    of["title"] = _order_name(recipe)
    of["description"] = recipe.title["en"]
    fields = of["properties"]
    fields["recipe"] = {"const": recipe.name}
    fields["params"] = ref
    fields["callback_url"]["anyOf"][0]["pattern"] = ADDRESS
    fields["locale"]["anyOf"][0] = {"enum": list(get_args(Locale))}
    required = ["recipe"]
    if params.get("required"):
        required.append("params")
    if recipe.source is SourceRule.NONE:
        fields["source"] = {"type": "null"}
    if recipe.source is SourceRule.REQUIRED:
        fields["source"] = fields["source"]["anyOf"][0]
        required.append("source")
    of["required"] = required
    return of


def _example(recipe: Recipe) -> Document:
    order: Document = {"recipe": recipe.name, "params": dict(recipe.example)}
    if recipe.source is SourceRule.REQUIRED:
        order["source"] = {"url": "https://files.example.com/photo.jpg"}
    return {**order, "external_ref": "scene-17"}


def _only_text_that_is_kept(schema: Any) -> None:
    """Say of every text within that it holds no NUL."""
    if isinstance(schema, list):
        for each in schema:
            _only_text_that_is_kept(each)
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"pattern", "format", "enum"} & set(schema):
            schema["pattern"] = PLAIN
        for each in schema.values():
            _only_text_that_is_kept(each)


def _operation(endpoint: Endpoint, refs: Refs) -> Document:
    told: Document = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "security": _security(endpoint),
        "responses": {**_answers(endpoint, refs), **_problems(endpoint, refs)},
    }
    if endpoint.told:
        told["description"] = endpoint.told
    parameters = _parameters(endpoint)
    if parameters:
        told["parameters"] = parameters
    if endpoint.body is not None:
        content: Document = {"schema": refs[endpoint.body, "validation"]}
        if endpoint is PLACE:
            content["examples"] = {
                recipe.name: {"summary": recipe.title["en"], "value": _example(recipe)}
                for recipe in RECIPES
            }
        told["requestBody"] = {
            "required": endpoint.body_needed,
            "content": {"application/json": content},
        }
    return told


def _security(endpoint: Endpoint) -> list[Document]:
    if endpoint.scope is None:
        return []
    either: list[Document] = [{"token": []}]
    if endpoint is EVENTS:
        either.append({"ticket": []})
    return either


def _parameters(endpoint: Endpoint) -> list[Document]:
    found = [_JOB_ID] if "{job_id}" in endpoint.path else []
    if endpoint.keyed:
        found = [*found, _KEY]
    if endpoint is EVENTS:
        found = [
            *found,
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The id of the last event that came; browsers send it themselves.",
                "schema": {"type": "string"},
            },
        ]
    if endpoint.query is not None:
        schema = TypeAdapter(endpoint.query).json_schema()
        for name, one in schema["properties"].items():
            found = [
                *found,
                {"name": name, "in": "query", "required": False, "schema": _plain(one, schema)},
            ]
    return found


def _plain(one: Document, whole: Document) -> Document:
    """A parameter's schema on its own: without references, and without the choice of nothing."""
    if "$ref" in one:
        named: Document = whole["$defs"][one["$ref"].rpartition("/")[2]]
        return _plain(named, whole)
    either = [each for each in one.get("anyOf", ()) if each.get("type") != "null"]
    if either:
        return _plain(either[0], whole)
    return {name: value for name, value in one.items() if name not in ("title", "description")}


def _answers(endpoint: Endpoint, refs: Refs) -> Document:
    schema: Document
    if endpoint.content == "text/event-stream":
        schema = _event(refs)
    elif endpoint.answer is not None:
        schema = refs[endpoint.answer, "serialization"]
    else:
        kind = "object" if endpoint.content == "application/json" else "string"
        schema = {"type": kind}
    answers: Document = {
        str(endpoint.status): {
            "description": endpoint.summary,
            "content": {endpoint.content: {"schema": schema}},
        }
    }
    if endpoint.status == 202 and endpoint.keyed:
        answers["202"]["headers"] = {
            "Location": {"schema": {"type": "string"}},
            "Idempotent-Replayed": {"schema": {"type": "string", "const": "true"}},
        }
    if endpoint in (PLACE, RETRY):
        answers[str(endpoint.status)]["links"] = _LINKS
    for status in endpoint.also:
        answers[str(status)] = {"description": "There is nothing more to tell."}
    return answers


def _event(refs: Refs) -> Document:
    """Each of the events that a stream consists of."""
    return {
        "type": "object",
        "description": "Each event. Its data is a `Standing`, as JSON on one line.",
        "properties": {
            "event": {"enum": [frames.SNAPSHOT, frames.CHANGE, frames.END]},
            "id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": refs[Standing, "serialization"],
            },
        },
        "required": ["event", "id", "data"],
    }


def _problems(endpoint: Endpoint, refs: Refs) -> Document:
    kinds: list[Kind] = [*endpoint.refuses, *_OF_ALL]
    if endpoint.scope is not None:
        kinds += _OF_THE_GATE
    if endpoint.keyed and FLAWED not in kinds:
        kinds.append(FLAWED)
    by_status: defaultdict[int, list[Kind]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        by_status[kind.status].append(kind)
    return {str(status): _problem(of, refs) for status, of in sorted(by_status.items())}


def _problem(kinds: list[Kind], refs: Refs) -> Document:
    told: Document = {
        "description": "; ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds),
        "content": {"application/problem+json": {"schema": refs[Problem, "serialization"]}},
    }
    if any(kind.retry_after is not None for kind in kinds):
        told["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return told
