"""Real parts to stand on: rooms of one's own on a stack, for one fault of a row."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from deploy.local.stack import Isolation
from shared.messaging.apply import apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """A migrated, empty database, a virtual host with the topology, and an empty bucket."""

    database_url: str
    amqp_url: str
    bucket: dict[str, str]  # the variables that lead to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The stack of a run, and the name of a migrated database on it."""

    stack: Isolation
    template: str

    @asynccontextmanager
    async def vhost(self) -> AsyncIterator[str]:
        """A virtual host with nothing in it."""
        name = f"matrix-{secrets.token_hex(6)}"
        yield await asyncio.to_thread(self.stack.create_vhost, name)
        await asyncio.to_thread(self.stack.drop_vhost, name)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        name = f"matrix_{secrets.token_hex(6)}"
        yield await asyncio.to_thread(self.stack.create_database, name, self.template)
        await asyncio.to_thread(self.stack.drop_database, name)

    @asynccontextmanager
    async def bucket(self) -> AsyncIterator[dict[str, str]]:
        name = f"matrix-{secrets.token_hex(6)}"
        here = self.stack.environment()
        led = {key: value for key, value in here.items() if key.startswith(("S3_", "AWS_"))}
        yield led | {"S3_BUCKET": await asyncio.to_thread(self.stack.create_bucket, name)}
        await asyncio.to_thread(self.stack.drop_bucket, name)

    @asynccontextmanager
    async def rooms(self) -> AsyncIterator[Rooms]:
        async with AsyncExitStack() as until:
            amqp_url = await until.enter_async_context(self.vhost())
            await apply(amqp_url)
            yield Rooms(
                database_url=await until.enter_async_context(self.database()),
                amqp_url=amqp_url,
                bucket=await until.enter_async_context(self.bucket()),
            )
