"""What integration tests stand on."""

from collections.abc import AsyncIterator

import pytest_asyncio

from shared.db.connection import Database, open_database


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a migrated database that only this test has."""
    async with open_database(database_url, name="test") as opened:
        yield opened
