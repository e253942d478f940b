"""Questions that tests ask of a running system, whatever recipe they are about."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import Row, World


async def the_purchase(world: World, job_id: UUID) -> Row:
    """The only purchase of a job with one slot, once Replicate has named it."""

    async def purchases() -> list[Row]:
        return await world.purchases(job_id)

    [row] = await eventually(
        "the purchase has its id", purchases, holds=lambda r: bool(r and r[0]["prediction_id"])
    )
    return row


async def news(world: World, prediction_id: str, status: str, **body: Any) -> int:
    """Tell the ingress something of a prediction, signed as Replicate signs; the answer's status."""
    payload = json.dumps({"id": prediction_id, "status": status, **body}).encode()
    answered, _ = await world.webhook(
        payload, headers=signed(payload, world.system.layout.webhook_secret)
    )
    return answered


async def said_at_the_end(world: World, job_id: UUID) -> Row:
    """The body of the fact with which a job ended, as listeners hear it."""
    body = await world.value(
        """SELECT body FROM journal
            WHERE job_id = $1 AND type IN ('job.completed', 'job.failed', 'job.canceled')""",
        job_id,
    )
    told: Row = json.loads(body)
    return told


async def span_at_replicate(world: World, prediction_id: str) -> tuple[datetime, datetime]:
    """From the purchase to its end, by the emulator's own log: the provider's time."""
    at = {
        entry["kind"]: datetime.fromisoformat(entry["at"])
        for entry in await world.ledger()
        if entry["kind"] in ("purchase", "ended") and entry["prediction"] == prediction_id
    }
    return at["purchase"], at["ended"]


@asynccontextmanager
async def restarted_with(world: World, service: str, **variables: str) -> AsyncIterator[None]:
    """A service with other settings for a while."""
    system = world.system
    system.child(service).stop(within=35)
    system.start(service, variables)
    system.wait_ready(service)
    try:
        yield
    finally:
        system.child(service).stop(within=35)
        system.start(service)
        system.wait_ready(service)
