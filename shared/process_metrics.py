"""What every process tells of itself beside its work: what it was built from, how busy its loop is."""

import asyncio
from importlib.metadata import version

from prometheus_client import Gauge, Histogram

BUILD = Gauge(
    "darkroom_build_info", "1; the labels say what runs here.", ["service", "version", "revision"]
)
LAG = Histogram(
    "darkroom_event_loop_lag_seconds",
    "How much later than asked the event loop came back, once a second.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

EVERY_S = 1.0


def tell_build(service: str, *, revision: str) -> None:
    BUILD.labels(service, version("darkroom"), revision).set(1)


async def watch_the_loop(stop: asyncio.Event) -> None:
    """The worker that measures the lag: what blocks the loop holds up everything in the process."""
    clock = asyncio.get_running_loop().time
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            asked = clock()
            await asyncio.wait({stopping}, timeout=EVERY_S)
            if not stop.is_set():
                LAG.observe(max(0.0, clock() - asked - EVERY_S))
    finally:
        stopping.cancel()
