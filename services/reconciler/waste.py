"""Delete files that storage put into the bucket and nobody wanted any more: no row has them."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from shared.db import waste
from shared.db.connection import Database
from shared.db.waste import Waste
from shared.domain import keys
from shared.objects import Bucket

log = structlog.get_logger()

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearWaste:
    """``patience``: how long after the last sign of a slot's download its files are left alone. A
    put that was under way is over by then."""

    database: Database
    bucket: Bucket
    patience: timedelta

    async def run_once(self) -> dict[str, int]:
        """Look after every closed slot that may have left something. Raises Transient where the
        bucket does not answer, and goes on the next time."""
        deleted = 0
        while True:
            async with self.database.connection() as db:
                left = await waste.left_behind(db, older_than=self.patience, limit=BATCH)
            for one in left:
                deleted += await self._clear(one)
            if len(left) < BATCH:
                return {"waste_deleted": deleted}

    async def _clear(self, left: Waste) -> int:
        lying = [
            info.key
            for folder in keys.made_for(left.job_id, left.ordinal)
            async for info in self.bucket.list(folder)
            if info.key not in left.kept
        ]
        for key in lying:
            await self.bucket.delete(key)
        # Only now: who dies before it looks once more.
        async with self.database.connection() as db:
            await waste.is_gone(db, left)
        if lying:
            log.info("waste.deleted", job_id=str(left.job_id), ordinal=left.ordinal, keys=lying)
        return len(lying)
