"""Services on real parts in this process, as they ship: ingress, news, storage, ends, retries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
from pydantic import SecretStr

from services.__main__ import Settings
from services.aggregator import wiring as aggregator
from services.generator.follow import FollowPredictions
from services.ingress import wiring as ingress
from services.reconciler.bring_back import BringBack
from services.reconciler.rounds import every
from services.storage import wiring as storage
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.connection import Connection, Database
from shared.db.parked import Parked
from shared.health import Health
from shared.messaging import topology
from shared.messaging.topology import QUEUES
from shared.recipes.again import again_rule
from shared.runtime import Worker
from tests.matrix.ground import Rooms
from tests.support.consuming import depth
from tests.support.ports import a_port
from tests.support.purchases import a_job, bought, claim
from tests.support.signing import signed
from tests.support.waiting import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOT = 10  # slots of a job


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What runs, and eyes on it. ``port`` is where webhooks are taken."""

    rooms: Rooms
    database: Database
    connections: Connections
    settings: Settings
    port: int
    session: aiohttp.ClientSession

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        """Post a webhook; its status."""
        url = f"http://127.0.0.1:{self.port}/webhooks/replicate"
        async with self.session.post(url, data=body, headers=headers) as answer:
            return answer.status

    async def told(self, body: bytes, webhook_id: str) -> int:
        return await self.post(body, signed(body, SECRET, webhook_id=webhook_id))

    async def settled(self, *, within: float) -> None:
        """Nothing is on its way any more: no message in a queue or in hand, nothing owed."""

        async def owed() -> list[object]:
            async with self.database.connection() as db:
                journal = await db.fetchval(
                    "SELECT count(*) FROM journal WHERE published_at IS NULL"
                )
                parked = await db.fetchval(
                    "SELECT count(*) FROM parked_message WHERE due_at IS NOT NULL"
                )
            queues = [await depth(self.rooms.amqp_url, q.name) for q in QUEUES if _is_heard(q.name)]
            return [journal, parked, sum(queues), _in_hand()]

        for _ in range(2):  # what was in nobody's hand for a moment shows in the second look
            await eventually(
                "everything is settled", owed, holds=lambda o: not any(o), within=within, every=0.3
            )

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        async with self.database.connection() as db:
            return [dict(row) for row in await db.fetch(sql, *args)]


def _is_heard(queue: str) -> bool:
    """Nobody of this house hears orders, reports and refusals."""
    return queue.startswith(
        ("darkroom.generator.v", "darkroom.generator.p", "darkroom.storage", "darkroom.aggregator")
    )


def _in_hand() -> float:
    from prometheus_client import REGISTRY

    return sum(
        sample.value
        for family in REGISTRY.collect()
        if family.name == "darkroom_messages_in_progress"
        for sample in family.samples
    )


@asynccontextmanager
async def a_house(
    rooms: Rooms, *, retries: bool = True, origin: str | None = None, **more: Any
) -> AsyncIterator[House]:
    """All of it, ready; drained at the end. ``retries``: parked messages are brought back.
    ``origin`` is where outputs may be fetched from."""
    with a_port() as port:
        bucket = {name.lower(): value for name, value in rooms.bucket.items()}
        settings = Settings(
            **bucket,  # type: ignore[arg-type]
            **{
                "amqp_url": SecretStr(rooms.amqp_url),
                "database_url": SecretStr(rooms.database_url),
                "replicate_webhook_secret": SecretStr(SECRET),
                "replicate_api_token": SecretStr("r8_matrix000000000000000000000000000000"),
                "public_base_url": f"http://127.0.0.1:{port}",
                "ingress_host": "127.0.0.1",
                "ingress_port": port,
                "download_allowed_origin": origin,
                "webhook_confirm_seconds": 30.0,  # a busy machine is no fault of the broker's
                **more,
            },
        )
        stop = asyncio.Event()
        async with (
            Connections(Health("matrix")) as connections,
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64), timeout=aiohttp.ClientTimeout(total=120)
            ) as session,
        ):
            database = await connections.database(settings)
            workers = [
                *await ingress.workers(settings, connections),
                *await _news(settings, connections),
                *await storage.workers(settings, connections),
                *await aggregator.workers(settings, connections),
            ]
            if retries:
                workers.append(await _bring_back(settings, connections))
            house = House(
                rooms=rooms,
                database=database,
                connections=connections,
                settings=settings,
                port=port,
                session=session,
            )
            running = asyncio.gather(*(worker(stop) for worker in workers))
            try:
                await eventually("the house is ready", lambda: _ready(connections), within=60)
                yield house
            finally:
                stop.set()
                await running


async def _ready(connections: Connections) -> bool:
    return all(state == "ok" for state in (await connections.health.report()).values())


async def _news(settings: Settings, connections: Connections) -> list[Worker]:
    """The generator's ears without its hands: nothing is bought here."""
    database = await connections.database(settings)
    subscriptions = await connections.subscriptions(settings)
    rule = again_rule({recipe.name: recipe for recipe in recipes.RECIPES})
    follow = FollowPredictions(database=database, again=rule, now=utc_now)
    return [
        subscriptions.worker(queue, follow.hear, parking=Parked(database), concurrency=4)
        for queue in (topology.GENERATOR_VERDICTS, topology.GENERATOR_PROGRESS)
    ]


async def _bring_back(settings: Settings, connections: Connections) -> Worker:
    database = await connections.database(settings)
    publisher = await connections.publisher(settings)
    bring_back = BringBack(database=database, publish=publisher.publish)
    return every(timedelta(seconds=0.2), "bring_back", bring_back.run_once, chance=lambda: 0.5)


async def buy(database: Database, count: int, **order: Any) -> list[tuple[UUID, int, str]]:
    """So many purchases that run, in jobs of ten: job, ordinal, and the prediction's id."""
    made: list[tuple[UUID, int, str]] = []
    while len(made) < count:
        n = min(LOT, count - len(made))
        job_id = await a_job(database, n=n, ordered_at=utc_now(), **order)
        async with database.transaction() as tx:
            claimed = [slot for slot in await claim(tx) if slot.job_id == job_id]
        for slot in claimed:
            prediction_id = f"{job_id.hex[:20]}x{slot.ordinal:04}"
            await bought(database, slot, prediction_id)
            made.append((job_id, slot.ordinal, prediction_id))
    return made


async def let_pass(tx: Connection, span: timedelta) -> None:
    """Let time pass: every moment that any row tells lies ``span`` further back."""
    columns = await tx.fetch(
        """SELECT c.table_name, c.column_name
             FROM information_schema.columns c JOIN information_schema.tables t
                  USING (table_schema, table_name)
            WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
              AND c.data_type = 'timestamp with time zone' AND c.table_name <> 'schema_migrations'"""
    )
    by_table: dict[str, list[str]] = {}
    for column in columns:
        by_table.setdefault(column["table_name"], []).append(column["column_name"])
    for table, names in by_table.items():
        moved = ", ".join(f'"{name}" = "{name}" - $1::interval' for name in names)
        await tx.execute(f'UPDATE "{table}" SET {moved}', span)  # noqa: S608 - names of our tables
