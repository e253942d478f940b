"""Signing secrets: the webhook secret of the Replicate account, and new ones of our own."""

from typing import Annotated

import typer

from services.cli.environment import settings
from services.cli.telling import AsJson, document, fail, run
from shared.errors import Permanent
from shared.settings import ReplicateSettings
from shared.signatures import new_secret


def secret(
    new: Annotated[
        bool, typer.Option("--new", help="Make one that signs callbacks, for CALLBACK_SECRET.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the account's webhook secret and print it, for REPLICATE_WEBHOOK_SECRET."""
    word = new_secret() if new else _fetched()
    if as_json:
        document({"secret": word})
    else:
        typer.echo(word)


def _fetched() -> str:
    sorry = "Replicate did not give the secret"
    try:
        return run(_fetch(settings(ReplicateSettings)), cannot=sorry)
    except Permanent as error:
        fail(f"{sorry}: {error}")


async def _fetch(chosen: ReplicateSettings) -> str:
    from shared.replicate_api import open_replicate

    async with open_replicate(chosen) as replicate:
        return await replicate.webhook_secret()
