"""What a process says of itself: alive, ready (each dependency by name), and its metrics."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

log = structlog.get_logger()

Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S = 2.0


class Health:
    """The checks of one process. A check returns, or raises with the reason. ``does_without`` are
    dependencies whose state is told, and without which the process is ready all the same.
    ``starting``: not all of its checks are known yet, so it cannot be ready."""

    def __init__(self, service: str, *, does_without: Collection[str] = ()) -> None:
        self.service = service
        self.starting = False
        self.draining = False
        self._does_without = frozenset(does_without)
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    async def report(self) -> dict[str, str]:
        """Every dependency's state: ``ok``, or why not. Never raises."""
        states = await asyncio.gather(*(self._state(check) for check in self._checks.values()))
        return dict(zip(self._checks, states, strict=True))

    def is_ready(self, states: Mapping[str, str]) -> bool:
        """Whether work may be sent here, as ``report`` has it."""
        return not (self.starting or self.draining) and all(
            state == "ok" for name, state in states.items() if name not in self._does_without
        )

    async def _state(self, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_S:g} s"
        except Exception as error:  # noqa: BLE001 - whatever is wrong is the answer
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return "ok"


def health_routes(health: Health) -> list[web.RouteDef]:
    """``/healthz`` (the loop runs), ``/readyz`` (each dependency by name), ``/metrics``."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"service": health.service, "alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        states = await health.report()
        ready = health.is_ready(states)
        return web.json_response(
            {"service": health.service, "ready": ready, "draining": health.draining, **states},
            status=200 if ready else 503,
        )

    async def metrics(_request: web.Request) -> web.Response:
        # The registry is small and in memory; collecting it takes about a millisecond.
        return web.Response(
            body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


@asynccontextmanager
async def serving_health(
    health: Health, *, host: str, port: int, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Serve the health routes. From ``stop`` on they answer not ready, and they do answer as long
    as the context lasts: whoever drains is alive, and its numbers are looked at."""

    async def leave() -> None:
        await stop.wait()
        health.draining = True

    app = web.Application()
    app.add_routes(health_routes(health))
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=15, shutdown_timeout=1)
    await runner.setup()
    leaving = asyncio.create_task(leave())
    try:
        await web.TCPSite(runner, host, port).start()
        log.info("health.listening", addresses=[str(a) for a in runner.addresses])
        yield
    finally:
        leaving.cancel()
        await runner.cleanup()
