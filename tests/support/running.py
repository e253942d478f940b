"""The whole system for tests: emulator and six services as processes, one set for each worker."""

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from deploy.local.logins import Logins, create_users
from deploy.local.stack import Isolation, Stack
from deploy.local.system import PROJECT, System
from shared.objects import open_bucket
from shared.settings import BucketSettings
from tests.support.world import World

# A laptop's provider answers at once and runs for half a second; nothing here measures it.
QUICK = {
    "EMULATOR_COLD_START_S": "0.1",
    "EMULATOR_RUN_S": "0.5",
    "EMULATOR_CREATES_PER_MINUTE": "60000",
    "EMULATOR_READS_PER_MINUTE": "60000",
}
# The account's limits out of the way, and the reconciler's patience short: a test that waits for
# it waits for its rule, not for its habits.
BRISK = {
    "REPLICATE_CREATES_PER_MINUTE": "60000",
    "REPLICATE_READS_PER_MINUTE": "60000",
    "CREATE_WITHIN_SECONDS": "5",
    "CREATE_LEASE_SECONDS": "10",
    "DOUBT_GRACE_SECONDS": "1",
    "DOUBT_COLD_START_SECONDS": "0",
    "DOUBT_EVERY_SECONDS": "0.5",
    "LOG_LEVEL": "INFO",
}


@contextmanager
def a_system(
    stack: Isolation,
    template_database: str,
    *,
    project: Path = PROJECT,
    options: Mapping[str, str] | None = None,
) -> Iterator[System]:
    """Emulator and services on a database, a virtual host and a bucket of their own; they run the
    code that lies at ``project``, with ``options`` beside those that all tests share."""
    import asyncio

    from shared.messaging.apply import apply

    name = f"system-{secrets.token_hex(6)}"
    with ExitStack() as until:
        root = Path(until.enter_context(tempfile.TemporaryDirectory(prefix="darkroom-system-")))
        parts = {k: v for k, v in stack.environment().items() if k.startswith(("AWS_", "S3_"))} | {
            "DATABASE_URL": stack.create_database(name, template=template_database),
            "AMQP_URL": stack.create_vhost(name),
            "S3_BUCKET": stack.create_bucket(name),
        }
        until.callback(stack.drop_bucket, name)
        until.callback(stack.drop_vhost, name)
        until.callback(stack.drop_database, name)
        asyncio.run(apply(parts["AMQP_URL"]))
        create_users(stack.environment() | parts)
        system = System(
            root,
            parts,
            options=BRISK | dict(options or {}),
            emulator=QUICK,
            project=project,
            logins=Logins(with_bucket=isinstance(stack, Stack)),
        )
        until.callback(system.down)
        system.up()
        yield system


@asynccontextmanager
async def eyes_on(system: System) -> AsyncIterator[World]:
    """A running system as tests see it."""
    parts = system.layout.parts
    settings = BucketSettings(
        s3_bucket=parts["S3_BUCKET"],
        s3_endpoint_url=parts["S3_ENDPOINT_URL"],
        aws_access_key_id=parts["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=parts["AWS_SECRET_ACCESS_KEY"],
        aws_default_region=parts["AWS_DEFAULT_REGION"],
    )
    async with (
        asyncpg.create_pool(parts["DATABASE_URL"], min_size=0, max_size=4) as pool,
        open_bucket(settings) as bucket,
    ):
        yield World(system, pool, bucket)


@pytest.fixture(scope="session")
def system(stack: Isolation, template_database: str) -> Iterator[System]:
    """The system of one worker."""
    with a_system(stack, template_database) as system:
        yield system


@pytest.fixture
async def world(system: System) -> AsyncIterator[World]:
    """Eyes on the running system. Faults that a test asked for end with it."""
    async with eyes_on(system) as world:
        yield world
        await world.behave()
        for name in system.services:
            # A test that ended one of them brings it back for the next.
            if not system.child(name).running:
                system.start(name)
                system.wait_ready(name)
