"""The webhook secret of the Replicate account."""

import asyncio

import typer

from services.cli.environment import settings
from shared.errors import Permanent, Transient
from shared.settings import ReplicateSettings


def secret() -> None:
    """Fetch the account's webhook secret and print it, for REPLICATE_WEBHOOK_SECRET."""
    try:
        typer.echo(asyncio.run(_fetch(settings(ReplicateSettings))))
    except (Permanent, Transient) as error:
        typer.secho(f"Replicate did not give the secret: {error}", err=True, fg="red")
        raise typer.Exit(1) from None


async def _fetch(chosen: ReplicateSettings) -> str:
    from shared.replicate_api import open_replicate

    async with open_replicate(chosen) as replicate:
        return await replicate.webhook_secret()
