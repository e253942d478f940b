"""Bring back parked messages whose time has come: publish with a confirm, then forget."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from shared.db import parked
from shared.db.connection import Database
from shared.db.parked import ParkedMessage
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Unroutable
from shared.messaging.topology import STORAGE_OUTPUTS, STORAGE_URGENT

log = structlog.get_logger()

BATCH = 100
# Far above the confirm's own deadline, so that nobody else publishes what is being published.
LEASE = timedelta(seconds=60)


class Publish(Protocol):
    def __call__(
        self, envelope: Envelope, /, *, to_queue: str | None = None
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BringBack:
    database: Database
    publish: Publish

    async def run_once(self) -> dict[str, int]:
        """Bring back what is due, soonest expiry first. Two of us share it without overlap."""
        async with self.database.connection() as db:
            due = await parked.claim_due(db, limit=BATCH, lease=LEASE)
        brought = 0
        for message in due:
            try:
                await self.publish(message.envelope, to_queue=_queue(message))
            except (BrokerUnavailable, Unroutable) as error:
                # Whether the broker has it is unknown, so it stays, and comes twice at the worst.
                log.warning(
                    "message.still_parked",
                    queue=message.queue,
                    event_id=message.event_id,
                    reason=str(error),
                )
                break
            async with self.database.connection() as db:
                brought += await parked.brought_back(db, message.id, message.generation)
        return {"brought_back": brought}


def _queue(message: ParkedMessage) -> str:
    """Files on their way out go by the queue that is served first, in order of expiry."""
    return STORAGE_URGENT.name if message.queue == STORAGE_OUTPUTS.name else message.queue
