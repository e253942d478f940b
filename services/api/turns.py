"""One who asks for much at once waits for itself, and not everybody for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Line:
    room: asyncio.Semaphore
    length: int = 0


class Turns:
    """Of each sender ``at_once`` are worked on; its others wait for these, in the order in which
    they came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lines: dict[str, _Line] = {}

    def waiting(self, sender: str) -> int:
        """How many of its own a sender has at work, or waiting."""
        line = self._lines.get(sender)
        return 0 if line is None else line.length

    @asynccontextmanager
    async def of(self, sender: str) -> AsyncIterator[None]:
        line = self._lines.setdefault(sender, _Line(asyncio.Semaphore(self._at_once)))
        line.length += 1
        try:
            async with line.room:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[sender]
