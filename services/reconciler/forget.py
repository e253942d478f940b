"""Forget what is kept for a look and for caution only, after its time."""

from dataclasses import dataclass
from datetime import timedelta

from shared.db import parked, refused
from shared.db.connection import Database

# Far above the time for which a broker can go on delivering one message.
SUSPECTS_KEPT = timedelta(days=7)
REFUSED_KEPT = timedelta(days=14)
MOST_REFUSED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    database: Database
    refused_kept: timedelta = REFUSED_KEPT

    async def run_once(self) -> dict[str, int]:
        """Drop the notes of starts that killed nothing lately, and old refused webhooks."""
        async with self.database.connection() as db:
            return {
                "suspects_forgotten": await parked.forget_suspects(db, older_than=SUSPECTS_KEPT),
                "refused_forgotten": await refused.forget(
                    db, older_than=self.refused_kept, but_at_most=MOST_REFUSED
                ),
            }
