"""Look at jobs."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from services.cli.environment import settings
from services.cli.live import COLOURS, FollowSettings, View, follow, look
from shared.db import artifacts, jobs, journal
from shared.db.connection import open_database
from shared.errors import DatabaseUnavailable
from shared.settings import DatabaseSettings

app = typer.Typer(help="Look at jobs.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    external_ref: Annotated[str | None, typer.Option(help="Only jobs with this reference.")] = None,
    as_json: Json = False,
) -> None:
    """The latest jobs, or those with one external reference."""
    found = _run(_latest(settings(DatabaseSettings), limit, external_ref))
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in found], default=str, ensure_ascii=False))
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in ("job", "recipe", "state", "stored", "report", "reference", "ordered", "reason"):
        table.add_column(column, overflow="fold")
    for job in found:
        colour = COLOURS[job.state]
        table.add_row(
            str(job.id),
            job.recipe,
            f"[{colour}]{job.state}[/{colour}]",
            f"{job.stored}/{job.n}",
            job.report if job.state == "completed" else "",
            job.external_ref or "",
            f"{job.ordered_at:%Y-%m-%d %H:%M:%S}Z",
            job.reason or "",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=220)
    console.print(table)


@app.command("show")
def show(job_id: str, as_json: Json = False) -> None:
    """One job: its slots, purchases, files and timeline."""
    job, story = _run(_story(settings(DatabaseSettings), _uuid(job_id)))
    if as_json:
        typer.echo(json.dumps(story, default=str, ensure_ascii=False, indent=2))
        return
    typer.echo(f"job        {job.job.id}")
    typer.echo(f"recipe     {job.job.recipe}")
    typer.echo(f"state      {job.job.state}" + (f": {job.job.reason}" if job.job.reason else ""))
    typer.echo(f"report     {job.job.report_key or job.job.report}")
    if job.job.external_ref:
        typer.echo(f"reference  {job.job.external_ref}")
    typer.echo("\nslots")
    for slot in job.slots:
        bought = job.predictions.get(slot.ordinal)
        typer.echo(
            f"  {slot.ordinal:>3}  {slot.state:<10} attempt {slot.attempt}  seed {slot.seed}  "
            f"{(bought and bought.prediction_id) or '-'}"
            + (f"  {slot.failure_code}: {slot.failure_detail}" if slot.failure_code else "")
        )
    typer.echo("\nfiles")
    for file in story["artifacts"]:
        typer.echo(
            f"  {file['kind']:<10} {file['bytes']:>10}  {file['content_type']:<12} {file['key']}"
        )
    typer.echo("\ntimeline (UTC)")
    for entry in story["timeline"]:
        typer.echo(
            f"  {entry['recorded_at']:%H:%M:%S.%f}  {entry['type']:<22} {entry['source']:<22} "
            f"{entry['outcome'] or ''}"
        )


@app.command("watch")
def watch(job_id: str) -> None:
    """Follow one job to its end. Exits 1 if it did not complete."""
    if not _run(follow(settings(FollowSettings), [_uuid(job_id)])):
        raise typer.Exit(1)


async def _latest(chosen: DatabaseSettings, limit: int, external_ref: str | None) -> list[jobs.Job]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            if external_ref is not None:
                return await jobs.by_external_ref(tx, external_ref)
            return await jobs.latest(tx, limit=limit)


async def _story(chosen: DatabaseSettings, job_id: UUID) -> tuple[View, dict[str, Any]]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        view = await look(database, job_id)
        if view is None:
            typer.secho(f"no job {job_id} is known here", err=True, fg="red")
            raise typer.Exit(1)
        async with database.connection() as tx:
            files = await artifacts.of_job(tx, job_id)
            entries = await journal.of_job(tx, job_id)
    story = {
        "job": asdict(view.job),
        "slots": [asdict(slot) for slot in view.slots],
        # The token is the key to a slot's webhook, and no business of whoever looks.
        "predictions": [_without_token(asdict(row)) for row in view.predictions.values()],
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


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except DatabaseUnavailable as error:
        typer.secho(f"Postgres does not answer: {error}", err=True, fg="red")
        raise typer.Exit(1) from None
