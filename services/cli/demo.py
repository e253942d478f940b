"""The demonstration: one order of every recipe at once, watched live on this machine."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from uuid import UUID, uuid4

import typer

from services.cli import reading
from services.cli.environment import local_root, settings
from services.cli.exit_codes import ExitCode
from services.cli.live import Shown, Tongue, View, follow, shown
from services.cli.local import (
    Set,
    agreed,
    external_parts,
    prepare,
    say,
    say_what_is_set,
    still_agreed,
    system_of,
    told,
)
from services.cli.publish import PublishSettings, order
from services.cli.telling import fail
from shared.domain import keys
from shared.errors import Permanent
from shared.events import KeySource, UploadReceived
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe, SourceRule
from shared.settings import read_settings

WITHIN_S = 120.0
REPORT_MAX_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ordered:
    """One order of the demonstration."""

    fact: UploadReceived
    job_id: UUID
    photo: bytes | None


def demo(
    photo: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Your own photo.")
    ] = None,
    external: Annotated[
        bool, typer.Option(help="Use the parts that the environment names, and say which.")
    ] = False,
    running: Annotated[
        bool, typer.Option(help="Start nothing: order at the system that the environment names.")
    ] = False,
    locale: Annotated[
        Tongue, typer.Option(help="The language of what is shown and of the reports.")
    ] = Tongue.EN,
    chosen: Set = None,
) -> None:
    """Order one of every recipe at once, and watch them become pictures, sounds and reports."""
    if running and chosen:
        fail("--running starts nothing, so that there is nothing to --set", ExitCode.USAGE)
    began = time.monotonic()
    root = local_root()
    setting = {} if running else agreed(root, chosen or ())
    placed = orders(photo, locale)
    pages = None
    if running:
        ours = settings(PublishSettings)
    else:
        pages = _start(root, setting, external=external)
        say(f"on pages: {pages}/jobs")
        ours = read_settings(PublishSettings)

    say(f"\nordering {', '.join(each.fact.recipe for each in placed)}")
    say(f"of {photo or 'photos of our own'}, and of words alone\n")
    with told():
        done = asyncio.run(order_and_follow(ours, placed, shown(locale)))
    folder = root / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    copies = asyncio.run(_copies(ours, list(done.views.values()), folder))
    say("")
    for each in placed:
        _tell(ours, each, done, copies.get(each.job_id), locale)
    last = max(done.seconds.values(), default=0.0)
    say(f"took {last:.1f} s from the orders, {time.monotonic() - began:.1f} s in all")
    if pages is not None:
        say(f"its pages: {pages}/ · the API: {pages}/v1")
        say(
            "it all still runs: `make status`, `.venv/bin/darkroom jobs list`; `make down` stops it"
        )
    short = [each.fact.recipe for each in placed if each.job_id not in copies]
    if short:
        fail(f"not completed with a report: {', '.join(short)}")


def _start(root: Path, setting: Mapping[str, str], *, external: bool) -> str:
    """Bring the system up on this machine, and let this process speak to it from here on; where its
    pages are."""
    parts = external_parts() if external else None
    with told():
        if parts is None:
            from deploy.local.stack import Stack

            stack = Stack(root)
            stack.up(say)
            parts = stack.environment()
        prepare(parts, ours=not external)
        system = system_of(root, parts, ours=not external)
        system.up(say, setting=setting, check=still_agreed)
    say_what_is_set(system.layout.options)
    for name, value in system.layout.environment().items():
        os.environ[name] = value  # noqa: TID251 - its environment is ours now
    return system.layout.api_url


class Done:
    """Shows jobs as ``show`` does, and notes when each was over, in seconds since the orders."""

    def __init__(self, show: Shown) -> None:
        self._show = show
        self._began = time.monotonic()
        self.views: dict[UUID, View] = {}
        self.seconds: dict[UUID, float] = {}

    def __enter__(self) -> Self:
        self._show.__enter__()
        return self

    def __exit__(self, *about: object) -> None:
        self._show.__exit__(*about)

    def update(self, views: Sequence[View]) -> None:
        self._show.update(views)
        for view in views:
            self.views[view.job.id] = view
            if view.live.over:
                self.seconds.setdefault(view.job.id, time.monotonic() - self._began)


def orders(photo: Path | None, locale: Tongue) -> list[Ordered]:
    """One of every recipe; ends the command where the photo is nothing that a recipe takes."""
    try:
        given = reading.read_photo(photo)
        return [_order(recipe, given, locale) for recipe in RECIPES]
    except Permanent as wrong:
        fail(str(wrong))


def _order(recipe: Recipe, given: bytes | None, locale: Tongue) -> Ordered:
    job_id = uuid4()
    photo = None if recipe.source is SourceRule.NONE else (given or _our_photo(recipe))
    reading.check_source(recipe, photo, None)
    fact = UploadReceived(
        recipe=recipe.name,
        job_id=job_id,
        external_ref="demo",
        source=KeySource(key=f"{keys.originals(job_id)}original") if photo else None,
        params=dict(recipe.example),
        locale=locale,
    )
    return Ordered(fact, job_id, photo)


def _our_photo(recipe: Recipe) -> bytes:
    from deploy.local.photos import default_photo
    from deploy.local.portraits import damaged_photo

    return damaged_photo() if recipe.name == "restoration" else default_photo()


async def order_and_follow(chosen: PublishSettings, placed: Sequence[Ordered], show: Shown) -> Done:
    """Publish all of it at once, then show it until it is over, or WITHIN_S are."""
    done = Done(show)
    await asyncio.gather(*(order(chosen, each.fact, each.photo) for each in placed))
    await follow(chosen, [each.job_id for each in placed], show=done, timeout=WITHIN_S)
    return done


async def _copies(chosen: PublishSettings, views: Sequence[View], folder: Path) -> dict[UUID, Path]:
    """The published reports, fetched from the bucket to where a browser finds them."""
    from shared.objects import open_bucket

    copies = {}
    async with open_bucket(chosen) as bucket:
        for view in views:
            if view.succeeded and view.job.report_key:
                page = await bucket.get_bytes(view.job.report_key, limit=REPORT_MAX_BYTES)
                copies[view.job.id] = folder / f"{view.job.recipe}-{view.job.id}.html"
                copies[view.job.id].write_bytes(page)
    return copies


def _tell(
    chosen: PublishSettings, each: Ordered, done: Done, copy: Path | None, locale: Tongue
) -> None:
    view, seconds = done.views.get(each.job_id), done.seconds.get(each.job_id)
    state = view.job.state if view else "not known here"
    took = f"in {seconds:.1f} s" if seconds is not None else f"still, after {WITHIN_S:g} s"
    name = typer.style(f"{each.fact.recipe:<17}", bold=True)
    say(f"{name} {typer.style(str(state), fg='green' if copy else 'red')} {took}")
    if view is None or copy is None:
        say(f"{'':<17} {view.live.sentence[locale] if view else 'its order was not taken'}")
        say(f"{'':<17} look: .venv/bin/darkroom jobs show {each.job_id}")
        return
    say(f"{'':<17} s3://{chosen.s3_bucket}/{view.job.report_key}")
    say(f"{'':<17} {copy}")
