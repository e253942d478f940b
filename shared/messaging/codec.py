"""An event as an AMQP message and back: CloudEvents 1.0 in binary mode, lenient with strangers."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID, uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, DeliveryMode

from shared.clock import utc_now
from shared.domain.identity import fact_id
from shared.domain.trace import read_traceparent
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.messaging.wire import UNREADABLE

# The AMQP binding names attributes `cloudEvents:id` or `cloudEvents_id`; we write the first.
PREFIX, OTHER_PREFIX = "cloudEvents:", "cloudEvents_"
ATTEMPTS = "darkroom-attempts"
# Of a dead letter: the queue that gave it up, and why.
DIED_IN, DIED_OF = "darkroom-died-in", "darkroom-died-of"

LONGEST_NAME = 256  # of an id, a type, a source; what is longer is nobody's id
LONGEST_EXTENSION = 2048
MOST_EXTENSIONS = 32
# Of all together, in UTF-8: with our own attributes they must fit into one frame when published on.
LARGEST_EXTENSIONS = 16 * 1024

UNNAMED = "nothing names this event: it has no cloudEvents:id header and no message_id, and"


def to_message(envelope: Envelope) -> aio_pika.Message:
    """The message to publish.

    ``message_id`` is fresh for every publish: the client maps returned messages by it, and two in
    flight with one id would report the unroutable one as stored. The event's id is a header.
    """
    headers = {
        f"{PREFIX}specversion": "1.0",
        f"{PREFIX}id": envelope.id,
        f"{PREFIX}type": envelope.type,
        f"{PREFIX}source": envelope.source,
        f"{PREFIX}time": envelope.time.isoformat(),
        f"{PREFIX}subject": envelope.subject,
        f"{PREFIX}causationid": envelope.causation_id,
        f"{PREFIX}traceparent": envelope.traceparent,
        **envelope.extensions,
    }
    told: dict[str, str | int] = {k: v for k, v in headers.items() if v is not None}
    if envelope.attempts:
        told[ATTEMPTS] = envelope.attempts
    return aio_pika.Message(
        envelope.body,
        headers=dict(told),
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=uuid4().hex,
    )


def from_message(message: AbstractIncomingMessage) -> Envelope:
    """The event that a delivery carries, whoever published it.

    A plain message (no CloudEvents headers) is an event too: its type is the routing key, its id
    the ``message_id``, or else comes from the ``job_id`` in the body. Raises Permanent where
    nothing names it, or its headers cannot be read.
    """
    headers = message.headers or {}
    if UNREADABLE in headers:
        raise Permanent(f"its headers cannot be read ({_short(headers[UNREADABLE])})")
    told = _attributes(headers)
    fact_type = _short(told.get("type")) or message.routing_key or ""
    event_id = _short(told.get("id")) or _short(message.message_id)
    subject = _short(told.get("subject"))
    job_id = None if event_id and subject else _job_id(message.body)
    if event_id is None:
        if job_id is None:
            raise Permanent(f"{UNNAMED} {_why_no_job(message.body)}")
        event_id = fact_id(job_id, fact_type)
    return Envelope(
        id=event_id,
        type=fact_type,
        source=_short(told.get("source")) or _short(message.app_id) or "unknown",
        time=_instant(told.get("time")) or _instant(message.timestamp) or utc_now(),
        body=message.body,
        subject=subject or (str(job_id) if job_id else None),
        causation_id=_short(told.get("causationid")),
        traceparent=read_traceparent(_short(told.get("traceparent"))),
        extensions=MappingProxyType({**_extensions(headers), **_death(headers)}),
        attempts=_attempts(headers.get(ATTEMPTS)),
    )


def raw_envelope(message: AbstractIncomingMessage) -> Envelope:
    """A delivery that is no event, as it came, so that it can be parked and looked at.

    Its id comes from its bytes: the same junk twice is parked once.
    """
    return Envelope(
        id=fact_id("raw", message.routing_key, hashlib.sha256(message.body).hexdigest()),
        type=message.routing_key or "unknown",
        source=_short(message.app_id) or "unknown",
        time=utc_now(),
        body=message.body,
    )


def delivery_count(message: AbstractIncomingMessage) -> int:
    """How often the broker delivered it before: quorum queues count it, the first time is 0."""
    count = (message.headers or {}).get("x-delivery-count", 0)
    return max(count, 0) if isinstance(count, int) else 0


def _attributes(headers: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for prefix in (OTHER_PREFIX, PREFIX):  # who writes both means the first
        for name, value in headers.items():
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = value
    return found


def _extensions(headers: Mapping[str, object]) -> dict[str, str]:
    """The strings beside the attributes, as many and as long as an event may have.

    Without NUL, which Postgres keeps neither in a name nor in a value: what could not be kept could
    not be parked either.
    """
    own: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        if name.startswith((PREFIX, OTHER_PREFIX, "x-")) or name == ATTEMPTS:
            continue
        if not isinstance(value, str) or len(value) > LONGEST_EXTENSION or "\x00" in name + value:
            continue
        size += len(name.encode()) + len(value.encode())
        if len(own) == MOST_EXTENSIONS or size > LARGEST_EXTENSIONS:
            break
        own[name] = value
    return own


def _death(headers: Mapping[str, object]) -> dict[str, str]:
    """The last death that the broker tells of in ``x-death``, the newest first."""
    deaths = headers.get("x-death")
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(last, dict):
        return {}
    queue, reason = _short(last.get("queue")), _short(last.get("reason"))
    return {DIED_IN: queue, DIED_OF: reason or "unknown"} if queue else {}


def _short(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or "\x00" in value:
        return None
    return value


def _instant(value: object) -> datetime | None:
    """In UTC; None where it is none, or one that no calendar in UTC has."""
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(instant, datetime):
            return None
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _attempts(value: object) -> int:
    return min(value, 1000) if type(value) is int and value > 0 else 0


def _job_id(body: bytes) -> UUID | None:
    # Only small bodies are asked: ours always carry a subject, and Replicate's may be 10 MiB.
    if len(body) > 256 * 1024:
        return None
    try:
        document = json.loads(body)
        return UUID(document["job_id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _why_no_job(body: bytes) -> str:
    """In which way ``_job_id`` found none."""
    if len(body) > 256 * 1024:
        return "its body is too large to be looked into for a job_id"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return "its body is not JSON"
    if not isinstance(document, dict) or document.get("job_id") is None:
        return "no job_id in its body"
    return "the job_id in its body is no uuid"
