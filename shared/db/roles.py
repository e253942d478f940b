"""Bring the database's roles to what the table of rights says: one transaction, and repeatable."""

import asyncio
import secrets
from collections.abc import Mapping

import asyncpg

from shared.db.connection import CONNECT_TIMEOUT_S
from shared.errors import Misconfigured
from shared.rights.accounts import account
from shared.rights.database import RIGHTS, grants
from shared.rights.passwords import for_postgres

# Any number that nobody else uses; it must never change, or two versions would grant at once.
_LOCK = 0x6461726B726F6C65  # "darkrole"
_WITHIN_S = 60


def apply_roles(database_url: str, passwords: Mapping[str, str]) -> list[str]:
    """Make the roles that are missing and grant each exactly what it may do; a line for each thing
    done. Run by the owner of the tables, after they were migrated.

    ``passwords`` by party: that role may log in, by this password from now on. A role that is made
    here without one cannot log in. Blocks: from a running loop, call it in a thread. Raises
    Misconfigured with one sentence; then nothing was changed.
    """
    return asyncio.run(_apply(database_url, passwords))


async def _apply(database_url: str, passwords: Mapping[str, str]) -> list[str]:
    try:
        connection = await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=_WITHIN_S,
            server_settings={"application_name": "darkroom-roles"},
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise Misconfigured(f"DATABASE_URL leads to no database: {type(error).__name__}") from None
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            done = [
                line
                for party in RIGHTS
                for line in await _role(connection, party, passwords.get(party))
            ]
            database = await connection.fetchval("SELECT quote_ident(current_database())")
            roles = ", ".join(map(account, RIGHTS))
            # Whoever has no role here has no business here: by default everybody may connect.
            await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
            await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {roles}")
            for statement in grants():
                await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(
            f"this user may not do it ({error}): make the roles {roles_named()} yourself, or let"
            " DATABASE_URL name the owner of the tables with CREATEROLE"
        ) from None
    except asyncpg.UndefinedTableError as error:
        raise Misconfigured(f"{error}: run `darkroom migrate` first") from None
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise Misconfigured(f"the roles could not be granted: {type(error).__name__}") from None
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
    return done


def roles_named() -> str:
    return ", ".join(map(account, RIGHTS))


async def _role(
    connection: "asyncpg.Connection[asyncpg.Record]", party: str, password: str | None
) -> list[str]:
    role = account(party)
    done = []
    found = await connection.fetchrow(
        """
        SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS mighty,
               EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid) AS member
          FROM pg_roles
         WHERE rolname = $1
        """,
        role,
    )
    if found is None:
        await connection.execute(f"CREATE ROLE {role} NOLOGIN")
        done.append(f"made the role {role}")
    elif found["mighty"] or found["member"]:
        # What it has from elsewhere would stay, and the table would tell less than the truth.
        raise Misconfigured(
            f"{role} has rights beyond the table's (attributes, or it is a member of another role):"
            " take them away first"
        )
    if password is not None:
        verifier = for_postgres(password, salt=secrets.token_bytes(16))
        await connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{verifier}'")
        done.append(f"{role} logs in by its password")
    return done
