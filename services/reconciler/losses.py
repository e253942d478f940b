"""Measure how near the next loss is: files live for a while at the provider, and then are gone."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Gauge

from shared.clock import Clock
from shared.db import predictions, slots
from shared.db.connection import Database

SECONDS_TO_LOSS = Gauge(
    "darkroom_seconds_to_loss",
    "Until the first files are deleted that are not ours yet (infinite: there are none).",
    ["of"],
)
# Files that are known to be made, and those that a silent prediction may have made.
SUCCEEDED, SILENT = "succeeded", "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLosses:
    """``files_live``: how long after its end the provider deletes a prediction's files."""

    database: Database
    files_live: timedelta
    now: Clock

    async def run_once(self) -> dict[str, int]:
        async with self.database.connection() as db:
            expires = await slots.first_expiry(db)
            silent = await predictions.oldest_silent(db)
        SECONDS_TO_LOSS.labels(SUCCEEDED).set(self._left(expires))
        # It cannot have ended before it began, so its files live at least so long.
        SECONDS_TO_LOSS.labels(SILENT).set(self._left(silent + self.files_live if silent else None))
        return {}

    def _left(self, until: datetime | None) -> float:
        return math.inf if until is None else (until - self.now()).total_seconds()
