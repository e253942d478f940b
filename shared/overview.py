"""Read how the installation stands, from Postgres and from the broker."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

from shared.db import overview
from shared.db.connection import Database
from shared.domain.overview import Backlog, Money, Overview, QueueNow
from shared.errors import BrokerUnavailable
from shared.messaging.levels import QueueLevel
from shared.messaging.topology import (
    AGGREGATOR_SLOTS,
    GENERATOR_JOBS,
    QUEUES,
    REPORT_JOBS,
    STORAGE_OUTPUTS,
    Queue,
)

LATELY = timedelta(minutes=15)
BROKER_WITHIN_S = 2.0
# However many look on: one look at the database serves all of them so long,
FRESH_S = 1.0
# and the money of the day, which takes longer to add up the later it is, so long.
MONEY_FRESH_S = 10.0

# Whose work the rows know of, by what waits for them there.
_KNOWN_BY: Mapping[str, Backlog] = {
    GENERATOR_JOBS.name: Backlog.PLAN,
    STORAGE_OUTPUTS.name: Backlog.STORE,
    AGGREGATOR_SLOTS.name: Backlog.COUNT,
    REPORT_JOBS.name: Backlog.REPORT,
}


class Depths(Protocol):
    """Who tells how full queues are: ``shared.messaging.levels.QueueLevels``."""

    async def read(self, queues: tuple[Queue, ...]) -> Mapping[str, QueueLevel | None]: ...


@dataclass(slots=True, kw_only=True)
class Overviews:
    """Makes overviews; however many ask at once, one look answers them.

    A broker that does not answer within 2 s leaves its numbers out, and ``Concern.BROKER`` says so.
    It is asked by passive declarations, which no account needs a right for, in the same time however
    full the queues are. Of the database it wants to read ``cost_cap``, ``job``, ``journal``,
    ``parked_message``, ``prediction``, ``rate_limit``, ``refused_webhook``, ``slot`` and
    ``tombstone``, and writes nothing.
    """

    database: Database
    depths: Depths
    zone: tzinfo
    files_live: timedelta
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _last: dict[int, tuple[float, Overview]] = field(default_factory=dict)
    _money: tuple[float, Money] | None = None

    async def read(self, *, lately: timedelta = LATELY) -> Overview:
        """How things stand, at most a second old. Raises DatabaseUnavailable."""
        seconds = round(lately.total_seconds())
        asked_at = asyncio.get_running_loop().time()
        async with self._looking:
            known = self._last.get(seconds)
            if known is None or known[0] < asked_at - FRESH_S:
                # What was read for somebody else's span is forgotten: nobody keeps several for long.
                known = asyncio.get_running_loop().time(), await self._look(lately)
                self._last = {seconds: known}
            return known[1]

    async def _look(self, lately: timedelta) -> Overview:
        names = [queue.name for queue in QUEUES]
        asking = asyncio.create_task(self._depths())
        try:
            async with self.database.connection() as db:
                rows = await overview.read(
                    db, queues=names, lately=lately, files_live=self.files_live
                )
            money = await self._money_of(rows.at)
            told = await asking
        finally:
            asking.cancel()
        return Overview(
            at=rows.at,
            seconds=round(lately.total_seconds()),
            webhooks=rows.webhooks,
            ended=rows.ended,
            open_jobs=rows.open_jobs,
            slots=rows.slots,
            backlog=rows.backlog,
            queues=tuple(
                QueueNow(
                    name=parked.queue,
                    ready=level.ready if (level := told.get(parked.queue)) else None,
                    consumers=level.consumers if level else None,
                    waits=rows.backlog[stage] if (stage := _KNOWN_BY.get(parked.queue)) else None,
                    parked=parked.waiting,
                    dead=parked.dead,
                )
                for parked in rows.parked
            ),
            losses=rows.losses,
            account=rows.account,
            money=money,
        )

    async def _depths(self) -> Mapping[str, QueueLevel | None]:
        try:
            async with asyncio.timeout(BROKER_WITHIN_S):
                return await self.depths.read(QUEUES)
        except (TimeoutError, BrokerUnavailable):
            return {}

    async def _money_of(self, now: datetime) -> Money:
        clock = asyncio.get_running_loop().time
        if (
            self._money is None
            or clock() - self._money[0] >= MONEY_FRESH_S
            or now >= self._money[1].ends
        ):
            async with self.database.connection() as db:
                self._money = clock(), await overview.money(db, now=now, zone=self.zone)
        return self._money[1]
