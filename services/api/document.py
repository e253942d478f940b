"""The API as an OpenAPI 3.1 document, made from the table of endpoints and the classes that they
read and write; and the same as a page."""

import json
from collections import defaultdict
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from services.api.asked import KEY_PATTERN
from services.api.endpoints import ENDPOINTS, EVENTS, PLACE, Endpoint
from services.api.page import page_of
from services.api.problems import (
    BROKEN,
    FLAWED,
    FROM_ELSEWHERE,
    NO_TOKEN,
    NOT_ALLOWED,
    TOO_MANY,
    UNAVAILABLE,
    Kind,
    Problem,
)
from services.api.tickets import PARAMETER

Document = dict[str, Any]

VERSION = "1.0.0"
REF = "#/components/schemas/{model}"

PREAMBLE = """\
Order media, follow it live, fetch it.

Errors are `application/problem+json`: `detail` is a sentence, `code` is for programs, and `faults` name
each wrong field by its path. 503 and 429 say in `Retry-After` when to come again; with an
`Idempotency-Key` that is safe for orders too. Times are UTC. Links to files open without a token and
expire within 15 minutes: ask again rather than keep them.
"""

# Of everything that wants a token.
_OF_THE_GATE = (NO_TOKEN, NOT_ALLOWED, FROM_ELSEWHERE, TOO_MANY)
_OF_US = (BROKEN, UNAVAILABLE)

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
    return schemas, refs


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
            content["example"] = {
                "recipe": "sound-effect",
                "params": {"prompt": "rain on a tin roof"},
                "external_ref": "scene-17",
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
        schema = {
            "type": "string",
            "description": "Events whose data is a `Standing`, as JSON.",
            "contentMediaType": "text/event-stream",
        }
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
    for status in endpoint.also:
        answers[str(status)] = {"description": "There is nothing more to tell."}
    return answers


def _problems(endpoint: Endpoint, refs: Refs) -> Document:
    kinds: list[Kind] = [*endpoint.refuses, *_OF_US]
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
