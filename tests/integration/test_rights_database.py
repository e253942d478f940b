"""What each role really may do in a real database: its own work, and nothing of anybody else's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from deploy.local.logins import as_party
from deploy.local.stack import Isolation, psql
from services.cli.app import app
from shared.db.roles import apply_roles
from shared.errors import Misconfigured
from shared.rights.accounts import OPERATOR
from shared.rights.database import RIGHTS

Session = Callable[[str], AbstractAsyncContextManager["asyncpg.Connection[asyncpg.Record]"]]


@pytest.fixture
def session_of(database_url: str) -> Session:
    @asynccontextmanager
    async def opened(party: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(as_party(database_url, party))
        try:
            yield connection
        finally:
            await connection.close()

    return opened


@pytest.mark.parametrize(
    ("party", "statement"),
    [
        ("report", "UPDATE slot SET state = 'stored'"),
        ("report", "UPDATE job SET state = 'completed'"),
        ("report", "SELECT * FROM rate_limit"),
        ("aggregator", "UPDATE slot SET state = 'stored'"),
        ("aggregator", "INSERT INTO artifact DEFAULT VALUES"),
        ("storage", "UPDATE job SET stored = 1"),
        ("storage", "INSERT INTO prediction DEFAULT VALUES"),
        ("generator", "DELETE FROM job"),
        ("storage", "DELETE FROM journal"),
        ("reconciler", "UPDATE job SET state = 'completed', ended_at = now(), stored = 1"),
        ("operator", "DELETE FROM slot"),
        ("operator", "UPDATE journal SET type = ''"),
        ("api", "UPDATE job SET state = 'canceled', ended_at = now()"),
        ("api", "INSERT INTO job DEFAULT VALUES"),
        ("api", "INSERT INTO api_token DEFAULT VALUES"),
        ("api", "UPDATE api_token SET revoked_at = NULL"),
        ("api", "DELETE FROM job"),
        ("api", "UPDATE slot SET state = 'stored'"),
        ("generator", "CREATE TABLE mine ()"),
        ("storage", "DROP TABLE slot"),
        ("storage", "TRUNCATE job"),
        ("aggregator", "CREATE ROLE mine"),
    ],
)
async def test_a_role_cannot_do_what_is_not_its_work(
    session_of: Session, party: str, statement: str
) -> None:
    async with session_of(party) as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(statement)


@pytest.mark.parametrize("party", RIGHTS)
async def test_nobody_changes_what_the_journal_says(session_of: Session, party: str) -> None:
    """But those who take bodies out of it: retention, and whoever erases a job."""
    bodies = () if party in ("reconciler", OPERATOR) else ("body", "headers")
    async with session_of(party) as session:
        for column in ("type", "event_id", "recorded_at", *bodies):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute(f"UPDATE journal SET {column} = {column}")  # noqa: S608


@pytest.mark.parametrize("party", RIGHTS)
async def test_a_role_does_what_is_its_work(session_of: Session, party: str) -> None:
    async with session_of(party) as session:
        for table, rights in RIGHTS[party].items():
            await session.execute(f"SELECT * FROM {table}")  # noqa: S608
            for column in rights.updates:
                await session.execute(f"UPDATE {table} SET {column} = {column}")  # noqa: S608


async def test_rights_that_somebody_added_go_with_the_next_step(
    stack: Isolation, database_url: str, session_of: Session
) -> None:
    psql.ask(database_url, "GRANT ALL ON journal TO darkroom_report")

    apply_in_thread = await _in_thread(lambda: apply_roles(database_url, {}))

    assert apply_in_thread == []
    async with session_of("report") as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute("DELETE FROM journal")


async def test_who_has_no_role_does_not_come_in(stack: Isolation, database_url: str) -> None:
    await _in_thread(lambda: apply_roles(database_url, {}))
    name = database_url.rpartition("/")[2].partition("?")[0]

    may = psql.ask(
        database_url,
        f"SELECT datacl::text NOT LIKE '%,=%' AND datacl::text NOT LIKE '{{=%' "  # noqa: S608
        f"FROM pg_database WHERE datname = '{name}'",
    )

    assert may == "t"


def test_roles_before_tables_are_refused_with_the_way_to_mend_it(bare_database_url: str) -> None:
    with pytest.raises(Misconfigured, match="run `darkroom migrate` first"):
        apply_roles(bare_database_url, {})


def test_the_command_migrates_and_grants(bare_database_url: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["migrate", "--roles"], env={"DATABASE_URL": bare_database_url})

    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "every role may do what the table says"
    held = psql.ask(
        bare_database_url, "SELECT has_table_privilege('darkroom_report', 'job', 'SELECT')"
    )
    assert held == "t"


async def _in_thread(work: Callable[[], list[str]]) -> list[str]:
    import asyncio

    return await asyncio.to_thread(work)
