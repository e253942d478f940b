"""Work that blocks, in threads, each seen to its end."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """What ``work`` returns, off the event loop.

    A thread cannot be stopped. Whoever is cancelled meanwhile waits for it, and is cancelled then:
    the file that it reads stays open and its place taken until it has ended, and what it made goes
    nowhere. So ``work`` must end by itself, in bounded time.
    """
    running = asyncio.create_task(asyncio.to_thread(work, *args, **more))
    try:
        return await asyncio.shield(running)
    finally:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # seen: either raised above, or of no use to who is cancelled
