"""The way to Postgres: short transactions, deadlines everywhere, and errors that say what is known.

Nothing outside this folder meets the driver: a transaction is a ``Connection`` of ours, which
translates what the driver raises and remembers which bells the commit shall ring.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
from prometheus_client import Counter, Gauge, Histogram

from shared.errors import DatabaseUnavailable, Permanent, Transient

Row: TypeAlias = Mapping[str, Any]

# A healthy statement of ours takes milliseconds. What takes these times is stuck, and whoever is
# stuck must not hold locks.
STATEMENT_TIMEOUT_S = 15
LOCK_TIMEOUT_S = 10
IDLE_IN_TRANSACTION_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 5
# Above the server's own limits, so that it fires only where the link is silent.
ANSWER_TIMEOUT_S = 20

AMBIGUOUS_COMMITS = Counter(
    "darkroom_ambiguous_commits_total",
    "Commits whose outcome is unknown; the work is redone by key",
)

POOL_IN_USE = Gauge("darkroom_database_connections_in_use", "Connections that work at the moment")
POOL_SIZE = Gauge("darkroom_database_connections_allowed", "Connections that the pool may open")
POOL_WAIT = Histogram(
    "darkroom_database_wait_seconds",
    "How long work waited for a connection",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10),
)

# The server says that it is going, coming, full or not the one that writes.
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# Rolled back for certain, and the same again may well succeed.
_ROLLED_BACK = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
_UNKEEPABLE_TEXT = (asyncpg.UntranslatableCharacterError, asyncpg.CharacterNotInRepertoireError)


class Bell:
    """Wakes who waits for work, in this process; polling stays the truth.

    Every ring ends at least one wait that looks at the database afterwards: all that wait at the
    moment wake, and a ring that nobody waited for ends the next wait at once.
    """

    def __init__(self) -> None:
        self._rung = 0
        self._answered = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        self._rung += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout: float) -> bool:
        """True if it rang, False after ``timeout`` seconds of silence."""
        if self._rung == self._answered:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                # Not wait_for: it could swallow a ring that comes with a cancellation.
                await asyncio.wait((waiter,), timeout=timeout)
            finally:
                self._waiting.discard(waiter)
            if not waiter.done():
                return False
        self._answered = self._rung
        return True


class Connection:
    """One conversation with Postgres, for one task: what every function of ``shared.db`` takes.

    Inside ``Database.transaction()`` all of it is one transaction; inside
    ``Database.connection()`` every statement commits by itself.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._busy = False
        self._over = False
        self.owes_facts = False  # the commit rings the relay
        self.makes_slots_due = False  # the commit rings the buyer

    async def fetch(self, query: str, *args: Any) -> list[Row]:
        with self._translated():
            rows: list[Row] = await self._raw.fetch(query, *args)
            return rows

    async def fetchrow(self, query: str, *args: Any) -> Row | None:
        with self._translated():
            row: Row | None = await self._raw.fetchrow(query, *args)
            return row

    async def fetchval(self, query: str, *args: Any) -> Any:
        with self._translated():
            return await self._raw.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> int:
        """Run a statement; return how many rows it touched."""
        with self._translated():
            tag: str = await self._raw.execute(query, *args)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def executemany(self, query: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._translated():
            await self._raw.executemany(query, rows)

    def close(self) -> None:
        """Nothing may be asked of it any more: its link belongs to the next one."""
        self._over = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._over:
            raise RuntimeError("a connection is used after its block")
        if self._busy:
            raise RuntimeError("two tasks use one connection at once")
        self._busy = True
        try:
            with translated(self._raw):
                yield
        finally:
            self._busy = False


class Database:
    """The pool of one process, and its two bells: facts to publish, slots to buy."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.facts_owed = Bell()
        self.slots_due = Bell()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed at the end, rolled back by any exception.

        Raises DatabaseUnavailable where Postgres is away *or the commit's outcome is unknown*:
        redo the work by its key. Transient: it was rolled back and may succeed now (deadlock, a
        lock or statement that took too long). Anything else is a fault of ours, and loud.
        """
        async with self._acquired() as raw:
            connection = Connection(raw)
            with translated(raw):
                await raw.execute("BEGIN")
            try:
                yield connection
            except BaseException as error:
                await _roll_back(raw, error)
                raise
            finally:
                connection.close()
            await self._commit(raw)
        self._ring(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection on which every statement commits by itself; errors as in ``transaction``."""
        async with self._acquired() as raw:
            connection = Connection(raw)
            try:
                yield connection
            finally:
                connection.close()
                self._ring(connection)

    async def ping(self) -> None:
        """Raise DatabaseUnavailable unless Postgres answers within the connect timeout."""
        async with self._acquired() as raw:
            with translated(raw):
                await raw.fetchval("SELECT 1", timeout=CONNECT_TIMEOUT_S)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        try:
            with POOL_WAIT.time():
                raw = await self._pool.acquire(timeout=2 * CONNECT_TIMEOUT_S)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, *_AWAY) as error:
            # At connecting even a wrong password is a state of the outside: hold, never give up.
            raise DatabaseUnavailable(f"no connection to Postgres: {_words(error)}") from error
        POOL_IN_USE.inc()
        try:
            yield raw
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, DatabaseUnavailable):
                # Nobody knows what the server still does for it: never hand it to the next one.
                _cut(raw)
            raise
        finally:
            POOL_IN_USE.dec()
            await self._pool.release(raw)

    async def _commit(self, raw: Any) -> None:
        try:
            with translated(raw):
                done: str = await raw.execute("COMMIT")
        except (DatabaseUnavailable, Transient) as error:
            _cut(raw)
            AMBIGUOUS_COMMITS.inc()
            raise DatabaseUnavailable("the outcome of a commit is unknown") from error
        if done != "COMMIT":
            # A statement failed, its error was swallowed, and Postgres rolled back in silence.
            raise RuntimeError("a transaction was rolled back instead of committed")

    def _ring(self, connection: Connection) -> None:
        if connection.owes_facts:
            self.facts_owed.ring()
        if connection.makes_slots_due:
            self.slots_due.ring()


@asynccontextmanager
async def open_database(url: str, *, name: str, max_size: int = 8) -> AsyncIterator[Database]:
    """The pool for ``url``; opens also while Postgres is away (``ping`` says so).

    ``name`` shows in ``pg_stat_activity``. Raises Misconfigured where the URL itself is wrong.
    """
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=ANSWER_TIMEOUT_S,
        init=_prepare,
        # We set nothing on a session and terminate it in doubt: there is nothing to reset, and
        # resetting costs a round trip for each transaction.
        reset=_nothing_to_reset,
        server_settings={
            "application_name": f"darkroom-{name}",
            "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
            "lock_timeout": f"{LOCK_TIMEOUT_S}s",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_S}s",
            "timezone": "UTC",
        },
    )
    await pool
    POOL_SIZE.inc(max_size)
    try:
        yield Database(pool)
    finally:
        POOL_SIZE.dec(max_size)
        await _close(pool)


@contextmanager
def translated(raw: Any) -> Iterator[None]:
    """Turn what the driver raises on ``raw`` into errors that say what is known."""
    try:
        yield
    except _ROLLED_BACK as error:
        raise Transient(_words(error)) from error
    except _UNKEEPABLE_TEXT as error:
        raise Permanent("a text with a NUL character cannot be kept") from error
    except _AWAY as error:
        raise DatabaseUnavailable(_words(error)) from error
    except asyncpg.InterfaceError as error:
        # The driver says so both for a link that broke and for a call that is wrong.
        if _is_gone(raw):
            raise DatabaseUnavailable(_words(error)) from error
        raise


def _is_gone(raw: Any) -> bool:
    try:
        return bool(raw.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool takes a connection back at the moment in which its link breaks


def _cut(raw: Any) -> None:
    if not _is_gone(raw):
        raw.terminate()


async def _roll_back(raw: Any, error: BaseException) -> None:
    # Cancelled or cut off: closing the link rolls back as well, and cannot hang.
    if _is_gone(raw) or not isinstance(error, Exception):
        return
    try:
        with translated(raw):
            await raw.execute("ROLLBACK")
    except (DatabaseUnavailable, Transient):
        _cut(raw)


async def _prepare(raw: Any) -> None:
    await raw.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads, format="text"
    )


async def _nothing_to_reset(_raw: Any) -> None:
    return


async def _close(pool: Any) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def _words(error: BaseException) -> str:
    # The driver's texts name hosts, tables and constraints, never a password.
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]
