"""The API in the process of a test, on real parts, and orders that a test plans by hand."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.api.settings import Settings
from services.api.wiring import workers
from shared.connections import Connections
from shared.db.connection import Database
from shared.health import Health
from shared.messaging.publisher import Publisher
from shared.objects import Bucket
from shared.runtime import run
from tests.support.front_end import FrontEnd, a_front_end
from tests.support.ports import a_port
from tests.support.waiting import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One that runs: how to call it, and what it stands on."""

    front: FrontEnd
    database: Database
    bucket: Bucket
    publisher: Publisher
    health: Health
    stop: asyncio.Event


@asynccontextmanager
async def an_api(environment: Mapping[str, str], **more: Any) -> AsyncIterator[Api]:
    """Until the block ends; then drained."""
    stop = asyncio.Event()
    known = {name.lower(): value for name, value in environment.items()}
    health = Health("api")
    with a_port() as port:
        settings = Settings(**{**known, "api_host": "127.0.0.1", "api_port": port, **more})
        async with Connections(health) as connections:
            at_work = asyncio.create_task(
                run(*await workers(settings, connections), grace_s=20, stop=stop)
            )
            try:
                async with a_front_end(f"http://127.0.0.1:{port}") as front:
                    await eventually("the API listens", _listens(front), within=60)
                    yield Api(
                        front=front,
                        database=await connections.database(settings),
                        bucket=await connections.bucket(settings),
                        publisher=await connections.publisher(settings),
                        health=health,
                        stop=stop,
                    )
            finally:
                stop.set()
                await at_work


def _listens(front: FrontEnd) -> Any:
    async def look() -> bool:
        try:
            return (await front.get("/v1/docs.css")).status == 200
        except OSError:
            return False

    return look
