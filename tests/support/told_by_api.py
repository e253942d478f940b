"""What the API answers, as the client of others reads it."""

import json
from typing import Any

JOB = "7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11"
ORDERED = {"id": JOB, "url": f"/v1/jobs/{JOB}", "events_url": "…"}


def standing(**more: Any) -> dict[str, Any]:
    return {
        "id": JOB,
        "state": "running",
        "sentence": {"en": "It is being made.", "ko": "만들고 있습니다."},
        "progress": 0.5,
        "stored": 0,
        "n": 2,
        "report": "pending",
        "slots": [a_slot(1), a_slot(2)],
    } | more


def a_slot(ordinal: int, state: str = "running") -> dict[str, Any]:
    return {"ordinal": ordinal, "state": state, "progress": 0.5, "attempt": 1, "words": {}}


def an_event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\nid: {name}\ndata: {json.dumps(data)}\n\n".encode()
