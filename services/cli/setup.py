"""The two steps that prepare an installation: tables and queues. Both may be run again."""

import asyncio

import typer

from services.cli.environment import settings
from shared.errors import BrokerUnavailable, Misconfigured
from shared.settings import BrokerSettings, DatabaseSettings

topology = typer.Typer(help="The exchange and queues.", no_args_is_help=True)


def migrate() -> None:
    """Bring the database's tables to this version; does nothing where they are."""
    from shared.db.migrate import migrate as bring_up

    try:
        bring_up(settings(DatabaseSettings).database_url.get_secret_value())
    except Misconfigured as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None
    typer.echo("the tables are current")


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
