"""A balancer as production has one in front of the ingress: it asks who is ready."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from deploy.local.prove.links import Link, link

ASKS_EVERY_S = 0.1
ANSWERS_WITHIN_S = 2.0


@asynccontextmanager
async def balanced(urls: Sequence[str]) -> AsyncIterator[Link]:
    """A link to those of ``urls`` whose ``/readyz`` says yes, asked ten times a second. Whoever says
    no keeps the connections that it has."""
    async with (
        link(dice=random.Random(0)) as way,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)) as session,
    ):

        async def ready(url: str) -> bool:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        async def ask() -> None:
            while True:
                now = tuple(urls)  # whoever began us may add to it
                said = await asyncio.gather(*map(ready, now))
                way.lead_to(*(url for url, well in zip(now, said, strict=True) if well))
                await asyncio.sleep(ASKS_EVERY_S)

        asking = asyncio.create_task(ask())
        try:
            yield way
        finally:
            asking.cancel()
