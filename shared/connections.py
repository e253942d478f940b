"""What a process has open: each thing when first asked for, once, and closed in reverse."""

import asyncio
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from shared.health import Health
from shared.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    DownloadSettings,
    ReplicateSettings,
    SourceSettings,
)

# Imported only by the process that asks: the ingress never loads Postgres or S3 (memory, start-up).
if TYPE_CHECKING:
    from shared.db.connection import Database
    from shared.downloads import Downloads
    from shared.guard import Outside, Rules
    from shared.messaging.consumer import Subscriptions
    from shared.messaging.publisher import Publisher
    from shared.objects import Bucket
    from shared.replicate_api import Replicate

T = TypeVar("T")


class Connections:
    """The connections of one process, shared by every service that runs in it.

    Each opens also while its other side is away; ``health`` then says so by name.
    """

    def __init__(self, health: Health) -> None:
        self.health = health
        self._stack = AsyncExitStack()
        self._open: dict[Hashable, Any] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def database(self, settings: DatabaseSettings) -> "Database":
        from shared.db.connection import open_database

        url = settings.database_url.get_secret_value()
        database = await self._once(
            ("database", url),
            lambda: open_database(
                url, name=self.health.service, max_size=settings.database_pool_size
            ),
        )
        self.health.add("postgres", database.ping)
        return database

    async def publisher(self, settings: BrokerSettings) -> "Publisher":
        from shared.messaging.publisher import open_publisher

        url = settings.amqp_url.get_secret_value()
        publisher = await self._once(
            ("publisher", url), lambda: open_publisher(url, name=self.health.service)
        )
        self.health.add("rabbitmq", publisher.ping)
        return publisher

    async def subscriptions(self, settings: BrokerSettings) -> "Subscriptions":
        from shared.messaging.consumer import open_subscriptions

        url = settings.amqp_url.get_secret_value()
        subscriptions = await self._once(
            ("subscriptions", url), lambda: open_subscriptions(url, name=self.health.service)
        )
        self.health.add("consumers", subscriptions.ping)
        return subscriptions

    async def bucket(self, settings: BucketSettings) -> "Bucket":
        from shared.objects import open_bucket

        bucket = await self._once(
            ("bucket", settings.s3_endpoint_url, settings.s3_bucket), lambda: open_bucket(settings)
        )
        self.health.add("bucket", bucket.ping)
        return bucket

    async def replicate(self, settings: ReplicateSettings) -> "Replicate":
        from shared.replicate_api import open_replicate

        return await self._once(
            ("replicate", settings.replicate_base_url), lambda: open_replicate(settings)
        )

    async def downloads(self, settings: DownloadSettings) -> "Downloads":
        from shared.downloads import open_downloads

        return await self._once(("downloads",), lambda: open_downloads(settings))

    async def sources(self, settings: SourceSettings) -> "Downloads":
        from shared.downloads import open_sources

        return await self._once(("sources",), lambda: open_sources(settings))

    async def outside(self, rules: "Rules") -> "Outside":
        from shared.guard import open_outside

        return await self._once(("outside", rules), lambda: open_outside(rules))

    async def _once(
        self, name: Hashable, opening: Callable[[], AbstractAsyncContextManager[T]]
    ) -> T:
        async with self._opening:
            if name not in self._open:
                self._open[name] = await self._stack.enter_async_context(opening())
            return cast(T, self._open[name])
