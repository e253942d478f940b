"""Every request, from its headers to its answer: who asks, within which limits, what comes of it."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import HttpVersion11, web
from prometheus_client import Counter, Gauge, Histogram
from pydantic import TypeAdapter

from services.api import cors, frames, tickets
from services.api.asked import job_id_of
from services.api.endpoints import ENDPOINTS, EVENTS, Endpoint
from services.api.fan_out import FanOut, NotThere
from services.api.gate import ANYBODY, Asker, Gate
from services.api.problems import (
    BROKEN,
    TOO_MANY,
    UNAVAILABLE,
    UNKNOWN_PATH,
    UNMET,
    UNREADABLE,
    WRONG_METHOD,
    Problem,
    Refused,
)
from services.api.reading import Reading
from services.api.turns import Turns
from shared import tracing
from shared.domain.trace import read_traceparent
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.throttle import Throttle

log = structlog.get_logger()

REQUESTS = Counter(
    "darkroom_api_requests_total",
    "Requests by what was asked and answered.",
    ["operation", "status"],
)
SECONDS = Histogram(
    "darkroom_api_seconds",
    "From a request's headers to its answer, streams aside.",
    ["operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_HAND = Gauge("darkroom_api_in_progress", "Requests between their headers and their answer.")
TOO_SLOW_WATCHERS = Counter(
    "darkroom_api_slow_watchers_total", "Streams that were ended because their line took nothing."
)

# Streams: how often a quiet one shows that it lives, how long one frame may take to leave, and how
# much of it the system may hold for a line that is slow.
BEAT_S = 15.0
WRITE_WITHIN_S = 20.0
SEND_BUFFER = 64 * 1024

# Of the questions of one sender: half of what the database answers at a time, so that somebody who
# asks for a hundred long lists at once leaves room for others.
READ_AT_ONCE = 4
WAITING_AT_MOST = 100

# Instead of the name and version of what runs here.
SERVER = "darkroom"
NO_STORE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
)

_PROBLEM = TypeAdapter(Problem)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers: an instance of its endpoint's class."""

    what: Any
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """What is answered as it stands."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in."""

    request: web.Request
    asker: Asker


Operation = Callable[[Asked], Awaitable[Answer | Text]]
Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[web.Request, Refused], web.StreamResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    per_second: float
    answer_s: float


