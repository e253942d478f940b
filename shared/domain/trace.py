"""The W3C trace context as it travels: one short text that names a trace and the step before."""

import re

PARAMETER = "traceparent"  # beside the slot in a webhook's address

_SHAPE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_IN_ADDRESS = re.compile(rf"[?&]{PARAMETER}=([0-9a-f-]{{55}})(?=[&#]|\Z)")


def read_traceparent(text: str | None) -> str | None:
    """``text`` if it is a context that may go on from here, else None: strangers send what they
    like, and a context that nobody can read ends a trace rather than a message."""
    return text if text is not None and _SHAPE.fullmatch(text) else None


def traceparent_of_url(url: str | None) -> str | None:
    """The context that stands in a webhook's address; an address with two of them has none."""
    found = _IN_ADDRESS.findall(url or "")
    return read_traceparent(found[0]) if len(found) == 1 else None


def trace_id(traceparent: str) -> str:
    """The part that all steps of one trace share: 32 hexadecimal digits."""
    return traceparent[3:35]
