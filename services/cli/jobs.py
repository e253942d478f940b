"""Look at jobs."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.environment import settings
from services.cli.live import (
    COLOURS,
    FollowSettings,
    JsonLines,
    Tongue,
    View,
    follow,
    live_fields,
    seen,
    shown,
)
from shared.db import artifacts, jobs, journal, live, predictions, slots
from shared.db.connection import Database, open_database
from shared.errors import DatabaseUnavailable
from shared.events import Artifact
from shared.settings import DatabaseSettings

app = typer.Typer(help="Look at jobs.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Locale = Annotated[Tongue, typer.Option(help="The language of the sentences.")]

T = TypeVar("T")


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    external_ref: Annotated[str | None, typer.Option(help="Only jobs with this reference.")] = None,
    locale: Locale = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """The latest jobs, or those with one external reference."""
    found = run(_latest(settings(DatabaseSettings), limit, external_ref))
    if as_json:
        typer.echo(_json([asdict(view.job) | live_fields(view.live) for view in found]))
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in ("job", "recipe", "state", "stored", "", "reference", "ordered", "sentence"):
        table.add_column(column, overflow="fold")
    for view in found:
        table.add_row(
            str(view.job.id),
            Text(view.job.recipe),
            Text(view.job.state, style=COLOURS[view.job.state]),
            f"{view.live.stored}/{view.live.n}",
            f"{view.live.progress:.0%}",
            Text(view.job.external_ref or ""),
            f"{view.job.ordered_at:%Y-%m-%d %H:%M:%S}Z",
            Text(view.live.sentence[locale]),
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=250)
    console.print(table)


@app.command("show")
def show(job_id: str, locale: Locale = Tongue.EN, as_json: AsJson = False) -> None:
    """One job: how it stands, its slots, purchases, files and timeline."""
    view, story = run(_story(settings(DatabaseSettings), _uuid(job_id)))
    if as_json:
        typer.echo(_json(story, indent=2))
        return
    _tell(view, story["artifacts"], story["timeline"], locale)


def _tell(
    view: View, files: list[dict[str, Any]], timeline: list[dict[str, Any]], locale: Tongue
) -> None:
    job, now = view.job, view.live
    typer.echo(f"job        {job.id}")
    typer.echo(f"recipe     {job.recipe}")
    typer.echo(f"state      {job.state}" + (f": {job.reason}" if job.reason else ""))
    typer.echo(f"           {now.sentence[locale]}")
    for note in now.notes:
        typer.echo(f"           {note[locale]}")
    typer.echo(f"progress   {now.progress:.0%}, {now.stored} of {now.n} stored")
    typer.echo(f"replicate  {now.replicate_status or '-'}{_heard(view)}")
    typer.echo(f"report     {job.report_key or now.report or 'none is made'}")
    if job.external_ref:
        typer.echo(f"reference  {job.external_ref}")
    typer.echo("\nslots")
    for slot, detail in zip(now.slots, view.slots, strict=True):
        failed = detail.failure_code and f"  {detail.failure_code}: {detail.failure_detail}"
        typer.echo(
            f"  {slot.ordinal:>3}  {slot.state:<10} {slot.progress:>4.0%}  attempt {slot.attempt}  "
            f"seed {detail.seed}  {slot.prediction_id or '-'}{failed or ''}"
        )
        for skipped in detail.skipped:
            typer.echo(f"       output {skipped.get('index')} not used: {skipped.get('why')}")
    typer.echo("\nfiles")
    for file in files:
        typer.echo(
            f"  {_named(file):<20} {file['bytes']:>10}  {file['content_type']:<11} "
            f"{_measures(file):<12} {_score(file):<11} {file['key']}"
        )
    typer.echo("\ntimeline (UTC)")
    for entry in timeline:
        typer.echo(
            f"  {entry['recorded_at']:%H:%M:%S.%f}  {entry['type']:<22} {entry['source']:<22} "
            f"{entry['outcome'] or ''}"
        )


def _heard(view: View) -> str:
    at = view.live.last_webhook_received
    return f", last webhook {at:%H:%M:%S}Z" if at else ""


def _named(file: dict[str, Any]) -> str:
    return " ".join(filter(None, (file["kind"], file["variant"])))


def _measures(file: dict[str, Any]) -> str:
    if file["seconds"] is not None:
        return f"{file['seconds']:.2f} s"
    return f"{file['width']} × {file['height']}" if file["width"] else ""


def _score(file: dict[str, Any]) -> str:
    return "" if file["score"] is None else f"score {file['score']:.2f}"


@app.command("watch")
def watch(job_id: str, locale: Locale = Tongue.EN, as_json: AsJson = False) -> None:
    """Follow one job to its end. Exits 1 if it did not complete with its report."""
    chosen, wanted = settings(FollowSettings), _uuid(job_id)
    views = run(_watched(chosen, wanted, JsonLines() if as_json else shown(locale)))
    if not views[wanted].succeeded:
        raise typer.Exit(1)


async def _watched(chosen: FollowSettings, job_id: UUID, show: Any) -> dict[UUID, View]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        await _known(database, job_id)
    return await follow(chosen, [job_id], show=show)


async def _latest(chosen: DatabaseSettings, limit: int, external_ref: str | None) -> list[View]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            if external_ref is not None:
                found = await jobs.by_external_ref(tx, external_ref)
            else:
                found = await jobs.latest(tx, limit=limit)
            return [seen(now) for now in await live.of_jobs(tx, found)]


async def _known(database: Database, job_id: UUID) -> View:
    """The job as it stands; ends the command where there is none."""
    async with database.connection() as tx:
        now = await live.read(tx, job_id)
    if now is None:
        typer.secho(f"no job {job_id} is known here", err=True, fg="red")
        raise typer.Exit(1)
    return seen(now)


async def _story(chosen: DatabaseSettings, job_id: UUID) -> tuple[View, dict[str, Any]]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        view = await _known(database, job_id)
        async with database.connection() as tx:
            files: list[Artifact] = await artifacts.of_job(tx, job_id)
            bought = await predictions.of_job(tx, job_id)
            planned = await slots.of_job(tx, job_id)
            entries = await journal.of_job(tx, job_id)
    story = {
        "job": asdict(view.job) | live_fields(view.live),
        "slots": [asdict(slot) for slot in planned],
        # The token is the key to a slot's webhook, and no business of whoever looks.
        "predictions": [_without_token(asdict(row)) for row in bought],
        "artifacts": [asdict(file) for file in files],
        "timeline": [
            {
                "recorded_at": entry.recorded_at,
                "type": entry.type,
                "source": entry.source,
                "outcome": entry.outcome,
                "ordinal": entry.ordinal,
                "event_id": entry.event_id,
            }
            for entry in entries
        ],
    }
    return view, story


def _without_token(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "token"}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no job id (a uuid)") from None


def _json(what: Any, *, indent: int | None = None) -> str:
    return json.dumps(what, default=str, ensure_ascii=False, indent=indent)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``; a database that is away is a sentence."""
    try:
        return asyncio.run(work)
    except DatabaseUnavailable as error:
        typer.secho(f"Postgres does not answer: {error}", err=True, fg="red")
        raise typer.Exit(1) from None
