"""Slow work for as long as somebody wants what it brings."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from shared.errors import DatabaseUnavailable

T = TypeVar("T")


async def while_wanted(
    work: Coroutine[Any, Any, T],
    wanted: Callable[[], Awaitable[bool]],
    *,
    look_every: timedelta,
) -> T | None:
    """What ``work`` returns or raises; None: it was stopped, because nobody wants it any more.

    ``wanted`` is asked every ``look_every``, so that quick work costs no question. Where it cannot
    be asked, the work goes on: what it brings can be left out later, and not be made up for.
    """
    running = asyncio.create_task(work)
    try:
        while True:
            await asyncio.wait([running], timeout=look_every.total_seconds())
            if running.done():
                return running.result()
            if not await _asked(wanted):
                return None
    finally:
        if not running.done():
            running.cancel()
            # To its end, however impatient whoever stops us is: its files are open, and its place
            # is taken until then.
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # seen, and of no use to anybody


async def _asked(wanted: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await wanted()
    except DatabaseUnavailable:
        return True
