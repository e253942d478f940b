"""Everything that is asked of the API, step by step, without input or output: a generator yields what
is to be sent (``Ask``) or waited (``Pause``) and is given what came back (``Answer`` or ``Lost``).

So what is asked, when it is asked again and how answers are read stands here once; the two clients
only carry it out.
"""

import json
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from darkroom_client import shapes
from darkroom_client.errors import NotYet, Refused, Unanswered
from darkroom_client.shapes import Job, JobId, JobLine, Json, Ordered, Standing, Upload

TRIES = 5
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
LOOKS_FIRST_S = 0.5
LOOKS_AT_LEAST_S = 5.0
LARGEST_ANSWER = 64 * 1024 * 1024
# Another try of these may be answered otherwise.
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. ``elsewhere``: its address is whole, and not the API's: no token goes there."""

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is done for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing came back; whether it arrived is not known."""

    why: str


R = TypeVar("R")
Steps = Generator[Ask | Pause, Answer | Lost | None, R]


def checked_url(url: str) -> str:
    """The API's address. Raises ValueError where a token would travel in the open."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_near(host))
    if is_safe and host and not (parts.username or parts.password or parts.query):
        return url.rstrip("/")
    raise ValueError("the address must be https (http only on this machine), without user info")


def without_proxy(url: str) -> dict[str, None]:
    """What a proxy of the environment is not asked for: an API on this machine by plain http, where
    it would read the token."""
    parts = urlsplit(url)
    return {f"{parts.scheme}://{parts.netloc}": None} if parts.scheme == "http" else {}


def token_headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


# ---- what may be asked


def submit(recipe: str, *, idempotency_key: str | None, **order: Any) -> Steps[Ordered]:
    """An order that names its job may be sent any number of times; another one gets a key, so that a
    try whose answer was lost orders nothing twice."""
    body = shapes.order_body(recipe, **order)
    if idempotency_key is None and "job_id" not in body:
        idempotency_key = str(uuid4())
    ask = _posted(shapes.JOBS, body, _keyed(idempotency_key))
    return _read(shapes.ordered, (yield from _asked(ask)))


def place_for(content_type: str, *, size: int, idempotency_key: str | None) -> Steps[Upload]:
    body = shapes.upload_body(content_type, size=size)
    ask = _posted(shapes.UPLOADS, body, _keyed(idempotency_key))
    return _read(shapes.upload, (yield from _asked(ask)))


def put(place: Upload, data: bytes) -> Steps[None]:
    ask = Ask(method=place.method, path=place.url, body=data, headers=place.headers, elsewhere=True)
    yield from _sent(ask)


def upload(data: bytes, content_type: str, *, idempotency_key: str | None) -> Steps[Upload]:
    place = yield from place_for(content_type, size=len(data), idempotency_key=idempotency_key)
    yield from put(place, data)
    return place


def job(job_id: JobId) -> Steps[Job]:
    return _read(shapes.job, (yield from _asked(Ask(method="GET", path=shapes.job_path(job_id)))))


def page(
    filters: Mapping[str, str], cursor: str | None
) -> Steps[tuple[tuple[JobLine, ...], str | None]]:
    params = dict(filters) | ({} if cursor is None else {"cursor": cursor})
    ask = Ask(method="GET", path=shapes.JOBS, params=params)
    return _read(shapes.page, (yield from _asked(ask)))


def cancel(job_id: JobId, *, reason: str | None) -> Steps[None]:
    body = {} if reason is None else {"reason": reason}
    yield from _asked(_posted(shapes.cancel_path(job_id), body))


def retry(job_id: JobId, *, idempotency_key: str | None) -> Steps[Ordered]:
    ask = Ask(
        method="POST",
        path=shapes.retry_path(job_id),
        headers=_keyed(idempotency_key or str(uuid4())),
    )
    return _read(shapes.ordered, (yield from _asked(ask)))


def recipes() -> Steps[Json]:
    return (yield from _asked(Ask(method="GET", path=shapes.RECIPES)))


def wait(
    job_id: JobId, *, within_s: float | None, with_report: bool, clock: Callable[[], float]
) -> Steps[Job]:
    """Look until the job has ended (``with_report``: until nothing more will come of it). Raises
    NotYet."""
    until = None if within_s is None else clock() + within_s
    rest = LOOKS_FIRST_S
    while True:
        found = yield from job(job_id)
        if found.is_final or (found.has_ended and not with_report):
            return found
        left = None if until is None else until - clock()
        if left is not None and left <= 0:
            raise NotYet(f"job {job_id} is {found.state}, {found.stored} of {found.n} stored")
        yield Pause(rest if left is None else min(rest, left))
        rest = min(LOOKS_AT_LEAST_S, rest * 1.5)


