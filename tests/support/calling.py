"""Calling back on real parts: jobs that end, the consumer that tells, and a receiver to script."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prometheus_client import REGISTRY

from services.api import callbacks
from services.api.callback_settings import CallbackSettings
from services.reconciler.bring_back import BringBack
from services.reconciler.rounds import every
from shared import runtime
from shared.connections import Connections
from shared.db import jobs, journal, parked
from shared.db.connection import Database
from shared.db.jobs import NewJob
from shared.db.journal import Entry
from shared.db.parked import ParkedMessage
from shared.domain.job import JobState
from shared.envelope import Envelope
from shared.events import JobCompleted, state
from shared.health import Health
from shared.messaging import topology
from shared.messaging.publisher import Publisher
from shared.messaging.relay import relay
from shared.signatures import new_secret
from tests.support.signing import signed
from tests.support.waiting import eventually

NOON = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
SECRET = new_secret()
SOON = timedelta(milliseconds=10)


@dataclass(frozen=True, slots=True)
class Request:
    """What a receiver got: its line, its headers by lower-case name, its body."""

    line: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, raw: bytes) -> "Request":
        head, _, body = raw.partition(b"\r\n\r\n")
        line, *rest = head.decode().split("\r\n")
        pairs = (header.partition(":") for header in rest)
        return cls(line, {name.lower(): value.strip() for name, _, value in pairs}, body)

    def is_signed_by(self, secret: str) -> bool:
        """Whether one of its signatures is what ``secret`` makes of it, worked out here."""
        made = signed(
            self.body,
            secret,
            webhook_id=self.headers["webhook-id"],
            at=float(self.headers["webhook-timestamp"]),
        )
        return made["webhook-signature"] in self.headers["webhook-signature"].split(" ")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where jobs end, and where it shows what became of telling it."""

    database: Database
    publisher: Publisher

    async def completes(self, url: str | None, *, recipe: str = "variations") -> Envelope:
        """A job that ends; the fact is in the journal, and the relay owes it."""
        envelope = await a_completed_job(self.database, url, recipe=recipe)
        async with self.database.transaction() as tx:
            await journal.say(tx, envelope)
        return envelope

    async def calls(self, envelope: Envelope) -> list[Entry]:
        """What the job's timeline says of telling it, in its order."""
        return await calls_about(self.database, envelope)

    async def called(self, envelope: Envelope, *types: str) -> list[Entry]:
        """The same, once it says exactly this."""

        async def look() -> list[Entry]:
            return await self.calls(envelope)

        return await eventually(
            f"the timeline says {types}",
            look,
            holds=lambda entries: tuple(entry.type for entry in entries) == types,
            within=40,
        )

    async def dead(self) -> list[ParkedMessage]:
        async with self.database.connection() as db:
            return await parked.listing(db, parked.Which(dead=True), limit=100)

    async def is_dead(self, envelope: Envelope) -> ParkedMessage:
        """Its message, once it waits for an operator."""

        async def look() -> list[ParkedMessage]:
            return [message for message in await self.dead() if message.event_id == envelope.id]

        [message] = await eventually("the message is dead", look, within=40)
        return message


async def a_completed_job(
    database: Database, url: str | None, *, recipe: str = "variations"
) -> Envelope:
    job_id = uuid4()
    async with database.transaction() as tx:
        await jobs.insert(
            tx,
            NewJob(
                id=job_id,
                recipe=recipe,
                n=0,
                ordered_at=NOON,
                callback_url=url,
                external_ref="order-17",
            ),
        )
        await jobs.end(tx, job_id, state=JobState.COMPLETED, canceled=0, reason=None)
    fact = JobCompleted(
        job_id=job_id,
        recipe=recipe,
        n=0,
        stored=0,
        failed=0,
        external_ref="order-17",
        metadata={"customer": "한국"},
    )
    return state(fact, source="aggregator", now=NOON)


async def calls_about(database: Database, envelope: Envelope) -> list[Entry]:
    async with database.connection() as db:
        story = await journal.of_job(db, UUID(envelope.subject))
    return [entry for entry in story if entry.type.startswith("callback.")]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("darkroom_callbacks_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def calling(
    database_url: str,
    amqp_url: str,
    origin: str | None,
    *,
    waits: Sequence[timedelta] = (SOON, SOON, SOON),
    **more: Any,
) -> AsyncIterator[Desk]:
    """The consumer at work, with a relay and the one who brings back what is parked. ``origin`` may
    be called, wherever it lies."""
    given: dict[str, Any] = {
        "amqp_url": amqp_url,
        "database_url": database_url,
        "callback_secret": SECRET,
        "callback_allowed_origin": origin,
    }
    settings = CallbackSettings(**given | more)
    stop = asyncio.Event()
    async with Connections(Health("api")) as connections:
        worker = await callbacks.worker(settings, connections, waits=waits)
        database = await connections.database(settings)
        publisher = await connections.publisher(settings)
        bring_back = BringBack(database=database, publish=publisher.publish)
        running = asyncio.create_task(
            runtime.run(
                worker,
                relay(database, publisher, of=topology.RECONCILER, poll_s=0.1),
                every(SOON, "bring_back", bring_back.run_once, chance=lambda: 0.5),
                grace_s=20,
                stop=stop,
            )
        )
        try:
            yield Desk(database, publisher)
        finally:
            stop.set()
            await running
