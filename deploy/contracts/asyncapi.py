"""The events as an AsyncAPI 3 document: what may be published to Darkroom, and what it publishes."""

import json
from typing import Any

from deploy.contracts.examples import A_PREDICTION, EXAMPLES, JOB, PREDICTION
from deploy.contracts.schemas import Shape, components, shapes
from shared.domain.identity import fact_id
from shared.domain.prediction import FACT_OF_STATUS
from shared.domain.refusal import WEBHOOK_REFUSED
from shared.events import UploadReceived, adapter, id_of
from shared.messaging.topology import EXCHANGE, FOR_OTHERS, FROM_OTHERS, must_be_heard

Document = dict[str, Any]

INSIDE = {
    "name": "inside",
    "description": "Between Darkroom's own services: the account for other teams cannot bind to it.",
}
CONTRACT_VERSION = "1.0.0"

PREAMBLE = f"""\
Darkroom turns an upload into finished, stored, reported media. Whoever wants a job publishes one
`{UploadReceived.type}` to the topic exchange `{EXCHANGE}`; whoever wants to know what became of it
binds a queue of its own to the types below. The routing key is the type.

Messages are CloudEvents 1.0 in binary mode: the body is the data, the attributes are headers. A
publisher may leave the headers out: then the AMQP `message_id` is the event's id, else the job's id
names it. Deliveries come at least once, and two deliveries of one fact carry one event id. Types
grow by adding optional fields; a shipped field never changes its meaning.
"""

_EXCHANGE = {
    "amqp": {
        "is": "routingKey",
        "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False},
        "bindingVersion": "0.3.0",
    }
}


def document() -> Document:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Darkroom's events",
            "version": CONTRACT_VERSION,
            "description": PREAMBLE,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "amqps",
                "pathname": "/{vhost}",
                "variables": {
                    "host": {"default": "rabbitmq.example:5671"},
                    "vhost": {"default": "darkroom"},
                },
                "security": [{"type": "userPassword"}],
            }
        },
        "channels": {shape.type: _channel(shape) for shape in shapes()},
        "operations": {_operation_name(shape): _operation(shape) for shape in shapes()},
        "components": {
            "messages": {shape.type: _message(shape) for shape in shapes()},
            "messageTraits": {"event": _event()},
            "schemas": components("#/components/schemas/"),
        },
    }


def _channel(shape: Shape) -> Document:
    return {
        "address": shape.type,
        "title": shape.said,
        "messages": {shape.name: {"$ref": f"#/components/messages/{shape.type}"}},
        "bindings": _EXCHANGE,
    }


def _operation_name(shape: Shape) -> str:
    verb = "hear" if shape.type in FROM_OTHERS else "tell"
    return verb + "".join(word.capitalize() for word in shape.type.replace("_", ".").split("."))


def _operation(shape: Shape) -> Document:
    hears = shape.type in FROM_OTHERS
    return {
        "action": "receive" if hears else "send",
        "channel": {"$ref": f"#/channels/{shape.type}"},
        "summary": shape.said,
        "messages": [{"$ref": f"#/channels/{shape.type}/messages/{shape.name}"}],
        "bindings": {
            "amqp": {
                "deliveryMode": 2,
                "mandatory": must_be_heard(shape.type),
                "bindingVersion": "0.3.0",
            }
        },
    }


def _message(shape: Shape) -> Document:
    return {
        "name": shape.type,
        "title": shape.name,
        "summary": shape.said,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/event"}],
        "tags": [] if shape.type in (*FROM_OTHERS, *FOR_OTHERS) else [INSIDE],
        "payload": {"$ref": f"#/components/schemas/{shape.name}"},
        "examples": [
            {"name": "example", "headers": _headers(shape), "payload": example(shape.type)}
        ],
    }


def example(kind: str) -> Document:
    """An instance of what travels under ``kind``."""
    for fact in EXAMPLES:
        if fact.type == kind:
            return dict(json.loads(adapter(type(fact)).dump_json(fact, exclude_none=True)))
    if kind == WEBHOOK_REFUSED:
        return {
            "id": "0b9a3a0e-2f39-4d6f-8b3a-6a1f3c1d2e4f",
            "received_at": "2026-11-21T09:00:06.300000+00:00",
            "outcome": "bad_signature",
            "status": 401,
            "reason": "none of our keys made this signature",
            "sender": "203.0.113.7",
            "query": "",
            "headers": [["webhook-id", "msg_example"]],
            "body": None,
            "body_bytes": 812,
        }
    status = next(status for status, fact in FACT_OF_STATUS.items() if fact == kind)
    return A_PREDICTION | {"status": str(status)}


def _headers(shape: Shape) -> Document:
    ours = {fact.type: fact for fact in EXAMPLES}
    is_ours = shape.type in ours
    return {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": (id_of(ours[shape.type]) if is_ours else fact_id(PREDICTION, shape.type)),
        "cloudEvents:type": shape.type,
        "cloudEvents:source": "darkroom/example" if is_ours else "replicate",
        "cloudEvents:time": "2026-11-21T09:00:07+00:00",
        "cloudEvents:subject": str(JOB),
        "cloudEvents:traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }


def _event() -> Document:
    text = {"type": "string", "maxLength": 256}
    return {
        "headers": {
            "type": "object",
            "description": "CloudEvents attributes, also accepted with an underscore (cloudEvents_id).",
            "properties": {
                "cloudEvents:specversion": {"const": "1.0"},
                "cloudEvents:id": text
                | {"description": "The same for every delivery of one fact."},
                "cloudEvents:type": text | {"description": "The routing key as well."},
                "cloudEvents:source": text | {"description": "The service that states it."},
                "cloudEvents:time": {"type": "string", "format": "date-time"},
                "cloudEvents:subject": text
                | {"description": "The job's id, where there is a job."},
                "cloudEvents:causationid": text | {"description": "The event that led to it."},
                "cloudEvents:traceparent": text
                | {"description": "W3C trace context; the job's trace goes on from the order's."},
            },
        }
    }
