"""The schema: brought up once, whoever starts, and told without secrets."""

import asyncio
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared.connections import Connections
from shared.db import migrate as migrate_module
from shared.db.connection import Database
from shared.db.migrate import migrate, schema_is_current, tables_check
from shared.errors import Misconfigured
from shared.health import Health
from tests.support.waiting import eventually


@pytest.fixture
async def empty_url(database_url: str) -> str:
    """A database without any table of ours."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    return database_url


async def test_two_that_start_at_once_bring_the_schema_up_once(
    empty_url: str, database: Database
) -> None:
    assert not await schema_is_current(database)

    await asyncio.gather(*(asyncio.to_thread(migrate, empty_url) for _ in range(3)))

    assert await schema_is_current(database)


async def test_a_schema_that_lacks_a_migration_is_not_current(database: Database) -> None:
    assert await schema_is_current(database)

    async with database.connection() as connection:
        await connection.execute("DELETE FROM schema_migrations")

    assert not await schema_is_current(database)


async def test_a_process_is_not_ready_before_its_tables_are_of_its_version(
    empty_url: str, database: Database
) -> None:
    health = Health("storage")
    health.add("tables", tables_check(database))

    assert "darkroom migrate" in (await health.report())["tables"]
    await asyncio.to_thread(migrate, empty_url)
    assert await health.report() == {"tables": "ok"}


@pytest.mark.parametrize("service", ["generator", "storage", "aggregator", "report", "reconciler"])
async def test_every_service_with_a_database_waits_for_its_tables(
    service: str, service_environment: dict[str, str], database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM schema_migrations")
    kind = import_module(f"services.{service}.settings").Settings
    known = {name.lower(): value for name, value in service_environment.items()}

    async with Connections(health := Health(service)) as connections:
        await import_module(f"services.{service}.wiring").workers(
            kind(**known, replicate_api_token="r8_" + "0" * 37), connections
        )

        async def told() -> str:
            # On a busy machine a check may not be answered at first, which is told as well.
            return (await health.report())["tables"]

        await eventually("it is told", told, holds=lambda said: "migrations are missing" in said)


async def test_a_newer_schema_is_fine_for_an_older_version(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO schema_migrations VALUES ('29990101000000')")

    assert await schema_is_current(database)


async def test_a_wrong_password_is_one_sentence_without_it(database_url: str) -> None:
    parts = urlsplit(database_url)
    wrong = parts._replace(netloc=f"{parts.username}:hunter2@{parts.hostname}:{parts.port}")

    with pytest.raises(Misconfigured, match="DATABASE_URL leads to no database") as raised:
        await asyncio.to_thread(migrate, wrong.geturl())

    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_a_migration_that_fails_says_why_and_changes_nothing(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "20990101000000_broken.sql").write_text(
        "-- migrate:up\nCREATE TABLE half (id int);\nSELECT nothing_here;\n-- migrate:down\n"
    )
    monkeypatch.setattr(migrate_module, "MIGRATIONS", tmp_path)

    with pytest.raises(Misconfigured, match="nothing_here") as raised:
        await asyncio.to_thread(migrate, empty_url)

    assert str(urlsplit(empty_url).password) not in str(raised.value)
    connection = await asyncpg.connect(empty_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('half')") is None
    finally:
        await connection.close()


@pytest.mark.parametrize("url", ["postgresql://app:pw@localhost:notaport/x", "mysql://x", ""])
async def test_a_url_that_is_none_is_told_in_one_sentence(url: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        await asyncio.to_thread(migrate, url)

    assert "app:pw" not in str(raised.value)
