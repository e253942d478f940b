"""Signing secrets: the webhook secret of the Replicate account, and new ones of our own."""

import asyncio
from typing import Annotated

import typer

from services.cli.environment import settings
from shared.errors import Permanent, Transient
from shared.settings import ReplicateSettings
from shared.signatures import new_secret


def secret(
    new: Annotated[
        bool, typer.Option("--new", help="Make one that signs callbacks, for CALLBACK_SECRET.")
    ] = False,
) -> None:
    """Fetch the account's webhook secret and print it, for REPLICATE_WEBHOOK_SECRET."""
    if new:
        typer.echo(new_secret())
        return
    try:
        typer.echo(asyncio.run(_fetch(settings(ReplicateSettings))))
    except (Permanent, Transient) as error:
        typer.secho(f"Replicate did not give the secret: {error}", err=True, fg="red")
        raise typer.Exit(1) from None


async def _fetch(chosen: ReplicateSettings) -> str:
    from shared.replicate_api import open_replicate

    async with open_replicate(chosen) as replicate:
        return await replicate.webhook_secret()
