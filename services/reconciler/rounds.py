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
LAST_ROUND = Gauge(
    "darkroom_reconciler_last_round_seconds", "When a round last ended well (Unix time).", ["round"]
)

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
        while not stop.is_set():
            try:
                counts = await run_once()
            except (DatabaseUnavailable, Transient) as error:
                log.warning("round.held", round=name, reason=str(error))
            except Exception:
                log.exception("round.failed", round=name)
            else:
                LAST_ROUND.labels(name).set_to_current_time()
                told = {what: count for what, count in counts.items() if count}
                for what, count in told.items():
                    DONE.labels(what).inc(count)
                if told:
                    log.info("round.ended", round=name, **told)
            rest = interval.total_seconds() * (0.8 + 0.4 * chance())
            with_stop = asyncio.create_task(stop.wait())
            await asyncio.wait((with_stop,), timeout=rest)
            with_stop.cancel()

    return worker


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
