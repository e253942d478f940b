"""A database whose commits never come: what was done in a transaction is undone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.db.connection import Connection, Database
from shared.errors import DatabaseUnavailable


class CutOff(Database):
    """Postgres is away whenever a commit is due."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as tx:
            yield tx
            raise DatabaseUnavailable("the link is gone")
