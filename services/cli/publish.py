"""Order a job from the command line, as another team's service would."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from services.cli.environment import settings
from services.cli.live import FollowSettings, follow
from shared.clock import utc_now
from shared.domain import keys
from shared.errors import Permanent, Transient
from shared.events import KeySource, UploadReceived, state
from shared.settings import BucketSettings

app = typer.Typer(help="Publish events.", no_args_is_help=True)

LARGEST_PHOTO = 50 * 1024 * 1024


class PublishSettings(FollowSettings, BucketSettings):
    """What ordering a job needs; the database only to follow it."""


@app.callback()
def events() -> None:
    """Publish events."""


@app.command("upload")
def upload(
    recipe: Annotated[str, typer.Option(help="What to make of it.")] = "variations",
    photo: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The original, a file here.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter of the recipe, name=value; repeatable.")
    ] = None,
    external_ref: Annotated[str | None, typer.Option(help="Your own id for the job.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Such as Asia/Seoul.")] = None,
    locale: Annotated[str | None, typer.Option(help="en or ko.")] = None,
    deadline_seconds: Annotated[int | None, typer.Option(min=1)] = None,
    job_id: Annotated[str | None, typer.Option(help="A uuid; a new one if not given.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow the job to its end.")] = False,
) -> None:
    """Upload a photo and order a job for it; prints the job's id."""
    try:
        job = UUID(job_id) if job_id else uuid4()
    except ValueError:
        raise typer.BadParameter(f"{job_id!r} is no uuid", param_hint="--job-id") from None
    fact = UploadReceived(
        recipe=recipe,
        job_id=job,
        external_ref=external_ref,
        source=KeySource(key=keys.originals(job) + _name(photo)) if photo else None,
        params=dict(map(_param, param or [])),
        timezone=timezone,
        locale=locale,
        deadline_seconds=deadline_seconds,
    )
    chosen = settings(PublishSettings)
    try:
        asyncio.run(order(chosen, fact, photo.read_bytes() if photo else None))
    except (Permanent, Transient) as error:
        typer.secho(f"not ordered: {error}", err=True, fg="red")
        raise typer.Exit(1) from None
    typer.echo(str(job))
    if wait and not asyncio.run(follow(chosen, [job])):
        raise typer.Exit(1)


async def order(chosen: PublishSettings, fact: UploadReceived, photo: bytes | None) -> None:
    """Put the original into the bucket, then publish the fact: nobody hears of a file that is
    not there yet. Returns when the broker has confirmed."""
    from shared.media.sniff import sniff
    from shared.messaging.publisher import open_publisher
    from shared.objects import open_bucket

    if photo is not None and isinstance(fact.source, KeySource):
        async with open_bucket(chosen) as bucket:
            await bucket.put(
                fact.source.key,
                photo,
                content_type=sniff(photo[:4096]) or "application/octet-stream",
            )
    async with open_publisher(chosen.amqp_url.get_secret_value(), name="darkroom-cli") as publisher:
        await publisher.publish(state(fact, source="cli", now=utc_now()))


def _name(photo: Path) -> str:
    # The key's last part is ours to choose; only the suffix is kept, for people who look.
    suffix = "".join(c for c in photo.suffix.lower() if c.isalnum())[:5]
    return f"original.{suffix}" if suffix else "original"


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not name=value", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
