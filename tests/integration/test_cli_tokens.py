"""``darkroom tokens``: a word is told once, and what it opens is closed for good."""

import json

from shared.db import tokens
from shared.db.connection import Database
from shared.domain.token import SHAPE, Scope, kept
from tests.integration.test_cli import darkroom


async def test_a_token_is_told_once_and_kept_nowhere(database: Database, database_url: str) -> None:
    env = {"DATABASE_URL": database_url}

    code, out, err = await darkroom(env, "tokens", "create", "shop", "--scope", "write")
    _, shown, _ = await darkroom(env, "tokens", "list", "--json")

    word = out.strip()
    assert code == 0, err
    assert SHAPE.fullmatch(word)
    async with database.connection() as db:
        [token] = await tokens.listing(db)
    assert (token.name, token.scope, token.sha256) == ("shop", Scope.WRITE, kept(word))
    [told] = json.loads(shown)
    assert (told["name"], told["scope"], told["revoked_at"]) == ("shop", "write", None)
    assert word not in shown
    assert "sha256" not in told


async def test_a_name_is_given_once_and_for_good(database: Database, database_url: str) -> None:
    env = {"DATABASE_URL": database_url}
    await darkroom(env, "tokens", "create", "shop")

    revoked, _, _ = await darkroom(env, "tokens", "revoke", "shop")
    again, _, taken = await darkroom(env, "tokens", "create", "shop")
    twice, _, closed = await darkroom(env, "tokens", "revoke", "shop")

    assert (revoked, again, twice) == (0, 1, 1)
    assert "already" in taken
    assert "no token shop is open" in closed
    async with database.connection() as db:
        [token] = await tokens.listing(db)
    assert token.revoked_at is not None


async def test_a_name_that_is_none_is_told_before_anything_is_made(
    database: Database, database_url: str
) -> None:
    code, _, err = await darkroom({"DATABASE_URL": database_url}, "tokens", "create", "My Shop")

    assert code == 2
    assert "63 at most" in err
    async with database.connection() as db:
        assert await tokens.listing(db) == []


async def test_for_programs_the_list_is_a_line_for_each_token_however_narrow_the_terminal(
    database: Database, database_url: str
) -> None:
    env = {"DATABASE_URL": database_url, "COLUMNS": "40"}
    async with database.transaction() as tx:
        for name in ("shop", long := "shop-" * 12 + "s"):
            assert await tokens.create(tx, name=name, sha256=kept(name), scope=Scope.WRITE)

    _, out, err = await darkroom(env, "tokens", "list")

    head, *lines = out.splitlines()
    assert head.split() == ["name", "scope", "made", "last", "used"], err
    assert {line.split()[0] for line in lines} == {"shop", long}
    assert all(line.split()[1] == "write" and line.endswith("never") for line in lines)
