"""Say again what was published and had no effect, so that a queue that was lost stops no job.

The broker keeps what it confirmed. This is for the day on which it does not: a queue that was
deleted or purged, a disk that was replaced, a message that an operator discarded.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from shared.clock import Clock
from shared.db import unheard
from shared.db.connection import Database

log = structlog.get_logger()

BATCH = 500
# Where nothing shows that they are lost, they may be in a queue that nobody serves at the moment:
# a few are said again, and not a second copy of all of it.
TRIED = 20

SAID_AGAIN = Counter(
    "darkroom_facts_said_again_total",
    "Facts that were published, had no effect, and were said once more.",
    ["kind"],
)

Again = Callable[..., Awaitable[list[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueFacts:
    """``patience`` is the time in which a fact that was published has its effect."""

    database: Database
    patience: timedelta
    now: Clock

    async def run_once(self) -> dict[str, int]:
        """Closed slots that no job counts, ended jobs with open slots, deadlines that ended
        nothing, orders and wishes of ours that nobody has heard. Any receiver takes a second
        delivery of one fact as what it is."""
        return {
            "closings_said_again": await self._closings(),
            "ends_said_again": await self._some("end", unheard.ends_again),
            "deadlines_said_again": await self._some("deadline", unheard.deadlines_again),
            # Orders wait in line for as long as nobody plans, and each of them twice helps nobody.
            "orders_said_again": await self._say(
                "order", unheard.orders_again, self.now() - self.patience, TRIED
            ),
            "wishes_said_again": await self._some("wish", unheard.wishes_again),
        }

    async def _closings(self) -> int:
        """All that later ones have overtaken; or a few, to see whether anybody counts them."""
        async with self.database.connection() as db:
            until = await unheard.counted_until(db)
        patient = self.now() - self.patience
        lost = 0
        if until is not None:
            while True:
                overtaken = min(until - self.patience, patient)
                said = await self._say("closing", unheard.closings_again, overtaken, BATCH)
                lost += said
                if said < BATCH:
                    break
        return lost or await self._say("closing", unheard.closings_again, patient, TRIED)

    async def _some(self, kind: str, again: Again) -> int:
        return await self._say(kind, again, self.now() - self.patience, BATCH)

    async def _say(self, kind: str, again: Again, before: datetime, limit: int) -> int:
        async with self.database.transaction() as tx:
            said = await again(tx, before=before, limit=limit)
        if said:
            SAID_AGAIN.labels(kind).inc(len(said))
            log.warning("facts.said_again", kind=kind, count=len(said), first=said[0])
        return len(said)
