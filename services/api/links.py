"""Links to files that soon expire, made once for all who ask within a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.objects import Bucket

REMEMBERED = 20_000
# Making one takes a part of a millisecond of this loop; between these many others get their turn.
AT_A_TIME = 16


class Links:
    """``lifetime`` is what a new link lives; one that is handed out again has two thirds of it left,
    or more."""

    def __init__(self, bucket: Bucket, *, lifetime: timedelta, now: Clock) -> None:
        self._bucket = bucket
        self._lifetime = lifetime
        self._now = now
        self._made: OrderedDict[str, tuple[str, datetime]] = OrderedDict()

    async def to(self, keys: Sequence[str]) -> tuple[dict[str, str], datetime]:
        """A link for each key, and when the first of them expires."""
        links, expire_at = {}, self._now() + self._lifetime
        for number, key in enumerate(keys, start=1):
            links[key], until = await self._one(key)
            expire_at = min(expire_at, until)
            if not number % AT_A_TIME:
                await asyncio.sleep(0)
        return links, expire_at

    async def _one(self, key: str) -> tuple[str, datetime]:
        now = self._now()
        known = self._made.get(key)
        if known is not None and known[1] - now >= self._lifetime * (2 / 3):
            self._made.move_to_end(key)
            return known
        link = await self._bucket.link(key, lifetime=self._lifetime)
        self._made[key] = link, now + self._lifetime
        self._made.move_to_end(key)
        if len(self._made) > REMEMBERED:
            self._made.popitem(last=False)
        return self._made[key]
