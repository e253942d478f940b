"""The steps that prepare an installation: tables and queues, and who may do what to them. Each may
be run again."""

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from services.cli.environment import settings
from services.cli.local import fail
from shared.errors import BrokerUnavailable, Misconfigured
from shared.settings import BrokerSettings, DatabaseSettings

topology = typer.Typer(help="The exchange and queues.", no_args_is_help=True)


class Form(StrEnum):
    DEFINITIONS = "definitions"
    RABBITMQCTL = "rabbitmqctl"


class UsersSettings(BrokerSettings):
    """The broker, and its management API by an administrator's name."""

    amqp_management_url: SecretStr | None = None


Passwords = Annotated[
    Path | None,
    typer.Option(help="a folder with one file for each account that logs in, named after it"),
]


def migrate(
    roles: Annotated[
        bool, typer.Option(help="also grant each service what it may do, and no more")
    ] = False,
    passwords: Passwords = None,
    show_roles: Annotated[
        bool, typer.Option(help="print the grants as SQL, and change nothing")
    ] = False,
) -> None:
    """Bring the database's tables to this version; does nothing where they are."""
    from shared.db.migrate import migrate as bring_up
    from shared.rights import database

    if show_roles:
        for statement in database.grants():
            typer.echo(f"{statement};")
        return
    try:
        words = _passwords(passwords, tuple(database.RIGHTS))
        url = settings(DatabaseSettings).database_url.get_secret_value()
        bring_up(url)
        typer.echo("the tables are current")
        if roles:
            from shared.db.roles import apply_roles

            for line in apply_roles(url, words):
                typer.echo(line)
            typer.echo("every role may do what the table says")
    except Misconfigured as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None


def _passwords(folder: Path | None, parties: tuple[str, ...]) -> dict[str, str]:
    """Those of ``parties`` that lie in ``folder``, where the accounts of all parts may lie."""
    from shared.rights.accounts import PARTIES
    from shared.rights.passwords import read_passwords

    if folder is None:
        return {}
    found = read_passwords(folder, PARTIES)
    return {party: word for party, word in found.items() if party in parties}


@topology.command("apply")
def apply() -> None:
    """Declare the exchange and queues; where they differ, say how, and change nothing."""
    from shared.messaging.apply import apply as declare

    try:
        done = asyncio.run(declare(settings(BrokerSettings).amqp_url.get_secret_value()))
    except (Misconfigured, BrokerUnavailable) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None
    for line in done:
        typer.echo(line)
    typer.echo("the topology is as the table says")


@topology.command("show")
def show() -> None:
    """Print who hears what."""
    from shared.messaging.topology import QUEUES

    for queue in QUEUES:
        typer.echo(f"{queue.name:30} {', '.join(queue.hears) or '-'}")


@topology.command("users")
def users(
    form: Annotated[Form, typer.Option("--as", help="how to print them")] = Form.DEFINITIONS,
    passwords: Passwords = None,
    apply_them: Annotated[
        bool,
        typer.Option(
            "--apply", help="make those that have a password, through AMQP_MANAGEMENT_URL"
        ),
    ] = False,
) -> None:
    """Print the broker's users with the rights that the topology gives them, or make them."""
    from shared.messaging.users import apply_users, hashes, vhost_of
    from shared.rights import broker

    chosen = settings(UsersSettings)
    url = chosen.amqp_url.get_secret_value()
    try:
        words = _passwords(passwords, tuple(broker.RIGHTS))
        if not apply_them:
            if form is Form.RABBITMQCTL:
                typer.echo("\n".join(broker.commands(vhost_of(url))))
            else:
                typer.echo(json.dumps(broker.definitions(vhost_of(url), hashes(words)), indent=2))
            return
        if chosen.amqp_management_url is None or not words:
            fail("--apply needs AMQP_MANAGEMENT_URL and --passwords")
        done = asyncio.run(
            apply_users(
                chosen.amqp_management_url.get_secret_value(),
                vhost_of(url),
                words,
                ca_file=chosen.amqp_ca_file,
            )
        )
    except (Misconfigured, BrokerUnavailable) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None
    for line in done:
        typer.echo(line)


def bucket_policy(
    party: Annotated[
        str, typer.Argument(help="generator, storage, report, reconciler, publisher or operator")
    ],
    bucket: Annotated[str, typer.Option(help="the bucket's name")] = "darkroom",
    source: Annotated[
        list[str] | None, typer.Option(help="a prefix of SOURCE_PREFIXES, repeatable")
    ] = None,
) -> None:
    """Print what an account may do in the bucket, as an Amazon policy."""
    from shared.rights import bucket as rights

    if party not in rights.RIGHTS:
        typer.secho(f"{party} needs no bucket: {', '.join(rights.RIGHTS)} do", err=True, fg="red")
        raise typer.Exit(2)
    typer.echo(json.dumps(rights.policy(party, bucket, sources=source or ()), indent=2))
