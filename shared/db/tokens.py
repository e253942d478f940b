"""SQL for ``api_token``: who may ask the API. The words themselves are kept nowhere."""

from dataclasses import dataclass, fields
from datetime import datetime

from shared.db.connection import Connection
from shared.domain.token import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """``last_used_at`` is told to the hour. A revoked token stays in the list, and opens nothing."""

    name: str
    sha256: bytes
    scope: Scope
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


async def create(tx: Connection, *, name: str, sha256: bytes, scope: Scope) -> bool:
    """Enter a token; False: there is one of that name, revoked or not."""
    made = await tx.fetchval(
        """
        INSERT INTO api_token (name, sha256, scope)
        VALUES ($1, $2, $3)
            ON CONFLICT (name) DO NOTHING
     RETURNING true
        """,
        name,
        sha256,
        scope,
    )
    return made is True


async def listing(tx: Connection) -> list[Token]:
    """Every token that was ever made, by name."""
    rows = await tx.fetch("SELECT * FROM api_token ORDER BY name")
    return [
        Token(**{**{name: row[name] for name in _COLUMNS}, "scope": Scope(row["scope"])})
        for row in rows
    ]


async def revoke(tx: Connection, name: str) -> bool:
    """Close a token for good; False: there is none of that name that is open."""
    revoked = await tx.execute(
        """
        UPDATE api_token
           SET revoked_at = now()
         WHERE name = $1
           AND revoked_at IS NULL
        """,
        name,
    )
    return revoked == 1


async def note_use(tx: Connection, name: str) -> None:
    """Note that a token was used, once an hour at the most."""
    await tx.execute(
        """
        UPDATE api_token
           SET last_used_at = now()
         WHERE name = $1
           AND (last_used_at IS NULL OR last_used_at < now() - interval '1 hour')
        """,
        name,
    )


_COLUMNS = tuple(column.name for column in fields(Token))
