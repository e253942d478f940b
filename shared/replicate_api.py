"""Replicate over HTTP: the official client words each request, we read each answer ourselves.

Because its own reading loses what decides about money (``docs/decisions/0008``): how long a 429
asks us to wait, whether an unreadable 2xx was a purchase, whether anything was sent at all.
"""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NoReturn

import httpx
from prometheus_client import Counter, Histogram
from replicate.client import Client

from shared import tracing
from shared.clock import Clock, utc_now
from shared.domain.prediction import Prediction, Unreadable, read_prediction
from shared.errors import Permanent, Transient
from shared.settings import ReplicateSettings

CALLS = Counter(
    "darkroom_replicate_calls_total",
    "Calls of Replicate's API by what came of them.",
    ["call", "outcome"],
)
SECONDS = Histogram(
    "darkroom_replicate_call_seconds", "How long a call of Replicate's API took.", ["call"]
)

READ_WITHIN = timedelta(seconds=15)
CONNECT_WITHIN_S = 5.0
# Answers carry logs, echoed inputs and data URLs; a page of the list carries a hundred of them.
LARGEST_ANSWER = 64 * 1024 * 1024
# At the provider's largest rate of creates, a list of a whole day is shorter.
MOST_PAGES = 10_000
PAGE = 100
LONGEST_WAIT = timedelta(minutes=10)
WORDS_KEPT = 500
SHORTEST_LIFE = timedelta(seconds=5)  # that the provider takes as Cancel-After

_PREDICTION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WAIT_IN_WORDS = re.compile(r"resets in ~?\s*(\d+(?:\.\d+)?)\s*s")
_LINK = re.compile(r"\b(?:https?|data):\S+")
_SECRET = re.compile(r"\b(?:r8_|whsec_)\S+")


class Refused(Permanent):
    """400, 404, 422 and their like: nothing was bought, and the same again is refused again.

    ``detail`` is the provider's own reason in one line, without links.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"Replicate refused it ({code}): {detail}")
        self.code = code
        self.detail = detail


class AccountPaused(Transient):
    """401, 402, 403: nothing was bought, and nothing can be until an operator acts.

    The provider's words name a vendor and a billing page; they are left out.
    """

    def __init__(self, code: int) -> None:
        why = {401: "it does not take our token", 402: "the account has no credit left"}
        super().__init__(
            f"Replicate turns the account away ({code}): {why.get(code, 'it is not allowed')}"
        )
        self.code = code


class Throttled(Transient):
    """429: nothing was done. ``retry_after`` is None where the answer names no time."""

    def __init__(self, retry_after: timedelta | None) -> None:
        super().__init__("Replicate throttles us", retry_after=retry_after)


class NeverSent(Transient):
    """Not one byte of the request left: nothing can have been bought."""


class InDoubt(Transient):
    """Whether the call had its effect is unknown: 5xx, timeout, torn link, unreadable 2xx."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction as Replicate told it: read, and byte for byte (an entry of a list: as JSON)."""

    prediction: Prediction
    body: bytes