class ApiApp:
    """Answers requests. ``operations`` by the names of their endpoints; events are its own."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        *,
        gate: Gate,
        reading: Reading,
        fan_out: FanOut,
        limits: Limits,
        origins: tuple[str, ...],
    ) -> None:
        self._operations = operations
        self._gate = gate
        self._reading = reading
        self._fan_out = fan_out
        self._limits = limits
        self._throttle = Throttle(limits.per_second)
        self._turns = Turns(READ_AT_ONCE)
        self._origins = origins
        self._writers: dict[str, TypeAdapter[Any]] = {
            endpoint.name: TypeAdapter(endpoint.answer)
            for endpoint in ENDPOINTS
            if endpoint.answer is not None
        }
        self._in_hand = 0
        self._leaving = False
        self._idle: asyncio.Event | None = None  # there from the moment that we drain
        IN_HAND.set_function(lambda: self._in_hand)
        for endpoint in ENDPOINTS:
            REQUESTS.labels(endpoint.name, str(endpoint.status))
            SECONDS.labels(endpoint.name)

    def leave(self) -> None:
        """From now on streams end, and callers are told to come again on new connections."""
        self._leaving = True
        self._fan_out.leave()

    async def drain(self) -> None:
        """Return when nothing is in hand any more."""
        self._idle = asyncio.Event()
        if self._in_hand:
            await self._idle.wait()

    def web_app(self, *more: web.RouteDef) -> web.Application:
        app = web.Application(middlewares=[self._in_our_words])
        app.on_response_prepare.append(_unnamed)
        by_path: dict[str, list[Endpoint]] = {}
        for endpoint in ENDPOINTS:
            by_path.setdefault(endpoint.path, []).append(endpoint)
        for path, there in by_path.items():
            resource = app.router.add_resource(path)
            for endpoint in there:
                served = self._endpoint(endpoint)
                resource.add_route(endpoint.method, served, expect_handler=self._expected)
                if endpoint.method == "GET" and endpoint is not EVENTS:
                    resource.add_route("HEAD", served, expect_handler=self._expected)
            resource.add_route("*", self._other_methods(there), expect_handler=self._expected)
        everything_else = web.route("*", "/{path:.*}", self._elsewhere)
        for one in (*more, everything_else):
            expecting = {"expect_handler": self._expected, **one.kwargs}
            web.route(one.method, one.path, one.handler, **expecting).register(app.router)
        return app

    def unread(self, status: int) -> web.Response:
        """The answer to what is no HTTP; also where aiohttp itself fails."""
        kind = UNREADABLE if status < 500 else BROKEN
        what = "this is not HTTP as we read it" if status < 500 else "something of ours failed"
        response = _written(Refused(kind, what))
        response.headers.update({**NO_STORE, "Content-Security-Policy": POLICY, "Server": SERVER})
        return response

    def served(self, name: str, respond: Respond, refuse: Refuse, *, timed: bool = True) -> Respond:
        """``respond`` as requests meet it: counted under ``name``, awaited by ``drain``, and with an
        answer whatever happens: ``refuse`` makes it of what came up."""

        async def handle(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            async with self._held():
                try:
                    answer = await respond(request)
                except Refused as refused:
                    answer = refuse(request, refused)
                except (DatabaseUnavailable, Transient, TimeoutError) as error:
                    log.warning("api.unavailable", operation=name, reason=str(error))
                    answer = refuse(request, Refused(UNAVAILABLE, "come again in a moment"))
                except Permanent as error:
                    log.exception("api.failed", operation=name, reason=str(error))
                    answer = refuse(request, Refused(BROKEN, "something of ours failed"))
                except Exception:
                    log.exception("api.failed", operation=name)
                    answer = refuse(request, Refused(BROKEN, "something of ours failed"))
            REQUESTS.labels(name, str(answer.status)).inc()
            if timed:
                SECONDS.labels(name).observe(time.perf_counter() - began)
            if self._leaving:
                answer.force_close()  # the next one goes to somebody who stays
            return answer

        return handle

    def _endpoint(self, endpoint: Endpoint) -> Respond:
        async def respond(request: web.Request) -> web.StreamResponse:
            return await self._answered(endpoint, request)

        return self.served(endpoint.name, respond, self._problem, timed=endpoint is not EVENTS)

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1
            if self._idle is not None and not self._in_hand:
                self._idle.set()

    async def _answered(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        with tracing.going_on(read_traceparent(request.headers.get("traceparent"))):
            if endpoint is EVENTS:
                return await self._events(request)
            async with asyncio.timeout(self._limits.answer_s):
                asker = ANYBODY
                if endpoint.scope is not None:
                    asker = await self._gate.let_in(request, endpoint.scope)
                    self.check_pace(request, asker)
                told = await self._told(endpoint, Asked(request, asker))
            if isinstance(told, Text):
                response = web.Response(body=told.body, content_type=told.content_type)
                if told.content_type == "application/json":
                    response.headers["Content-Type"] = "application/json"
            else:
                response = web.Response(
                    status=endpoint.status,
                    body=self._writers[endpoint.name].dump_json(told.what, by_alias=True),
                    headers={"Content-Type": "application/json", **(told.headers or {})},
                )
            return self._finished(request, response)

    async def _told(self, endpoint: Endpoint, asked: Asked) -> Answer | Text:
        operate = self._operations[endpoint.name]
        if endpoint.scope is None or endpoint.body is not None:
            return await operate(asked)  # a body that comes slowly keeps nobody else waiting
        async with self.in_turn(asked.request, asked.asker):
            return await operate(asked)

    @asynccontextmanager
    async def in_turn(self, request: web.Request, asker: Asker) -> AsyncIterator[None]:
        """While it is the turn of whoever asks. Raises Refused where too much of theirs waits."""
        sender = _sender(request, asker)
        if self._turns.waiting(sender) >= WAITING_AT_MOST:
            raise Refused(TOO_MANY, "too much that this token asked is not answered yet")
        async with self._turns.of(sender):
            yield

    def check_pace(self, request: web.Request, asker: Asker) -> None:
        """Raises Refused where whoever asks has asked too often."""
        if not self._throttle.takes(_sender(request, asker), now=time.monotonic()):
            raise Refused(TOO_MANY, "this token asks too often: come again in a second")

    # ---- events

    async def _events(self, request: web.Request) -> web.StreamResponse:
        job_id = job_id_of(request)
        asker = await self._gate.let_in_to_events(request, job_id)
        try:
            self._check_room(request, asker)
        except Refused:
            # Who leaves sends everybody to another replica, or to whoever comes after it.
            if tickets.PARAMETER not in request.query and not self._leaving:
                raise
            return self._come_again(request)
        has = frames.last_seen(request.headers.get("Last-Event-ID"))
        try:
            async with self._fan_out.enter(job_id, has=has) as watcher:
                if watcher.knows_the_end:
                    return self._finished(request, web.Response(status=204))
                response = web.StreamResponse(
                    headers={
                        "Content-Type": "text/event-stream",
                        "X-Accel-Buffering": "no",  # a proxy that gathers would hold news back
                        **NO_STORE,
                        **cors.of_answer(request.headers.get("Origin"), self._origins),
                    }
                )
                response.force_close()
                _bound_what_waits(request)
                await response.prepare(request)
                # Not all at the same moment, where many come back from a server that left.
                wait_ms = 500 + int(random.random() * 2500)  # noqa: S311
                told: bytes | None = frames.begin(come_again_ms=wait_ms)
                try:
                    while told is not None:
                        await self._write(request, response, told)
                        told = await watcher.next(within=BEAT_S)
                        if told is not None and not self._gate.still_lets_in(asker):
                            await self._write(request, response, frames.SHUT)
                            break
                    if self._leaving:
                        await self._write(request, response, frames.LEAVING)
                    async with asyncio.timeout(WRITE_WITHIN_S):
                        await response.write_eof()
                except (ConnectionError, TimeoutError):
                    pass  # whoever watched is gone, or its line took nothing for too long
                return response
        except NotThere:
            raise await self._reading.why_unknown(job_id) from None

    def _check_room(self, request: web.Request, asker: Asker) -> None:
        """Raises Refused where there is none for one more stream."""
        self.check_pace(request, asker)
        if self._fan_out.full or self._leaving:
            raise Refused(TOO_MANY, "as many streams are open as there may be: come again")

    def _come_again(self, request: web.Request) -> web.Response:
        """To a browser that there is no room for. It takes whatever is no stream for the last word
        and never comes back, and behind one token there may be a thousand of them at once."""
        wait_ms = 2000 + int(random.random() * 6000)  # noqa: S311
        response = web.Response(
            body=frames.begin(come_again_ms=wait_ms) + frames.LATER,
            headers={"Content-Type": "text/event-stream"},
        )
        response.force_close()
        return self._finished(request, response)

    async def _write(
        self, request: web.Request, response: web.StreamResponse, frame: bytes
    ) -> None:
        try:
            async with asyncio.timeout(WRITE_WITHIN_S):
                await response.write(frame)
        except TimeoutError:
            TOO_SLOW_WATCHERS.inc()
            if request.transport is not None:
                request.transport.abort()
            raise

    # ---- what is nobody's operation

    def _other_methods(self, there: list[Endpoint]) -> Respond:
        methods = {endpoint.method for endpoint in there}
        if "GET" in methods and EVENTS not in there:
            methods.add("HEAD")

        async def handle(request: web.Request) -> web.StreamResponse:
            allow = ", ".join(sorted({*methods, "OPTIONS"}))
            origin = request.headers.get("Origin")
            if request.method == "OPTIONS":
                headers = cors.of_preflight(origin, self._origins, methods)
                return web.Response(status=204, headers={"Allow": allow, **NO_STORE, **headers})
            refused = Refused(
                WRONG_METHOD,
                f"use {' or '.join(sorted(methods))} here",
                headers={"Allow": allow},
            )
            return self._problem(request, refused)

        return handle

    @web.middleware
    async def _in_our_words(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """What the router itself refuses, such as a target that is no path."""
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return await self._elsewhere(request)

    async def _expected(self, request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Expect", "").strip().lower() != "100-continue":
            return self._problem(request, Refused(UNMET, "leave the Expect header out"))
        if request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer itself is still to come
        return None

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        return self._problem(request, Refused(UNKNOWN_PATH, "/v1 says what there is"))

    def _problem(self, request: web.Request, refused: Refused) -> web.Response:
        response = _written(refused)
        if not request.content.is_eof():
            response.force_close()  # what is left of the body is not worth reading
        return self._finished(request, response)

    def _finished(self, request: web.Request, response: web.Response) -> web.Response:
        response.headers.update(NO_STORE)
        response.headers.update(cors.of_answer(request.headers.get("Origin"), self._origins))
        response.headers["Content-Security-Policy"] = POLICY
        return response


def _sender(request: web.Request, asker: Asker) -> str:
    """Whose share of the server a request takes."""
    return asker.name or request.remote or ""


def _written(refused: Refused) -> web.Response:
    response = web.Response(
        status=refused.kind.status,
        body=_PROBLEM.dump_json(refused.problem, exclude_none=True),
        headers={"Content-Type": "application/problem+json", **refused.headers},
    )
    if refused.kind.retry_after is not None:
        response.headers["Retry-After"] = str(refused.kind.retry_after)
    return response


async def _unnamed(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


def _bound_what_waits(request: web.Request) -> None:
    """Of one who reads slowly little is held: it is the newest state that is worth sending."""
    transport = request.transport
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
