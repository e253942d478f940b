"""Who may ask the API: make a token, list them, close one."""

import secrets
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.cli.entries import example
from services.cli.environment import settings
from services.cli.telling import AsJson, document, fail, list_console, one_line, print_list, run
from shared.db import tokens
from shared.db.connection import open_database
from shared.db.tokens import Token
from shared.domain.token import NAME, RANDOM_BYTES, Scope, kept, word_of
from shared.settings import DatabaseSettings

app = typer.Typer(help="Tokens of the HTTP API.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(help="Whose it is: a to z, digits, dot, hyphen, underscore.", metavar="NAME"),
]


@app.command("create", epilog=example("darkroom tokens create shop --scope write"))
def create(
    name: Name,
    scope: Annotated[
        Scope, typer.Option(help="read looks; write also orders; operate also settles.")
    ] = Scope.READ,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once: nobody can tell it again."""
    if NAME.fullmatch(name) is None:
        raise typer.BadParameter("a to z, digits, dot, hyphen, underscore; 63 at most")
    word = word_of(secrets.token_bytes(RANDOM_BYTES))
    if not run(_create(settings(DatabaseSettings), name, word, scope)):
        fail(f"there is a token {name} already, or there was one")
    if as_json:
        document({"name": name, "scope": scope, "token": word})
        return
    typer.echo(word)
    typer.echo(f"{name} may {scope}; keep it well: it is stored nowhere", err=True)


@app.command("list", epilog=example("darkroom tokens list --json"))
def list_tokens(as_json: AsJson = False) -> None:
    """Every token that was ever made; the words themselves are not known here."""
    found = run(_listing(settings(DatabaseSettings)))
    if as_json:
        shown = [
            {field: value for field, value in asdict(token).items() if field != "sha256"}
            for token in found
        ]
        document(shown)
        return
    if not found:
        typer.echo(
            "no token is set: only programs on the API's own machine are served;"
            " `darkroom tokens create` makes one",
            err=True,
        )
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in ("name", "scope", "made", "last used", ""):
        table.add_column(column, no_wrap=True)
    for token in found:
        used = f"{token.last_used_at:%Y-%m-%d %H}h" if token.last_used_at else "never"
        closed = f"revoked {token.revoked_at:%Y-%m-%d}" if token.revoked_at else ""
        made = f"{token.created_at:%Y-%m-%d}"
        table.add_row(Text(one_line(token.name)), token.scope, made, used, closed)
    print_list(list_console(), table)


@app.command("revoke", epilog=example("darkroom tokens revoke shop"))
def revoke(name: Name, as_json: AsJson = False) -> None:
    """Close a token for good. It opens nothing any more within seconds."""
    if not run(_revoke(settings(DatabaseSettings), name)):
        fail(f"no token {name} is open")
    if as_json:
        document({"name": name, "revoked": True})
    else:
        typer.echo(f"{name} is revoked")


async def _create(chosen: DatabaseSettings, name: str, word: str, scope: Scope) -> bool:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.transaction() as tx:
            return await tokens.create(tx, name=name, sha256=kept(word), scope=scope)


async def _listing(chosen: DatabaseSettings) -> list[Token]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as db:
            return await tokens.listing(db)


async def _revoke(chosen: DatabaseSettings, name: str) -> bool:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.transaction() as tx:
            return await tokens.revoke(tx, name)
