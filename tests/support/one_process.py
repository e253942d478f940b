"""Every service in the process of a test, as ``python -m services`` runs them, and an emulator."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from deploy.local.emulator import Emulator
from deploy.local.emulator import Settings as EmulatorSettings
from services.__main__ import Settings, workers
from shared.connections import Connections
from shared.health import Health
from shared.objects import Bucket
from shared.runtime import run
from tests.support.ports import a_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "r8_services000000000000000000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs, and the settings that lead to it, by their fields' names."""

    bucket: Bucket
    emulator: Emulator
    settings: Mapping[str, Any]


@asynccontextmanager
async def all_services(environment: Mapping[str, str], **more: Any) -> AsyncIterator[Running]:
    """Until the block ends; then drained. ``environment`` names the parts."""
    provider = EmulatorSettings(port=0, files_port=0, run_s=0.1, webhook_secret=SECRET)
    with a_port() as port:
        async with Emulator(provider) as emulator, Connections(Health("test")) as connections:
            known: dict[str, Any] = {
                **{name.lower(): value for name, value in environment.items()},
                "replicate_api_token": TOKEN,
                "replicate_base_url": emulator.url,
                "replicate_webhook_secret": SECRET,
                "public_base_url": f"http://127.0.0.1:{port}",
                "ingress_host": "127.0.0.1",
                "ingress_port": port,
                "api_host": "127.0.0.1",
                "api_port": 0,
                "download_allowed_origin": emulator.files_url,
                **more,
            }
            settings, stop = Settings(**known), asyncio.Event()
            at_work = asyncio.create_task(
                run(*await workers(settings, connections), grace_s=20, stop=stop)
            )
            try:
                bucket = await connections.bucket(settings)
                yield Running(bucket=bucket, emulator=emulator, settings=known)
            finally:
                stop.set()
                await at_work
