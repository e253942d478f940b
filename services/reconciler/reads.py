"""Our share of the account's reads, taken one by one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from shared.db import rate_limit
from shared.db.connection import Database
from shared.errors import Transient
from shared.replicate_api import Throttled

# A 429 that names no time.
THROTTLED_FOR = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    database: Database
    per_minute: int
    share: float

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Around one call. Raises Transient where no read is left just now; a 429 inside slows
        every replica down."""
        async with self.database.connection() as db:
            wait = await rate_limit.take(
                db, rate_limit.READS, per_minute=self.per_minute, share=self.share
            )
        if wait is not None:
            raise Transient("our share of the reads is used up", retry_after=wait)
        try:
            yield
        except Throttled as error:
            async with self.database.connection() as db:
                await rate_limit.throttled(db, rate_limit.READS, error.retry_after or THROTTLED_FOR)
            raise
