"""The ingress as an OpenAPI 3.1 document."""

from collections import defaultdict
from typing import Any

from deploy.contracts.asyncapi import CONTRACT_VERSION, example
from deploy.contracts.schemas import PREDICTION
from services.ingress.answers import FAULTS, UNKNOWN_PATH, Fault
from services.ingress.app import PATH
from shared.domain.prediction import FACT_OF_STATUS, Status
from shared.domain.trace import PARAMETER

Document = dict[str, Any]

PREAMBLE = """\
The door for Replicate's webhooks. It believes a body by its signature, hands it to the broker
unchanged, and answers 204 when the broker has it for good. A fault of ours is always 503, so that
whoever sent it comes again; nothing else is worth sending again unchanged but a 429.
"""


def document() -> Document:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Darkroom's ingress",
            "version": CONTRACT_VERSION,
            "description": PREAMBLE,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {"url": "{base}", "variables": {"base": {"default": "https://darkroom.example"}}}
        ],
        "paths": {
            PATH: {"post": _webhook()},
            "/healthz": {"get": _health("The process runs", "healthz")},
            "/readyz": {"get": _health("Each dependency by name; 503 while one is away", "readyz")},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": {"Prediction": PREDICTION, "Problem": PROBLEM, "Health": HEALTH},
            "securitySchemes": {
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "`v1,` and the base64 of an HMAC-SHA256, under the account's signing"
                    " secret, of webhook-id, webhook-timestamp and the body, with dots in between;"
                    " several with spaces between them while a secret is rotated.",
                }
            },
        },
    }


PROBLEM: Document = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence, without a value of ours."},
    },
}

HEALTH: Document = {
    "type": "object",
    "required": ["service"],
    "properties": {
        "service": {"type": "string"},
        "alive": {"type": "boolean"},
        "ready": {"type": "boolean"},
        "draining": {"type": "boolean"},
    },
    "additionalProperties": {"type": "string", "description": "A dependency: `ok`, or why not."},
}


def _webhook() -> Document:
    return {
        "operationId": "takeWebhook",
        "summary": "Take one signed webhook",
        "security": [{"signature": []}],
        "parameters": [
            _header(
                "webhook-id", "The same when it is sent again.", pattern="^[A-Za-z0-9_-]{1,128}$"
            ),
            _header(
                "webhook-timestamp",
                "Unix seconds of this attempt, at most five minutes from our clock.",
                pattern="^[0-9]{10,12}$",
            ),
            _query("slot", "The purchase that it is news of: job, ordinal, attempt and a token."),
            _query(PARAMETER, "The W3C trace context of the purchase."),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Prediction"},
                    "example": example(FACT_OF_STATUS[Status.SUCCEEDED]),
                }
            },
        },
        "responses": {"204": {"description": "The broker has it for good."}, **_refusals()},
    }


def _refusals() -> Document:
    by_status: defaultdict[int, list[Fault]] = defaultdict(list)
    for fault in FAULTS:
        if fault is not UNKNOWN_PATH:  # of other paths than this one
            by_status[fault.status].append(fault)
    return {
        str(status): {
            "description": "; ".join(fault.title for fault in faults),
            **(
                {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
                if any(fault.retry_after is not None for fault in faults)
                else {}
            ),
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
        for status, faults in sorted(by_status.items())
    }


def _health(summary: str, name: str) -> Document:
    told = {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}
    answers: Document = {"200": {"description": "Yes.", "content": told}}
    if name == "readyz":
        answers["503"] = {"description": "No.", "content": told}
    return {"operationId": name, "summary": summary, "responses": answers}


def _metrics() -> Document:
    told = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "metrics",
        "summary": "Metrics in Prometheus' text format",
        "responses": {"200": {"description": "All of them.", "content": told}},
    }


def _header(name: str, said: str, *, pattern: str) -> Document:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": said,
        "schema": {"type": "string", "pattern": pattern},
    }


def _query(name: str, said: str) -> Document:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": said,
        "schema": {"type": "string"},
    }
