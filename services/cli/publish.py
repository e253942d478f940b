"""Order a job from the command line, as another team's service would."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from services.cli import completing, reading
from services.cli.entries import example
from services.cli.environment import caller, settings
from services.cli.exit_codes import ExitCode
from services.cli.live import FollowSettings, JsonLines, Tongue, follow, how_it_ended, shown
from services.cli.telling import AsJson, document, fail, run, warn
from shared.clock import utc_now
from shared.domain import keys
from shared.errors import Misconfigured, Permanent
from shared.events import KeySource, UploadReceived, state
from shared.recipes import RECIPES, configured
from shared.recipes.estimate import estimate
from shared.settings import BucketSettings

app = typer.Typer(help="Order jobs.", no_args_is_help=True)


class PublishSettings(FollowSettings, BucketSettings):
    """What ordering a job needs; the database only to follow it."""


@app.callback()
def events() -> None:
    """Order jobs."""


@app.command(
    "upload", epilog=example("darkroom publish upload --photo me.jpg --param count=2 --watch")
)
def upload(
    recipe: Annotated[
        str,
        typer.Option(
            help="What to make of it; `darkroom recipes` lists them.",
            autocompletion=completing.recipe_names,
        ),
    ] = "variations",
    photo: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The original, a file here.")
    ] = None,
    source_key: Annotated[
        str | None,
        typer.Option(
            help="The original, a key of what lies in the bucket already: under"
            " jobs/JOB/original/, which names the job too, or in an agreed folder."
        ),
    ] = None,
    source_url: Annotated[
        str | None, typer.Option(help="The original, an https URL on an allowed host.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="A parameter of the recipe, name=value with JSON values; repeatable."),
    ] = None,
    external_ref: Annotated[str | None, typer.Option(help="Your own id for the job.")] = None,
    metadata: Annotated[
        str | None, typer.Option(help="A JSON object that comes back untouched.")
    ] = None,
    callback_url: Annotated[
        str | None, typer.Option(help="An https address that is told how the job ends.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Such as Asia/Seoul.")] = None,
    locale: Annotated[
        Tongue | None, typer.Option(help="The language of the report, and of what --watch tells.")
    ] = None,
    deadline_seconds: Annotated[
        int | None, typer.Option(min=1, help="End the job then with what there is.")
    ] = None,
    job_id: Annotated[str | None, typer.Option(help="A uuid; a new one if not given.")] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            "--wait",
            help="Follow the job to its end, as `jobs watch` does; --wait is the older name.",
        ),
    ] = False,
    only_estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would cost, and order nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Order a job, with a photo, a key, a URL or words alone; prints the job's id.

    With --watch the exit code tells how the job ended: 0 completed, 1 failed, 4 canceled.
    """
    if only_estimate:
        _estimate(recipe, param or [], as_json=as_json)
        return
    job = _meant(job_id, source_key)
    try:
        chosen = reading.the_recipe(recipe)
        original = reading.read_photo(photo)
        source = reading.check_source(chosen, original, source_url, source_key)
        if photo is not None:
            source = KeySource(key=keys.originals(job) + _name(photo))
        fact = UploadReceived(
            recipe=recipe,
            job_id=job,
            external_ref=external_ref,
            source=source,
            params=reading.read_params(chosen, param or []),
            metadata=_object(metadata),
            callback_url=callback_url,
            timezone=timezone,
            locale=locale,
            deadline_seconds=deadline_seconds,
        )
        reading.check_order(fact)
    except Permanent as wrong:
        warn(f"not ordered: {wrong}")
        named = f" {recipe}" if any(one.name == recipe for one in RECIPES) else ""
        typer.secho(f"`darkroom recipes{named}` says what can be ordered.", err=True)
        raise typer.Exit(ExitCode.USAGE) from None

    where = settings(PublishSettings)
    try:
        run(order(where, fact, original), cannot="not ordered")
    except Permanent as error:
        fail(f"not ordered: {error}")
    if as_json:
        document({"job_id": job, "recipe": recipe, "external_ref": external_ref})
    else:
        typer.echo(str(job))
    if watch:
        show = JsonLines() if as_json else shown(locale or Tongue.EN)
        views = run(follow(where, [job], show=show, unknown=_nobody_took_it))
        raise typer.Exit(how_it_ended(views[job]))


def _nobody_took_it() -> None:
    warn("nobody has taken the order yet: `darkroom doctor` says what is missing")


def _meant(job_id: str | None, source_key: str | None) -> UUID:
    """The job that is ordered: the one that is named, else the one that its original lies beside."""
    beside = None if source_key is None else keys.job_beside(source_key)
    try:
        named = UUID(job_id) if job_id else None
    except ValueError:
        raise typer.BadParameter(f"{job_id!r} is no uuid", param_hint="--job-id") from None
    if named and beside and named != beside:
        raise typer.BadParameter(f"--source-key lies beside {beside}", param_hint="--job-id")
    return named or beside or uuid4()


def _estimate(recipe: str, param: list[str], *, as_json: bool) -> None:
    try:
        params = reading.read_params(reading.the_recipe(recipe), param)
        told = estimate(configured(caller())[recipe], params)
    except (Permanent, Misconfigured) as wrong:
        fail(str(wrong), ExitCode.USAGE)
    if as_json:
        document(asdict(told))
        return
    if told.micros is None or told.most_micros is None:
        typer.echo(f"{told.purchases} purchases at a price that nobody knows")
        return
    typer.echo(
        f"about ${told.micros / 1e6:.4f} for {told.purchases} purchases; "
        f"${told.most_micros / 1e6:.4f} if each takes every attempt"
    )


async def order(chosen: PublishSettings, fact: UploadReceived, photo: bytes | None) -> None:
    """Put the original into the bucket, then publish the fact: nobody hears of a file that is
    not there yet. Returns when the broker has confirmed. Raises Permanent where nothing lies under
    the key of an original that was to be there."""
    from shared.media.sniff import sniff
    from shared.messaging.publisher import open_publisher
    from shared.objects import open_bucket

    if isinstance(fact.source, KeySource):
        key = fact.source.key
        async with open_bucket(chosen) as bucket:
            if photo is not None:
                kind = sniff(photo[:4096]) or "application/octet-stream"
                await bucket.put(key, photo, content_type=kind)
            elif await bucket.head(key) is None:
                raise Permanent(f"there is no original at {key}")
    async with open_publisher(chosen.amqp_url.get_secret_value(), name="darkroom-cli") as publisher:
        await publisher.publish(state(fact, source="cli", now=utc_now()))


def _name(photo: Path) -> str:
    # The key's last part is ours to choose; only the suffix is kept, for people who look.
    suffix = "".join(c for c in photo.suffix.lower() if c.isalnum())[:5]
    return f"original.{suffix}" if suffix else "original"


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        read = json.loads(text)
    except ValueError:
        raise Permanent("--metadata is not JSON") from None
    if not isinstance(read, dict):
        raise Permanent("--metadata is not a JSON object")
    return read
