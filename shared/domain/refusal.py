"""A webhook that the ingress did not take, as it is kept for a look.

It is nobody's word but the sender's: nothing here was believed, and nothing is acted upon.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

WEBHOOK_REFUSED = "webhook.refused"

BODY_KEPT = 16 * 1024  # bytes: enough to see what it was
HEADER_KEPT = 1024  # characters of a value
HEADERS_KEPT = 32
QUERY_KEPT = 1024
# What a sender says about this delivery. Credentials and cookies of other people's clients are not
# ours to keep.
HEADERS_OF_INTEREST = (
    "webhook-",
    "svix-",
    "content-",
    "transfer-encoding",
    "user-agent",
    "host",
    "date",
    "x-forwarded-",
    "forwarded",
)


class NotOurs(ValueError):
    """The bytes are no record of a refused webhook; the sentence says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedWebhook:
    """What came, and why it was refused.

    ``outcome`` is the fault's name in the metrics, ``status`` the answer. ``headers`` are those of
    interest, as they came, also twice. ``body`` is its beginning, None where none of it was read;
    ``body_bytes`` how long it was, or said it would be.
    """

    id: UUID
    received_at: datetime
    outcome: str
    status: int
    reason: str
    sender: str | None
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    body_bytes: int | None


def worth_keeping(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Of the headers of a request those that are kept, each cut to its length."""
    kept = [
        (_printable(name, 128), _printable(value, HEADER_KEPT))
        for name, value in headers
        if name.lower().startswith(HEADERS_OF_INTEREST)
    ]
    return tuple(kept[:HEADERS_KEPT])


def to_json(refused: RefusedWebhook) -> bytes:
    told = asdict(refused) | {
        "id": str(refused.id),
        "received_at": refused.received_at.isoformat(),
        "query": _printable(refused.query, QUERY_KEPT),
        "body": None if refused.body is None else b64encode(refused.body).decode(),
    }
    return json.dumps(told).encode()


def from_json(text: bytes) -> RefusedWebhook:
    """Raises NotOurs."""
    try:
        told: dict[str, Any] = json.loads(text)
        body = told["body"]
        return RefusedWebhook(
            id=UUID(told["id"]),
            received_at=datetime.fromisoformat(told["received_at"]),
            outcome=str(told["outcome"]),
            status=int(told["status"]),
            reason=_printable(str(told["reason"]), HEADER_KEPT),
            sender=None if told["sender"] is None else str(told["sender"]),
            query=_printable(str(told["query"]), QUERY_KEPT),
            headers=worth_keeping((str(name), str(value)) for name, value in told["headers"]),
            body=None if body is None else b64decode(body)[:BODY_KEPT],
            body_bytes=None if told["body_bytes"] is None else int(told["body_bytes"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotOurs(f"it cannot be read: {type(error).__name__}") from error


def _printable(text: str, most: int) -> str:
    # Headers may hold any byte, and no database keeps a NUL or half a character.
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:most]
