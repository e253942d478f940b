"""Generator and reconciler as they are wired, on real parts, with a provider that cannot call."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest_asyncio

from deploy.local.emulator import Emulator
from deploy.local.emulator import Settings as EmulatorSettings
from services.generator import settings as generator_settings
from services.generator import wiring as generator
from services.reconciler import settings as reconciler_settings
from services.reconciler import wiring as reconciler
from shared.connections import Connections
from shared.db.connection import Database
from shared.domain import identity, keys
from shared.health import Health
from shared.messaging import topology
from shared.runtime import run
from shared.settings import BucketSettings
from tests.support.shop import a_photo
from tests.support.waiting import eventually

NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(port=0, files_port=0, run_s=0.1)) as running:
        yield running


@pytest_asyncio.fixture
async def connections(
    service_environment: dict[str, str], emulator: Emulator
) -> AsyncIterator[Connections]:
    """Both services at work until the test ends."""
    known: dict[str, Any] = {
        **{name.lower(): value for name, value in service_environment.items()},
        "replicate_api_token": "r8_services000000000000000000000000000",
        "replicate_base_url": emulator.url,
        "public_base_url": NOBODY_LISTENS,
    }
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(Connections(Health("test")))
        workers = (
            *await generator.workers(generator_settings.Settings(**known), opened),
            *await reconciler.workers(reconciler_settings.Settings(**known), opened),
        )
        running = asyncio.create_task(run(*workers, grace_s=20, stop=stop))
        yield opened
        stop.set()
        await running


async def order(environment: dict[str, str], connections: Connections, job_id: UUID) -> None:
    """As another team's service: a photo in the bucket, and plain JSON."""
    key = keys.originals(job_id) + "photo.jpg"
    settings = BucketSettings(
        **{name.lower(): value for name, value in environment.items()}  # type: ignore[arg-type]
    )
    bucket = await connections.bucket(settings)
    await bucket.put(key, a_photo(), content_type="image/jpeg")
    body = {"recipe": "variations", "job_id": str(job_id), "source": {"key": key}}
    connection = await aio_pika.connect(environment["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.EXCHANGE, ensure=False)
        await exchange.publish(
            aio_pika.Message(json.dumps(body).encode()), routing_key="upload.received"
        )


async def test_an_order_is_bought_and_its_results_are_told_without_any_webhook(
    service_environment: dict[str, str],
    connections: Connections,
    database: Database,
    emulator: Emulator,
) -> None:
    job_id = uuid4()
    await order(service_environment, connections, job_id)

    async def bought() -> list[Any]:
        async with database.connection() as db:
            # Its recipe's usual silence is longer than a test shall take.
            return await db.fetch(
                "UPDATE prediction SET ask_at = now() WHERE status IN ('starting', 'processing')"
                " RETURNING prediction_id"
            )

    told: set[str] = set()

    async def results() -> set[str]:
        await bought()
        connection = await aio_pika.connect(service_environment["AMQP_URL"])
        async with connection:
            channel = await connection.channel()
            queue = await channel.get_queue(topology.STORAGE_URGENT.name, ensure=False)
            while (message := await queue.get(fail=False)) is not None:
                told.add(str(message.headers["cloudEvents:id"]))
                await message.ack()
        return told

    await eventually("three results are told", results, holds=lambda seen: len(seen) == 3)

    purchases = [entry["prediction"] for entry in emulator.ledger.entries("purchase")]
    assert told == {identity.verdict_id(prediction, "succeeded") for prediction in purchases}
    assert len(purchases) == 3


async def test_every_part_that_the_services_stand_on_is_named_in_their_health(
    connections: Connections,
) -> None:
    report = await eventually(
        "all is well",
        connections.health.report,
        holds=lambda states: set(states.values()) == {"ok"},
    )

    assert set(report) >= {"postgres", "rabbitmq", "consumers", "bucket"}
