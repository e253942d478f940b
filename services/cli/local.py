"""The whole system on this machine: start, stop, look, and the demonstration."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import typer

from services.cli.environment import caller, local_root
from services.cli.live import follow
from services.cli.publish import PublishSettings, order
from shared.domain import keys
from shared.errors import Misconfigured, Transient
from shared.events import KeySource, UploadReceived
from shared.settings import read_settings

if TYPE_CHECKING:
    from deploy.local.system import System

DEMO_WITHIN_S = 120.0


def up() -> None:
    """Start broker, database, bucket, emulator and services on this machine; leave them running."""
    from deploy.local.stack import Stack

    root = local_root()
    with _told():
        stack = Stack(root)
        stack.up(_say)
        _prepare(stack.environment())
        _system(root, stack.environment()).up(_say)
    _say("all is up; `darkroom demo` shows it, `darkroom down` stops it")


def down() -> None:
    """Stop what `up` or `demo` started on this machine; its data stays."""
    from deploy.local.stack import Stack
    from deploy.local.system import load

    root = local_root()
    with _told():
        layout = load(root)
        if layout is not None:
            _system(root, layout.parts).down(_say)
        Stack(root).down()
    _say("nothing of it runs any more")


def status() -> None:
    """What runs on this machine, and where."""
    from deploy.local.stack import Stack
    from deploy.local.system import load

    root = local_root()
    layout = load(root)
    for part, state in Stack(root).status().items():
        typer.echo(f"{part:<11} {state}")
    if layout is None:
        typer.echo("services    never started here")
        raise typer.Exit(1)
    system = _system(root, layout.parts)
    for name in ("emulator", *system.services):
        mark = system.child(name).mark
        where = f"runs (pid {mark.pid}) at {layout.health_url(name)}" if mark else "is stopped"
        typer.echo(f"{name:<11} {where}")


def demo(
    photo: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Your own photo.")
    ] = None,
    external: Annotated[
        bool, typer.Option(help="Use the parts that the environment names, and say which.")
    ] = False,
) -> None:
    """Order three variations of a photo and watch them become pictures and a report."""
    began = time.monotonic()
    root = local_root()
    parts = _external_parts() if external else None
    with _told():
        if parts is None:
            from deploy.local.stack import Stack

            stack = Stack(root)
            stack.up(_say)
            parts = stack.environment()
        _prepare(parts)
        system = _system(root, parts)
        system.up(_say)
    for name, value in system.layout.environment().items():
        os.environ[name] = value  # noqa: TID251 - this process now speaks to the local system
    chosen = read_settings(PublishSettings)
    job_id = uuid4()
    original = photo.read_bytes() if photo else _a_photo()
    suffix = photo.suffix.lower() if photo else ".jpg"
    fact = UploadReceived(
        recipe="variations",
        job_id=job_id,
        external_ref="demo",
        source=KeySource(key=f"{keys.originals(job_id)}original{suffix}"),
    )
    _say(f"\nordering three variations of {photo or 'a photo of our own'}: job {job_id}")
    ordered = time.monotonic()
    with _told():
        asyncio.run(order(chosen, fact, original))
        over = asyncio.run(_followed(chosen, job_id))
    if over is None:
        _fail(f"the job is not over after {DEMO_WITHIN_S:g} s: `darkroom jobs show {job_id}`")
    if not over:
        _fail(f"the job did not complete: `darkroom jobs show {job_id}`")
    finished = time.monotonic()
    copy = root / "demo" / f"{job_id}.html"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(asyncio.run(_report(chosen, keys.report(job_id))))
    _say(f"report     s3://{chosen.s3_bucket}/{keys.report(job_id)}")
    _say(f"a copy     {copy}")
    _say(f"took       {finished - ordered:.1f} s from the order, {finished - began:.1f} s in all")
    _say("it all still runs: `make status`, `.venv/bin/darkroom jobs list`; `make down` stops it")


def _prepare(parts: Mapping[str, str]) -> None:
    """Tables and queues, before the services that need them."""
    from shared.db.migrate import migrate
    from shared.messaging.apply import apply

    migrate(parts["DATABASE_URL"])
    asyncio.run(apply(parts["AMQP_URL"]))


def _system(root: Path, parts: Mapping[str, str]) -> "System":
    from deploy.local.system import System

    # Cold starts of minutes are real, and no fun to watch: 1 s to start, 3 s to run.
    return System(root, parts, emulator={"EMULATOR_COLD_START_S": "1", "EMULATOR_RUN_S": "3"})


def _external_parts() -> dict[str, str]:
    """The parts that the caller names, told before anything is done with them."""
    from shared.observability import redacted

    given = caller()
    needed = ("AMQP_URL", "DATABASE_URL", "S3_BUCKET")
    wanted = (
        *needed,
        "S3_ENDPOINT_URL",
        "S3_PUBLIC_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
    )
    missing = [name for name in needed if not given.get(name)]
    if missing:
        _fail(f"EXTERNAL=1 needs {', '.join(missing)} in the environment")
    parts = {name: given[name] for name in wanted if given.get(name)}
    _say("using the parts that the environment names (the provider is still the emulator):")
    for name, value in parts.items():
        secret = name.startswith("AWS_") and name != "AWS_DEFAULT_REGION"
        _say(f"  {name} = {'(given)' if secret else redacted(value)}")
    return parts


async def _followed(chosen: PublishSettings, job_id: UUID) -> bool | None:
    """Whether the job completed with its report; None: it is not over in time."""
    try:
        return await follow(chosen, [job_id], timeout=DEMO_WITHIN_S)
    except TimeoutError:
        return None


async def _report(chosen: PublishSettings, key: str) -> bytes:
    from shared.objects import open_bucket

    async with open_bucket(chosen) as bucket:
        return await bucket.get_bytes(key, limit=100 * 1024 * 1024)


def _a_photo() -> bytes:
    from deploy.local.photos import default_photo

    return default_photo()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A missing part or an unready process is a sentence, not a traceback."""
    from deploy.local.stack import StackError
    from deploy.local.system import NotReady

    try:
        yield
    except (StackError, NotReady, Misconfigured, Transient) as error:
        _fail(str(error))


def _say(line: str) -> None:
    typer.echo(line)


def _fail(sentence: str) -> None:
    typer.secho(sentence, err=True, fg="red")
    raise typer.Exit(1)
