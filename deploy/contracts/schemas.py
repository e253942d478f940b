"""The shapes: every fact by the class that reads and writes it, and what comes from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from typing import Any

from shared.domain.prediction import FACT_OF_STATUS, Status
from shared.domain.refusal import WEBHOOK_REFUSED
from shared.events import FACTS, TYPES, Fact, adapter

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_SAID: Mapping[str, str] = {
    fact: f"Replicate says that a prediction is {status}" for status, fact in FACT_OF_STATUS.items()
} | {
    FACT_OF_STATUS[Status.PROCESSING]: "Replicate says that a prediction is under way: many times",
    WEBHOOK_REFUSED: "A webhook that was not believed, kept for a look; of no use to others",
}

# Read leniently: what is named here is all that is relied upon.
PREDICTION: Schema = {
    "title": "Prediction",
    "description": "A prediction as Replicate words it, byte for byte as its webhook came. It echoes"
    " the input, with links that open the original for a while: treat it as a secret.",
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
        "status": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            "description": f"One of {', '.join(Status)}; another word is kept and moves nothing.",
        },
        "input": {"type": ["object", "null"]},
        "output": {"description": "A link, a list or an object of links, or nothing yet."},
        "logs": {"type": ["string", "null"]},
        "error": {"description": "Words, where it failed."},
        "metrics": {"type": ["object", "null"]},
        "webhook": {"type": ["string", "null"]},
        "data_removed": {"type": "boolean"},
    },
}

REFUSED: Schema = {
    "title": "RefusedWebhook",
    "description": _SAID[WEBHOOK_REFUSED],
    "type": "object",
    "required": ["id", "received_at", "outcome", "status", "reason", "query", "headers"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "received_at": {"type": "string", "format": "date-time"},
        "outcome": {"type": "string"},
        "status": {"type": "integer"},
        "reason": {"type": "string"},
        "sender": {"type": ["string", "null"]},
        "query": {"type": "string"},
        "headers": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "body": {"type": ["string", "null"], "contentEncoding": "base64"},
        "body_bytes": {"type": ["integer", "null"]},
    },
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What travels under one type. ``name`` is its schema's; ``said`` one line about it."""

    type: str
    name: str
    said: str


@cache
def shapes() -> tuple[Shape, ...]:
    """One for every type that is published, in the order of the catalogue."""
    ours = {fact.type: Shape(fact.type, fact.__name__, _first_line(fact)) for fact in FACTS}
    theirs = {
        kind: Shape(kind, "RefusedWebhook" if kind == WEBHOOK_REFUSED else "Prediction", said)
        for kind, said in _SAID.items()
    }
    return tuple((ours | theirs)[kind] for kind in TYPES)


def components(root: str) -> dict[str, Schema]:
    """Every schema by its name, with references below ``root`` (``#/components/schemas/``)."""
    found: dict[str, Schema] = {"Prediction": PREDICTION, "RefusedWebhook": REFUSED}
    for fact in FACTS:
        schema = adapter(fact).json_schema(ref_template=root + "{model}")
        found |= schema.pop("$defs", {})
        found[fact.__name__] = _told(schema, fact)
    return dict(sorted(found.items()))


def documents() -> dict[str, Schema]:
    """A schema of its own for every type, by file name, complete in itself."""
    found: dict[str, Schema] = {}
    by_type: dict[str, type[Fact]] = {fact.type: fact for fact in FACTS}
    for shape in shapes():
        fact = by_type.get(shape.type)
        if fact is not None:
            schema = _told(adapter(fact).json_schema(), fact)
        else:
            schema = dict(PREDICTION if shape.name == "Prediction" else REFUSED)
        found[f"{shape.type}.schema.json"] = {"$schema": DRAFT, "title": shape.type} | {
            name: value for name, value in schema.items() if name != "title"
        }
    return found


def _told(schema: Schema, fact: type[Fact]) -> Schema:
    return schema | {"title": fact.__name__, "description": _words(fact)}


def _words(fact: type[Fact]) -> str:
    return cleandoc(fact.__doc__ or "")


def _first_line(fact: type[Fact]) -> str:
    words = _words(fact)
    return words.split(". ")[0].split("\n\n")[0].replace("\n", " ").rstrip(".") or fact.type
