"""The steps that prepare an installation: tables and queues, and who may do what to them. Each may
be run again."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from services.cli.entries import example
from services.cli.environment import settings
from services.cli.exit_codes import ExitCode
from services.cli.telling import AsJson, document, fail, run
from shared.errors import Misconfigured
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
    as_json: AsJson = False,
) -> None:
    """Bring the database's tables to this version; does nothing where they are."""
    from shared.db.migrate import migrate as bring_up
    from shared.rights import database

    if show_roles:
        grants = list(database.grants())
        if as_json:
            document({"grants": grants})
            return
        for statement in grants:
            typer.echo(f"{statement};")
        return
    told: list[str] = []
    try:
        words = _passwords(passwords, tuple(database.RIGHTS))
        url = settings(DatabaseSettings).database_url.get_secret_value()
        bring_up(url)
        if not as_json:
            typer.echo("the tables are current")
        if roles:
            from shared.db.roles import apply_roles

            told = list(apply_roles(url, words))
            if not as_json:
                for line in told:
                    typer.echo(line)
                typer.echo("every role may do what the table says")
    except Misconfigured as error:
        fail(str(error))
    if as_json:
        document({"tables": "current", "roles": roles, "told": told})


def _passwords(folder: Path | None, parties: tuple[str, ...]) -> dict[str, str]:
    """Those of ``parties`` that lie in ``folder``, where the accounts of all parts may lie."""
    from shared.rights.accounts import PARTIES
    from shared.rights.passwords import read_passwords

    if folder is None:
        return {}
    found = read_passwords(folder, PARTIES)
    return {party: word for party, word in found.items() if party in parties}


@topology.command("apply", epilog=example("darkroom topology apply"))
def apply(as_json: AsJson = False) -> None:
    """Declare the exchange and queues; where they differ, say how, and change nothing."""
    from shared.messaging.apply import apply as declare

    try:
        done = run(declare(settings(BrokerSettings).amqp_url.get_secret_value()))
    except Misconfigured as error:
        fail(str(error))
    if as_json:
        document({"declared": done})
        return
    for line in done:
        typer.echo(line)
    typer.echo("the topology is as the table says")


@topology.command("show", epilog=example("darkroom topology show --json"))
def show(as_json: AsJson = False) -> None:
    """Print who hears what."""
    from shared.messaging.topology import QUEUES

    if as_json:
        document([asdict(queue) for queue in QUEUES])
        return
    for queue in QUEUES:
        typer.echo(f"{queue.name:30} {', '.join(queue.hears) or '-'}")


@topology.command("users", epilog=example("darkroom topology users --as rabbitmqctl"))
def users(
    form: Annotated[Form, typer.Option("--as", help="how to print them")] = Form.DEFINITIONS,
    passwords: Passwords = None,
    apply_them: Annotated[
        bool,
        typer.Option(
            "--apply", help="make those that have a password, through AMQP_MANAGEMENT_URL"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the broker's users with the rights that the topology gives them, or make them."""
    from shared.messaging.users import apply_users, hashes, vhost_of
    from shared.rights import broker

    chosen = settings(UsersSettings)
    url = chosen.amqp_url.get_secret_value()
    try:
        words = _passwords(passwords, tuple(broker.RIGHTS))
        if not apply_them:
            if form is Form.RABBITMQCTL and as_json:
                document({"commands": broker.commands(vhost_of(url))})
            elif form is Form.RABBITMQCTL:
                typer.echo("\n".join(broker.commands(vhost_of(url))))
            else:
                typer.echo(json.dumps(broker.definitions(vhost_of(url), hashes(words)), indent=2))
            return
        if chosen.amqp_management_url is None or not words:
            fail("--apply needs AMQP_MANAGEMENT_URL and --passwords", ExitCode.USAGE)
        done = run(
            apply_users(
                chosen.amqp_management_url.get_secret_value(),
                vhost_of(url),
                words,
                ca_file=chosen.amqp_ca_file,
            )
        )
    except Misconfigured as error:
        fail(str(error))
    if as_json:
        document({"applied": done})
        return
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
        fail(f"{party} needs no bucket: {', '.join(rights.RIGHTS)} do", ExitCode.USAGE)
    typer.echo(json.dumps(rights.policy(party, bucket, sources=source or ()), indent=2))
