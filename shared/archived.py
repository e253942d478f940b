"""What was kept of a message, for people: as text, with nothing in it that opens something. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime

from shared.envelope import RECEIVED_AT
from shared.observability import redacted

# A secret that a cut goes through would not be known as one: so much more is read than is shown.
BEHIND = 2048


def received_at(headers: Mapping[str, str], recorded_at: datetime) -> datetime:
    """When it came to our door; where nobody wrote that down, when it was recorded."""
    try:
        at = datetime.fromisoformat(headers.get(RECEIVED_AT, ""))
    except ValueError:
        return recorded_at
    return at if at.tzinfo else recorded_at


def as_text(body: bytes) -> str:
    """The body as it is."""
    return redacted(body.decode(errors="backslashreplace"))


def laid_out(body: bytes, *, at_most: int) -> tuple[str, bool]:
    """``body`` (all of it, or ``at_most + BEHIND`` bytes of it), JSON line by line, and whether it
    was cut to ``at_most`` characters."""
    if len(body) < at_most + BEHIND:
        try:
            text = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            text = body.decode(errors="backslashreplace")
    else:
        text = body.decode(errors="backslashreplace")
    # JSON may spell halves of letters, which no page can be written in.
    text = redacted(text.encode(errors="backslashreplace").decode())
    return text[:at_most], len(text) > at_most