def events_of(job_id: JobId, last_id: str) -> Ask:
    """The request that opens a stream, or goes on with it after the state ``last_id``."""
    seen = {shapes.LAST_EVENT_ID: last_id} if last_id else {}
    return Ask(
        method="GET",
        path=shapes.events_path(job_id),
        headers={"Accept": "text/event-stream", "Cache-Control": "no-store", **seen},
    )


class Reopening:
    """When a stream that broke is opened again, and when it is given up: after ``TRIES`` in a row
    that told nothing."""

    def __init__(self) -> None:
        self._in_vain = 0

    def told(self, _standing: Standing) -> None:
        self._in_vain = 0

    def pause(self, result: Answer | Lost | None, wished_s: float | None) -> float:
        """How long to wait. ``result``: why it did not open; None: it broke. Raises Refused or
        Unanswered."""
        if isinstance(result, Answer) and result.status not in AGAIN:
            raise refusal(result)
        self._in_vain += 1
        if self._in_vain >= TRIES:
            raise _unanswered(result or Lost("the stream broke"))
        wait_s = _wait_s(self._in_vain, result)
        return wait_s if wished_s is None else max(wait_s, wished_s)


def refusal(answer: Answer) -> Refused:
    """What a problem says, as it stands in ``application/problem+json``."""
    said = _object(answer.body) or {}
    instance = said.get("instance")
    detail = said.get("detail") or said.get("title") or "the API refuses it"
    return Refused(
        str(detail),
        status=answer.status,
        code=str(said.get("code") or ""),
        faults=shapes.faults(said),
        instance=str(instance) if instance else None,
    )


# ---- how it is asked


def _keyed(idempotency_key: str | None) -> dict[str, str]:
    return {} if idempotency_key is None else {shapes.IDEMPOTENCY_KEY: idempotency_key}


def _posted(path: str, body: Json, headers: Mapping[str, str] | None = None) -> Ask:
    return Ask(
        method="POST",
        path=path,
        body=json.dumps(body, ensure_ascii=False, allow_nan=False).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def _asked(ask: Ask) -> Steps[Json]:
    answer = yield from _sent(ask)
    said = _object(answer.body)
    if said is None:
        raise Unanswered(f"{ask.method} {ask.path} is answered by no JSON object")
    return said


def _read(reader: Callable[[Json], R], said: Json) -> R:
    try:
        return reader(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unanswered(f"the answer cannot be read: {type(error).__name__}") from error


def _sent(ask: Ask) -> Steps[Answer]:
    """Everything here may be asked twice: orders have a key, and the rest changes nothing more."""
    result: Answer | Lost | None = None
    for tried in range(1, TRIES + 1):
        result = yield ask
        if isinstance(result, Answer):
            if 200 <= result.status < 300:
                return result
            if result.status not in AGAIN:
                raise refusal(result)
        if tried < TRIES:
            yield Pause(_wait_s(tried, result))
    raise _unanswered(result)


def _wait_s(tried: int, result: Answer | Lost | None) -> float:
    """Twice as long each time, with jitter, and never shorter than the API asks."""
    most = min(LONGEST_WAIT_S, FIRST_WAIT_S * (1 << (tried - 1)))
    wait_s = most * (0.5 + random.random() / 2)  # noqa: S311
    asked = result.headers.get("retry-after", "") if isinstance(result, Answer) else ""
    if asked.isascii() and asked.isdecimal() and len(asked) < 5:
        return max(wait_s, min(float(asked), LONGEST_WAIT_S))
    return wait_s


def lost(url: str, ask: Ask, error: Exception) -> Lost:
    """What was asked of the API at ``url``, or of the place that it named, came to nothing. An address
    that opens a place without a token is not told."""
    kind = type(error).__name__
    if ask.elsewhere:
        return Lost(f"{urlsplit(ask.path).hostname} does not answer: {kind}")
    return Lost(f"the API at {url} does not answer: {kind}")


def _unanswered(result: Answer | Lost | None) -> Unanswered:
    if isinstance(result, Answer):
        return Unanswered(str(refusal(result)))
    return Unanswered(result.why if result else "nothing was asked")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _is_near(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
