"""What a delivery is about, for every line that is logged while it is handled."""

import json
from typing import Any

from shared.domain.prediction import FACT_OF_STATUS
from shared.domain.slot_ref import SlotRef, read_slot_ref, slot_ref_of_url
from shared.envelope import SLOT, Envelope

# Larger bodies are Replicate's, with logs or files in them; they are not read once more for a log.
READ_FOR_A_LOG = 256 * 1024

_NEWS = frozenset(FACT_OF_STATUS.values())

# The names of all that a line can say of its delivery.
ABOUT = ("event_id", "job_id", "ordinal", "attempt", "prediction_id")

About = dict[str, str | int | None]


def about(envelope: Envelope) -> About:
    """The event, and as far as it names them its job, slot (``ordinal``, ``attempt``) and
    prediction. Never raises: what cannot be read is about nothing more."""
    told: About = {"event_id": envelope.id, "job_id": envelope.subject}
    body = _body(envelope)
    if envelope.type not in _NEWS:
        return told | {
            name: value
            for name, kind in (("ordinal", int), ("attempt", int), ("prediction_id", str))
            if type(value := body.get(name)) is kind
        }
    named = body.get("webhook")
    ref: SlotRef | None = (
        slot_ref_of_url(named) if isinstance(named, str) else None
    ) or read_slot_ref(envelope.extensions.get(SLOT))
    if ref is not None:
        told |= {"job_id": str(ref.job_id), "ordinal": ref.ordinal, "attempt": ref.attempt}
    if isinstance(body.get("id"), str):
        told["prediction_id"] = body["id"]
    return told


def _body(envelope: Envelope) -> dict[str, Any]:
    if len(envelope.body) > READ_FOR_A_LOG:
        return {}
    try:
        read = json.loads(envelope.body)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
