"""What the ingress answers: one answer per fault, and 503 for every fault that is ours."""

import json
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Fault:
    """``outcome`` is its name in metrics and logs. ``retry_after`` in seconds: come again."""

    status: int
    outcome: str
    title: str
    retry_after: int | None = None


MALFORMED = Fault(400, "malformed", "This is not a signed webhook")
BAD_SIGNATURE = Fault(401, "bad_signature", "The signature does not fit")
STALE = Fault(401, "stale", "The webhook's time is not now")
UNKNOWN_PATH = Fault(404, "unknown_path", "There is nothing here")
WRONG_METHOD = Fault(405, "wrong_method", "Webhooks are posted")
TOO_SLOW = Fault(408, "too_slow", "The body did not come in time")
NO_LENGTH = Fault(411, "no_length", "There is no body")
TOO_LARGE = Fault(413, "too_large", "The body is too large")
NOT_JSON = Fault(415, "not_json", "Webhooks are plain JSON")
TOO_MANY = Fault(429, "too_many", "Too many webhooks at once", retry_after=1)
# The sender did nothing wrong and shall come again: never a 4xx, which some senders take as final.
OURS = Fault(503, "unavailable", "We cannot take this webhook now", retry_after=2)
# It is genuine, and its time is far from ours: one of two clocks is wrong, and it may be this one.
CLOCK = Fault(503, "clock", "We cannot tell the time of this webhook", retry_after=2)

FAULTS = (
    MALFORMED,
    BAD_SIGNATURE,
    STALE,
    UNKNOWN_PATH,
    WRONG_METHOD,
    TOO_SLOW,
    NO_LENGTH,
    TOO_LARGE,
    NOT_JSON,
    TOO_MANY,
    OURS,
    CLOCK,
)


class Refused(Exception):
    """This webhook is not taken. ``detail`` is shown to the sender: no value of ours in it.
    ``body`` is what was read of it by then."""

    def __init__(self, fault: Fault, detail: str, *, body: bytes | None = None) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.body = body


def problem(fault: Fault, detail: str) -> web.Response:
    """``application/problem+json`` with one sentence."""
    response = web.Response(
        status=fault.status,
        body=json.dumps({"title": fault.title, "status": fault.status, "detail": detail}).encode(),
        headers={"Content-Type": "application/problem+json"},
    )
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    if fault is WRONG_METHOD:
        response.headers["Allow"] = "POST"
    return response