class Replicate:
    """The five calls that we make. Each ends within its deadline, in an answer or a typed error."""

    def __init__(self, token: str, base_url: str, wire: httpx.AsyncBaseTransport) -> None:
        self._token = token
        self._base_url = httpx.URL(base_url)
        self._wire = wire

    async def create(
        self,
        model: str,
        input: Mapping[str, Any],  # noqa: A002 - the provider's own name for it
        *,
        webhook: str | None,
        events: Sequence[str],
        deadline: timedelta,
        cancel_after: timedelta | None = None,
    ) -> Prediction:
        """Buy one prediction of ``model`` (``owner/name``, ``owner/name:version`` or a version).

        Sent at most once, and never after ``deadline``, whatever the process slept through. The
        provider itself ends what still runs ``cancel_after`` its creation (in whole seconds, five
        at least: it takes nothing shorter).
        Raises Refused, AccountPaused, Throttled, NeverSent or InDoubt; after each but the last
        nothing was bought.
        """
        asked: dict[str, Any] = (
            {"webhook": webhook, "webhook_events_filter": list(events)} if webhook else {}
        )
        body = await self._call(
            "create",
            lambda client: client.predictions.async_create(
                version=model, input=dict(input), **asked
            ),
            within=deadline,
            headers=None if cancel_after is None else {"Cancel-After": _duration(cancel_after)},
        )
        return _prediction(body)

    async def get(self, prediction_id: str) -> Answer:
        """Read one prediction. Raises as ``create``; ``Refused`` with 404 where there is none."""
        known = _path_safe(prediction_id)
        body = await self._call("get", lambda client: client.predictions.async_get(known))
        return Answer(_prediction(body), body)

    async def cancel(self, prediction_id: str) -> Answer:
        """Ask for the end of a prediction; the answer says how it stands. Raises as ``create``."""
        known = _path_safe(prediction_id)
        body = await self._call("cancel", lambda client: client.predictions.async_cancel(known))
        return Answer(_prediction(body), body)

    async def list_since(self, instant: datetime) -> AsyncIterator[tuple[Prediction, ...]]:
        """Every prediction of the account created after ``instant``, newest first, page by page.

        Ends only where the list is complete; whatever stops it earlier raises, so that an absence
        means something.
        """
        async for page in self.list_between(instant, None):
            yield tuple(answer.prediction for answer in page)

    async def list_between(
        self, after: datetime, before: datetime | None
    ) -> AsyncIterator[tuple[Answer, ...]]:
        """Every prediction of the account created in that span (None: until now), newest first.

        One request a page; a page may be empty, and may hold some from outside the span. Ends and
        raises as ``list_since``. The body of an entry is as long as the list's own wording of it.
        """
        cursor = f"/v1/predictions?created_after={_query_instant(after)}"
        if before is not None:
            cursor += f"&created_before={_query_instant(before)}"
        for _ in range(MOST_PAGES):
            body = await self._call("list", partial(_list_from, cursor))
            page, following = _page(body)
            yield page
            # Both bounds may be ignored; newest first, an older one says that we are through.
            oldest = (answer.prediction.created_at for answer in page)
            if following is None or any(created and created < after for created in oldest):
                return
            further = self._own_path(following)
            if further == cursor:
                raise InDoubt("the list of predictions goes round in a circle")
            cursor = further
        raise InDoubt(f"the list of predictions has more than {MOST_PAGES} pages")

    async def webhook_secret(self) -> str:
        """The secret with which the account's webhooks are signed."""
        body = await self._call("secret", lambda client: client.webhooks.default.async_secret())
        document = _json(body)
        secret = document.get("key") if isinstance(document, dict) else None
        if not isinstance(secret, str) or not secret.startswith("whsec_"):
            raise InDoubt("Replicate's answer holds no webhook secret")
        return secret

    async def _call(
        self,
        name: str,
        request: Callable[[Client], Awaitable[object]],
        *,
        within: timedelta = READ_WITHIN,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Make one request and return the body of its 2xx."""
        once = _Once(self._wire, within, headers or {})
        client = Client(self._token, base_url=str(self._base_url), transport=once, trust_env=False)
        outcome = "failed"
        try:
            with SECONDS.labels(name).time(), tracing.detail(f"replicate {name}", "client"):
                await request(client)
        except _Answered as answered:
            outcome = str(answered.status)
            if 200 <= answered.status < 300:
                return answered.body
            _raise_for(answered)
        except (NeverSent, InDoubt) as error:
            outcome = type(error).__name__
            raise
        finally:
            CALLS.labels(name, outcome).inc()
        raise RuntimeError("the official client made no request")

    def _own_path(self, url: str) -> str:
        """The path of a further page, if it is on the host that our token belongs to."""
        page = self._base_url.join(url)
        ours = self._base_url
        if (page.scheme, page.host, page.port) != (ours.scheme, ours.host, ours.port):
            raise InDoubt("the list of predictions goes on at another host")
        return page.raw_path.decode("ascii")


@asynccontextmanager
async def open_replicate(settings: ReplicateSettings) -> AsyncIterator[Replicate]:
    """The way to Replicate's API; nothing is sent before the first call."""
    wire = httpx.AsyncHTTPTransport(
        # A link that lay idle for long may be torn when we use it next, which puts a purchase in
        # doubt; a new link costs milliseconds.
        limits=httpx.Limits(max_connections=100, keepalive_expiry=2.0),
    )
    try:
        yield Replicate(
            settings.replicate_api_token.get_secret_value(), settings.replicate_base_url, wire
        )
    finally:
        await wire.aclose()


class _Answered(Exception):
    """An answer came. It passes by the official client, which would retry, judge and thin it."""

    def __init__(self, status: int, headers: httpx.Headers, body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class _Once(httpx.AsyncBaseTransport):
    """Sends one request at most once and ends within its time; knows whether any of it left."""

    def __init__(
        self, wire: httpx.AsyncBaseTransport, within: timedelta, headers: Mapping[str, str]
    ) -> None:
        self._wire = wire
        self._within_s = within.total_seconds()
        # The official client takes headers for all of its requests or for none.
        self._headers = headers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._within_s
        left = False

        async def watch(step: str, _about: object) -> None:
            nonlocal left
            if step.endswith("send_request_headers.started"):
                # A process that was stopped and goes on must not buy after its lease.
                if loop.time() >= until:
                    raise NeverSent("the time for the call was over before it could be sent")
                left = True

        request.headers.update(self._headers)
        request.extensions["trace"] = watch
        request.extensions["timeout"] = {"connect": CONNECT_WITHIN_S}
        try:
            async with asyncio.timeout_at(until):
                response = await self._wire.handle_async_request(request)
                try:
                    body = await _bounded(response)
                finally:
                    await response.aclose()
        except (httpx.RequestError, TimeoutError) as error:
            what = f"{type(error).__name__} after {self._within_s:g} s at most"
            if left:
                raise InDoubt(f"Replicate's answer was lost: {what}") from error
            raise NeverSent(f"Replicate could not be reached: {what}") from error
        raise _Answered(response.status_code, response.headers, body)


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise InDoubt("Replicate's answer is too large")
    return bytes(body)


def _raise_for(answer: _Answered) -> NoReturn:
    status = answer.status
    if status in (401, 402, 403):
        raise AccountPaused(status)
    if status == 429:
        raise Throttled(retry_after(answer.headers, answer.body, now=utc_now))
    if 400 <= status < 500 and status not in (408, 409):
        raise Refused(status, reason_of(answer.body) or "without a reason")
    raise InDoubt(f"Replicate answered {status}")


def retry_after(headers: Mapping[str, str], body: bytes, *, now: Clock) -> timedelta | None:
    """How long a 429 asks us to wait: in its body, its header, or its words; None: not said."""
    document = _object(body)
    for said in (
        _seconds(document.get("retry_after")),
        _header_seconds(headers.get("retry-after"), now),
        _seconds(m[1] if (m := _WAIT_IN_WORDS.search(str(document.get("detail")))) else None),
    ):
        if said is not None:
            return min(timedelta(seconds=said), LONGEST_WAIT)
    return None


def reason_of(body: bytes) -> str | None:
    """The provider's reason in one line, without links (ours expire, theirs lead elsewhere)."""
    document = _object(body)
    told = next((t for k in ("detail", "title") if isinstance(t := document.get(k), str) and t), "")
    lines = (line.strip().removeprefix("- ").strip() for line in told.splitlines())
    words = "; ".join(line for line in lines if line)
    return _SECRET.sub("***", _LINK.sub("(link)", words))[:WORDS_KEPT] or None


def _header_seconds(value: str | None, now: Clock) -> float | None:
    if value is None:
        return None
    try:
        return max(0.0, (parsedate_to_datetime(value) - now()).total_seconds())
    except (ValueError, TypeError):
        return _seconds(value.strip())


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InDoubt("Replicate's answer is not JSON") from error


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = _json(body)
    except InDoubt:  # an error page of something on the way
        return {}
    return document if isinstance(document, dict) else {}


def _prediction(body: bytes) -> Prediction:
    try:
        return read_prediction(body)
    except Unreadable as error:
        raise InDoubt(f"Replicate's answer is no prediction: {error}") from error


def _page(body: bytes) -> tuple[tuple[Answer, ...], str | None]:
    document = _json(body)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list):
        raise InDoubt("Replicate's answer is no list of predictions")
    try:
        page = tuple(
            Answer(read_prediction(result), json.dumps(result, ensure_ascii=False).encode())
            for result in results
        )
    except Unreadable as error:
        raise InDoubt(f"an entry of Replicate's list is no prediction: {error}") from error
    following = document.get("next")
    return page, following if isinstance(following, str) and following else None


async def _list_from(cursor: str, client: Client) -> None:
    await client.predictions.async_list(cursor)


def _path_safe(prediction_id: str) -> str:
    # Ids come from bodies; one with a slash in it would ask another question.
    if not _PREDICTION_ID.fullmatch(prediction_id):
        raise Refused(404, "this cannot be the id of a prediction")
    return prediction_id


def _query_instant(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _duration(lasting: timedelta) -> str:
    """As the provider reads it, rounded up: never shorter than it was meant."""
    return f"{math.ceil(max(lasting, SHORTEST_LIFE).total_seconds())}s"
