"""Our share of the account's reads: taken before the calls are made, and learned from what comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from shared.db import rate_limit
from shared.db.connection import Database
from shared.errors import Transient
from shared.replicate_api import AccountPaused, Throttled

T = TypeVar("T")

# A 429 that names no time.
THROTTLED_FOR = timedelta(seconds=5)
# Who is turned away (401, 402) is turned away again a moment later.
TURNED_AWAY_FOR = timedelta(seconds=30)
# How much may lie there unused: what flows in while a round rests, so that none of it is lost.
BURST_S = 2.0
# Of that, for whoever needs one read now, while questions about the silent take all they can get.
KEPT_FOR_OTHERS = 0.25
# A list is worth nothing until its last page is in, so its pages wait for their turn.
PAGE_WITHIN = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """``per_minute`` is the account's limit, ``share`` the part of it that all reconcilers together
    may use. Creates have a limit of their own, which this never touches."""

    database: Database
    per_minute: int
    share: float

    async def take(self, most: int) -> int:
        """As many as there are for questions that can wait, up to ``most``; 0: none just now."""
        while most > 0:
            if await self._take(most, share=1 - KEPT_FOR_OTHERS) is None:
                return most
            most //= 2
        return 0

    async def give_back(self, count: int) -> None:
        """Return what was taken for calls that are not made."""
        if count > 0:
            async with self.database.connection() as db:
                await rate_limit.give_back(db, rate_limit.READS, count)

    @asynccontextmanager
    async def one(self, *, within: timedelta = timedelta(0)) -> AsyncIterator[None]:
        """Around one call. Raises Transient where no read is left ``within`` that time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within.total_seconds()
        while (wait := await self._take(1)) is not None:
            if loop.time() + wait.total_seconds() > until:
                raise Transient("our share of the reads is used up", retry_after=wait)
            await asyncio.sleep(wait.total_seconds())
        async with self.spent():
            yield

    async def paced(self, pages: AsyncIterator[T]) -> AsyncIterator[T]:
        """``pages``, one read for each, however long their turn takes (within reason)."""
        while True:
            async with self.one(within=PAGE_WITHIN):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            yield page

    @asynccontextmanager
    async def spent(self) -> AsyncIterator[None]:
        """Around one call whose read is taken; a 429, 401 or 402 inside holds every replica."""
        try:
            yield
        except Throttled as error:
            async with self.database.connection() as db:
                await rate_limit.throttled(db, rate_limit.READS, error.retry_after or THROTTLED_FOR)
            raise
        except AccountPaused as error:
            async with self.database.connection() as db:
                await rate_limit.pause(
                    db, rate_limit.READS, lasting=TURNED_AWAY_FOR, reason=str(error)
                )
            raise

    async def _take(self, tokens: int, *, share: float = 1.0) -> timedelta | None:
        ours = self.per_minute * self.share
        async with self.database.connection() as db:
            return await rate_limit.take(
                db,
                rate_limit.READS,
                per_minute=ours,
                share=share,
                tokens=tokens,
                burst=ours / 60 * BURST_S,
            )
