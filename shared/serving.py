"""How a service listens to HTTP: bounded in headers, connections and patience."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from shared.health import Health

log = structlog.get_logger()

# Longer than proxies and clients keep an idle connection (nginx and Amazon's balancer 60 s, aiohttp
# 15 s), so that they end it and not we: a webhook that sets out on it as we end it is lost (with 15 s
# two of 85 that came 15 s after a burst).
KEEPALIVE_S = 75.0
# For the headers of the first request on a connection; aiohttp would wait as long as for the next one.
FIRST_REQUEST_S = 15.0
# How long what is left of a refused body is read, so that the sender gets to see the answer.
LINGER_S = 0.5
HEADER_LINE_BYTES = 8190
HEADERS_AT_MOST = 64
BACKLOG = 512
# A sender's request is under way while the door closes: it is on the wire, or in a proxy's buffer.
# Each connection is closed with the answer to its next request; after so long a silence on all of them
# what is left can only be one that begins in the very moment when it is closed.
QUIET_S = 0.25
# A listener that closes cuts off who has connected and was not let in yet, so it stays open for a few
# turns of the loop at the least.
LET_IN_S = 0.1
SPARE_FILES = 200  # for broker, database, bucket and what the interpreter opens


def serve(
    app: web.Application,
    health: Health,
    *,
    name: str,
    host: str,
    port: int,
    connections: int,
    leave: Callable[[], None],
    drain: Callable[[], Awaitable[None]],
    drain_s: float,
    linger_s: float = 0.0,
    unread: Callable[[int], web.Response] | None = None,
) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
    """The worker that serves ``app``; ``name`` is for the log. When told to stop it says so in
    ``/readyz`` first and to each sender (``leave``), goes on for ``linger_s``, until whoever shares
    the work has seen that, then closes its door, and finishes what it has in hand (``drain`` returns
    when that is done) and what is under way on connections that are open. ``unread`` answers, by its
    status, what is no HTTP, which no app gets to see; without it that is a line of text."""

    site: _BoundedSite | None = None

    async def listens() -> None:
        if site is None:
            raise RuntimeError("it does not listen yet")

    health.add("http", listens)

    async def worker(stop: asyncio.Event) -> None:
        nonlocal site
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=LINGER_S)
        bounds: dict[str, Any] = {
            "access_log": None,
            "logger": _server_logger(name),
            "keepalive_timeout": KEEPALIVE_S,
            "lingering_time": LINGER_S,
            "auto_decompress": False,  # a compressed body is refused, not blown up first
            "max_line_size": HEADER_LINE_BYTES,
            "max_field_size": HEADER_LINE_BYTES,
            "max_headers": HEADERS_AT_MOST,
        }
        heard = _Heard()
        await runner.setup()
        try:

            def speaker(server: web.Server) -> asyncio.BaseProtocol:
                return _Speaker(server, heard=heard, unread=unread, bounds=bounds)

            opened = _BoundedSite(runner, host, port, connections=connections, speaker=speaker)
            await opened.start()
            site = opened
            log.info(f"{name}.listening", addresses=[str(a) for a in runner.addresses])
            await stop.wait()
            health.draining = True
            leave()
            await asyncio.sleep(max(linger_s, LET_IN_S))
            await opened.stop()
            # aiohttp's own drain stops reading: a body that is half here would never be whole.
            heard.note()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(1.0, drain_s - linger_s)):
                    await drain()
                    while (noise := heard.quiet_in()) > 0:
                        await asyncio.sleep(noise)
                        await drain()
        finally:
            await runner.cleanup()

    return worker


def room_for(connections: int) -> int:
    """How many connections may be open here, after the system was asked for enough open files."""
    try:
        import resource
    except ImportError:  # Windows counts otherwise
        return connections
    least = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        soft = least if hard == resource.RLIM_INFINITY else min(hard, least)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= least:
        return connections
    log.warning("connections.fewer", wanted=connections, allowed=soft - SPARE_FILES)
    return max(1, soft - SPARE_FILES)


def _server_logger(name: str) -> logging.Logger:
    """aiohttp's errors about what it cannot read quote it; a body must not get into a log."""

    def without_quotes(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0]:
            if issubclass(record.exc_info[0], HttpProcessingError):
                # Whoever scans ports would fill the log with errors that are none of ours.
                record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg = f"{record.msg} ({record.exc_info[0].__name__})"
            record.exc_info = None
        return record.levelno >= logging.getLogger().getEffectiveLevel()

    logger = logging.getLogger(f"aiohttp.server.{name}")
    logger.filters[:] = [without_quotes]
    return logger


class _Heard:
    """When anything was last read from anybody."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._at = self._clock()

    def note(self) -> None:
        self._at = self._clock()

    def quiet_in(self) -> float:
        """Seconds until nothing has come for ``QUIET_S``, should nothing come."""
        return self._at + QUIET_S - self._clock()


class _Speaker(web.RequestHandler):
    """One connection. What cannot be read is answered as everything else is."""

    __slots__ = ("_end_of_patience", "_heard", "_unread")

    def __init__(
        self,
        server: web.Server,
        *,
        heard: _Heard,
        unread: Callable[[int], web.Response] | None,
        bounds: Mapping[str, Any],
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **bounds)
        self._heard = heard
        self._unread = unread
        self._end_of_patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._end_of_patience = self._loop.call_later(FIRST_REQUEST_S, self._end_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._end_of_patience is not None:
            self._end_of_patience.cancel()
        super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        if not self._request_count:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        self._heard.note()
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # It logs, and it raises where an answer has begun already.
        answer = super().handle_error(request, status, exc, message)
        if self._unread is None:
            return answer
        told = self._unread(status)
        told.force_close()
        return told


class _Full(asyncio.Protocol):
    """What a connection gets that is one too many: the end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _BoundedSite(web.BaseSite):
    """A TCP port with at most ``connections`` open at a time."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        connections: int,
        speaker: Callable[[web.Server], asyncio.BaseProtocol],
    ) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._host, self._port, self._connections = host, port, connections
        self._speaker = speaker

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner must be set up first")

        def protocol() -> asyncio.BaseProtocol:
            full = len(server.connections) >= self._connections
            return _Full() if full else self._speaker(server)

        self._server = await asyncio.get_running_loop().create_server(
            protocol, self._host, self._port, backlog=self._backlog
        )
