"""One event as it travels: CloudEvents attributes around a body that nobody on the way changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

# Extensions that prediction.* events carry beside the CloudEvents attributes.
WEBHOOK_ID = "webhook-id"
WEBHOOK_TIMESTAMP = "webhook-timestamp"
WEBHOOK_SIGNATURE = "webhook-signature"
ORIGIN = "darkroom-origin"
SLOT = "darkroom-slot"
RECEIVED_AT = "received-at"
HANDED_AT = "handed-at"  # when the ingress had believed it and gave it to the broker

FROM_WEBHOOK = "webhook"
FROM_RECONCILER = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An immutable fact with its address label.

    ``id`` is the fact's own id: two deliveries of one fact carry one id. ``type`` is also the
    routing key. ``subject`` is the job's id where there is a job. ``extensions`` hold the headers
    that are ours beside CloudEvents' own (names above). ``attempts`` counts how often a consumer
    already tried this delivery and parked it; ``held_since`` is since when it lay in our hands because
    the database was away. Both belong to the delivery, not to the fact.
    """

    id: str
    type: str
    source: str
    time: datetime
    body: bytes
    subject: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    extensions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    attempts: int = 0
    held_since: datetime | None = None
