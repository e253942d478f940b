"""Do something again and again: the one loop behind everything that the reconciler decides."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

import structlog
from prometheus_client import Counter, Gauge

from shared.errors import DatabaseUnavailable, Transient
from shared.runtime import Worker

log = structlog.get_logger()

DONE = Counter("darkroom_reconciler_healed_total", "What the reconciler put right.", ["what"])
for _what in ("told", "told_again", "brought_back", "outputs_rescued", "outputs_lost", "given_up"):
    DONE.labels(_what)
LAST_ROUND = Gauge(
    "darkroom_reconciler_last_round_seconds", "When a round last ended well (Unix time).", ["round"]
)

# A round that is cut off by the end of its service costs nothing: what it took comes again when
# its lease is over.
GRACE_S = 5.0

T = TypeVar("T")

# What one round did, by name; all zero: there was nothing to do.
Counts = Mapping[str, int]
Round = Callable[[], Awaitable[Counts]]


def every(
    interval: timedelta, name: str, run_once: Round, *, chance: Callable[[], float]
) -> Worker:
    """A worker that runs a round, then rests for ``interval`` (with jitter, so that replicas do not
    look in step). A round that fails is told and tried again; it never ends the service."""

    async def worker(stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                running = asyncio.create_task(_run(name, run_once))
                try:
                    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.wait({running}, timeout=GRACE_S)
                finally:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                rest = interval.total_seconds() * (0.8 + 0.4 * chance())
                await asyncio.wait({stopping}, timeout=rest)
        finally:
            stopping.cancel()

    return worker


async def _run(name: str, run_once: Round) -> None:
    try:
        counts = await run_once()
    except (DatabaseUnavailable, Transient) as error:
        log.warning("round.held", round=name, reason=str(error))
        return
    except Exception:
        log.exception("round.failed", round=name)
        return
    LAST_ROUND.labels(name).set_to_current_time()
    told = {what: count for what, count in counts.items() if count}
    for what, count in told.items():
        DONE.labels(what).inc(count)
    if told:
        log.info("round.ended", round=name, **told)


async def some_at_once(most: int, work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Do all of ``work``, ``most`` pieces at a time; then raise the first error, if any."""
    free = asyncio.Semaphore(most)

    async def one(piece: Callable[[], Awaitable[T]]) -> T:
        async with free:
            return await piece()

    outcomes = await asyncio.gather(*map(one, work), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
