"""Bring back parked messages whose time has come: publish with a confirm, then forget."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from shared.db import parked
from shared.db.connection import Database
from shared.db.parked import ParkedMessage
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Permanent, Unroutable
from shared.messaging.topology import STORAGE_OUTPUTS, STORAGE_URGENT

log = structlog.get_logger()

BATCH = 100
# A round ends well within its lease, so that nobody else publishes what is being published; and
# what a reconciler held that was killed comes back soon.
LEASE = timedelta(seconds=25)
WITHIN_S = 10.0
# What was claimed and not tried comes after what else is due meanwhile.
NEXT_TRY = timedelta(seconds=3)
# Queues that take nothing, until it is the broker that takes nothing.
SILENT_QUEUES = 2


class Publish(Protocol):
    def __call__(
        self, envelope: Envelope, /, *, to_queue: str | None = None
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BringBack:
    database: Database
    publish: Publish

    async def run_once(self) -> dict[str, int]:
        """Bring back what is due, soonest expiry first. Two of us share it without overlap.

        A message that cannot be published holds nobody: what is due behind it is brought all the
        same, but for its own queue, where that takes nothing.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + WITHIN_S
        silent: set[str] = set()
        brought = 0
        while clock() < until and len(silent) < SILENT_QUEUES:
            async with self.database.connection() as db:
                due = await parked.claim_due(db, limit=BATCH, lease=LEASE)
            count, left = await self._bring(due, silent, until)
            brought += count
            if left:
                claims = [(message.id, message.generation) for message in left]
                async with self.database.connection() as db:
                    await parked.release(db, claims, due_in=NEXT_TRY)
            if len(due) < BATCH:
                break
        return {"brought_back": brought}

    async def _bring(
        self, due: Sequence[ParkedMessage], silent: set[str], until: float
    ) -> tuple[int, list[ParkedMessage]]:
        """How many their queues have again; and what was not even tried. ``silent`` grows by the
        queues that take nothing."""
        brought = 0
        left: list[ParkedMessage] = []
        for message in due:
            queue = _queue(message)
            late = asyncio.get_running_loop().time() > until
            if late or queue in silent or len(silent) >= SILENT_QUEUES:
                left.append(message)
                continue
            try:
                await self.publish(message.envelope, to_queue=queue)
            except BrokerUnavailable as error:
                # Whether the broker has it is unknown, so it stays, and comes twice at the worst.
                silent.add(queue)
                _still_parked(message, str(error))
                continue
            except Unroutable as error:
                # Its queue is not there. It comes again after its lease.
                _still_parked(message, str(error))
                continue
            except Permanent as error:
                _still_parked(message, str(error))
                async with self.database.connection() as db:
                    await parked.give_up(db, message.id, message.generation, reason=str(error))
                continue
            async with self.database.connection() as db:
                brought += await parked.brought_back(
                    db, message.id, message.generation, lease=LEASE
                )
        return brought, left


def _still_parked(message: ParkedMessage, reason: str) -> None:
    log.warning(
        "message.still_parked", queue=message.queue, event_id=message.event_id, reason=reason
    )


def _queue(message: ParkedMessage) -> str:
    """Files on their way out go by the queue that is served first, in order of expiry."""
    return STORAGE_URGENT.name if message.queue == STORAGE_OUTPUTS.name else message.queue
