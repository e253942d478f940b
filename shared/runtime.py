"""Run a service: start its workers together, stop them together, leave nothing half done."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

import structlog

from shared import heap, tracing
from shared.connections import Connections
from shared.errors import Misconfigured
from shared.health import Health, serving_health
from shared.observability import configure_logging
from shared.process_metrics import tell_build, watch_the_loop
from shared.settings import CommonSettings, read_settings, summary

log = structlog.get_logger()

# A worker runs until `stop` is set, then finishes what it has in hand and returns.
Worker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

S = TypeVar("S", bound=CommonSettings)
Wiring = Callable[[S, Connections], Awaitable[tuple[Worker, ...]]]

# An orchestrator kills after 30 s by default: a drain that hangs must end by our own hand first.
HARD_EXIT_AFTER_DRAIN_S = 4.0
# What whoever leaves last has at the least, where the others used up all the time.
LAST_HAS_S = 1.0


class Last:
    """A worker that is told to stop when the others have ended: it sends on what they state until
    then."""

    def __init__(self, work: Worker) -> None:
        self._work = work

    async def __call__(self, stop: asyncio.Event) -> None:
        await self._work(stop)


async def run(*workers: Worker, grace_s: float, stop: asyncio.Event | None = None) -> None:
    """Run ``workers`` until SIGTERM, SIGINT or ``stop``; then let them finish for ``grace_s``, those
    that are ``Last`` after the others.

    Raises what a worker raised, after the others have been stopped. A worker that returns before
    it was asked to is a fault too: a service that quietly does nothing is worse than one that dies.
    """
    stop, others_ended = stop or asyncio.Event(), asyncio.Event()
    first = [_started(worker, stop) for worker in workers if not isinstance(worker, Last)]
    last = [_started(worker, others_ended) for worker in workers if isinstance(worker, Last)]
    tasks = [*first, *last]
    stopping = asyncio.create_task(stop.wait())
    clock = asyncio.get_running_loop().time
    try:
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        log.info("service.draining", grace_s=grace_s)
        until = clock() + grace_s
        late = await _late(first, within_s=grace_s)
        others_ended.set()
        late += await _late(last, within_s=max(LAST_HAS_S, until - clock()))
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    log.info("service.stopped", abandoned=len(late))
    failures = [o for o in outcomes if isinstance(o, Exception)]
    if failures:
        raise failures[0]


def _started(worker: Worker, stop: asyncio.Event) -> asyncio.Task[None]:
    return asyncio.create_task(_until_stopped(worker, stop))


async def _late(tasks: list[asyncio.Task[None]], *, within_s: float) -> list[asyncio.Task[None]]:
    """Those that have not ended by then."""
    if tasks:
        await asyncio.wait(tasks, timeout=within_s)
    return [task for task in tasks if not task.done()]


async def _until_stopped(worker: Worker, stop: asyncio.Event) -> None:
    await worker(stop)
    if not stop.is_set():
        raise RuntimeError(f"{worker!r} returned while its service was still running")


def main(
    service: str,
    settings_kind: type[S],
    wiring: Wiring[S],
    *,
    ready_without: Collection[str] = (),
) -> None:
    """The whole of a service's ``__main__``: settings, logging, workers, health, drain.

    ``ready_without`` are dependencies without which it still does its work.
    Exits 2 with one line per wrong setting, 1 after a failure, 0 after a clean drain.
    """
    heap.give_back()
    try:
        settings = read_settings(settings_kind)
    except Misconfigured as mistakes:
        sys.exit(_say(f"{service} cannot start:\n{mistakes}", code=2))
    configure_logging(service, level=settings.log_level, style=settings.log_format)
    send_what_is_left = _nothing
    try:
        send_what_is_left = tracing.export_to(
            settings.otel_exporter_otlp_endpoint,
            service=service,
            share=settings.otel_traces_sampler_arg,
        )
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(_serve(service, settings, wiring, ready_without))
    except Misconfigured as error:
        sys.exit(_say(f"{service} cannot run: {error}", code=2))
    except Exception:
        log.exception("service.failed")
        sys.exit(1)
    finally:
        send_what_is_left()


def _nothing() -> None:
    return


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows has none; everything works without
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(
    service: str, settings: S, wiring: Wiring[S], ready_without: Collection[str]
) -> None:
    stop = stop_on_signals(settings.drain_seconds)
    log.info("service.starting", **summary(settings))
    tell_build(service, revision=settings.revision)
    health = Health(service, does_without=ready_without)
    health.starting = True
    async with (
        serving_health(health, host=settings.health_host, port=settings.health_port, stop=stop),
        Connections(health) as connections,
    ):
        workers = await wiring(settings, connections)
        health.starting = False
        await run(*workers, watch_the_loop, grace_s=settings.drain_seconds, stop=stop)


def stop_on_signals(drain_s: float) -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets. The second one leaves at once.

    From the first one on, a clock runs: a drain that hangs past its time ends the process hard,
    which is safe, since what was not acknowledged is delivered again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        loop.call_later(drain_s + HARD_EXIT_AFTER_DRAIN_S, os._exit, 1)

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, on_signal)
    return stop


def _say(text: str, *, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code
