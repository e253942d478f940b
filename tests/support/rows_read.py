"""What a piece of work costs Postgres: its statements, and the rows that each has to look at. Both are
the same on every machine, however busy it is."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest

from shared.db.connection import Connection

Asked = tuple[str, tuple[Any, ...]]  # a statement and its arguments


@contextmanager
def asked_about(one: Any) -> Iterator[list[Asked]]:
    """The reading statements of this process, until the block ends, that have ``one`` among their
    arguments; what services ask beside it is not among them."""
    asked: list[Asked] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "fetchrow", "fetchval"):
            patch.setattr(Connection, name, _noting(getattr(Connection, name), one, asked))
        yield asked


def _noting(ask: Any, one: Any, asked: list[Asked]) -> Any:
    async def noted(self: Connection, query: str, *args: Any) -> Any:
        if one in args:
            asked.append((query, args))
        return await ask(self, query, *args)

    return noted


async def rows_read(url: str, asked: Sequence[Asked]) -> dict[str, int]:
    """Statement by statement: how many rows all steps of its plan took in hand, also those that they
    threw away, each time anew."""
    connection = await asyncpg.connect(url)
    try:
        return {
            query: _rows(json.loads(await connection.fetchval(_EXPLAIN + query, *args))[0]["Plan"])
            for query, args in asked
        }
    finally:
        await connection.close()


_EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "


def _rows(step: dict[str, Any]) -> int:
    each: float = sum(
        count
        for name, count in step.items()
        if name == "Actual Rows" or name.startswith("Rows Removed by ")
    )
    times: int = step["Actual Loops"]
    return round(each * times) + sum(map(_rows, step.get("Plans", ())))
