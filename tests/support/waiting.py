"""Wait for a named thing, with a deadline. The only place in the tests that sleeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    what: str,
    look: Callable[[], Awaitable[T]],
    *,
    holds: Callable[[T], bool] = bool,
    within: float = 20.0,
    every: float = 0.05,
) -> T:
    """Look until ``holds``; return what was seen. Fails with what was last seen instead."""
    deadline = time.monotonic() + within
    while True:
        seen = await look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}; last seen: {seen!r}")
        await asyncio.sleep(every)


def eventually_sync(
    what: str, look: Callable[[], bool], *, within: float = 20.0, every: float = 0.05
) -> None:
    """The same, for what is not asynchronous."""
    deadline = time.monotonic() + within
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(every)


async def a_pause(seconds: float) -> None:
    """For what keeps a pace or is slow on purpose: benchmarks, and the other end of a line. No test
    waits like this."""
    await asyncio.sleep(seconds)
