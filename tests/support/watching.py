"""A job as a front end sees it, from its order to its end: what ``darkroom jobs watch`` tells."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import UUID

from tests.support.waiting import eventually
from tests.support.world import World

Seen = dict[str, Any]


class Watcher:
    """Gathers what the command tells of one job, a line for every change."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.seen: list[Seen] = []

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.seen.append(json.loads(line))

    async def looking(self) -> None:
        """Wait for the first line: from here on no change is missed."""

        async def first() -> bool:
            return bool(self.seen) or self._process.returncode is not None

        await eventually("somebody watches the job", first, within=60)

    async def until_over(self) -> list[Seen]:
        """All that was seen, once the job is over."""
        async with asyncio.timeout(120):
            await self._process.wait()
        return self.seen


@asynccontextmanager
async def watching(world: World, job_id: UUID) -> AsyncIterator[Watcher]:
    """Watch a job that is planned, as an operator would, with the installation's variables."""

    async def planned() -> object:
        return await world.job(job_id)

    await eventually(f"job {job_id} is planned", planned)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "jobs", "watch", str(job_id), "--json"),
        env=world.system.layout.environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    watcher = Watcher(process)
    reading = asyncio.create_task(watcher.read())
    try:
        await watcher.looking()
        yield watcher
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


def never_back(seen: Sequence[Any], order: Sequence[Any]) -> bool:
    """Whether values come in the order given, each any number of times, none after a later one.

    None comes before all of them: what was there once does not vanish.
    """
    places = [-1 if value is None else order.index(value) for value in seen]
    return all(before <= after for before, after in pairwise(places))
