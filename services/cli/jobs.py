"""Look at jobs, and cancel them."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

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
    Unseen,
    View,
    follow,
    live_fields,
    seen,
    shown,
)
from shared.clock import utc_now
from shared.db import artifacts, jobs, journal, live, predictions, retention, slots, spared
from shared.db.connection import Connection, Database, open_database
from shared.db.jobs import Job
from shared.domain.spared import Spared
from shared.domain.trace import trace_id
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import Artifact, JobCancelRequested, adapter, state
from shared.recipes import RECIPES
from shared.recipes.standing import typical_of
from shared.settings import DatabaseSettings

app = typer.Typer(help="Look at jobs, and cancel them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Locale = Annotated[Tongue, typer.Option(help="The language of the sentences.")]

T = TypeVar("T")

RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}


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
    view, story, spares = run(_story(settings(DatabaseSettings), _uuid(job_id)))
    if as_json:
        typer.echo(_json(story, indent=2))
        return
    _tell(view, story["artifacts"], story["timeline"], locale, spares)


def _tell(
    view: View,
    files: list[dict[str, Any]],
    timeline: list[dict[str, Any]],
    locale: Tongue,
    spares: Spared | None,
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
    if spares:
        typer.echo(f"spared     {_told_spared(spares)}")
    if job.external_ref:
        typer.echo(f"reference  {job.external_ref}")
    if job.erased_at:
        typer.echo(
            f"erased     {job.erased_at:%Y-%m-%d %H:%M:%S}Z: files, bodies and inputs are gone"
        )
    if job.traceparent:
        typer.echo(f"trace      {trace_id(job.traceparent)}")
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


@app.command("cancel")
def cancel(
    job_ids: Annotated[list[str], typer.Argument(help="Uuids of jobs.", metavar="ID...")],
    reason: Annotated[
        str, typer.Option(help="Why; it is shown with the job.")
    ] = "asked for by an operator",
    wait: Annotated[bool, typer.Option(help="Wait until they have ended, and say how.")] = False,
) -> None:
    """End jobs now: nothing more is bought, what runs is stopped, and what is stored stays.

    A job that is not known here yet is canceled when its order comes. Exits 1 where one of them had
    ended before.
    """
    wanted = list(dict.fromkeys(_uuid(job_id) for job_id in job_ids))
    try:
        adapter(JobCancelRequested).validate_python({"job_id": wanted[0], "reason": reason})
    except ValueError:
        raise typer.BadParameter("at most 500 characters", param_hint="--reason") from None
    chosen = settings(FollowSettings)
    try:
        before = run(_ask_to_cancel(chosen, wanted, reason))
    except (Permanent, Transient) as error:
        typer.secho(f"not canceled: {error}", err=True, fg="red")
        raise typer.Exit(1) from None
    too_late = [job for job in before.values() if not job.is_open]
    for job_id in wanted:
        job = before.get(job_id)
        if job is None:
            typer.echo(f"{job_id} is not known here yet: it is canceled when its order comes")
        elif job.is_open:
            typer.echo(f"{job_id} is told to end")
        else:
            typer.secho(f"{job_id} has ended before: it is {job.state}", err=True, fg="red")
    if wait:
        open_ = [job.id for job in before.values() if job.is_open]
        for line in run(_how_they_ended(chosen, open_)):
            typer.echo(line)
    if too_late:
        raise typer.Exit(1)


async def _ask_to_cancel(
    chosen: FollowSettings, job_ids: Sequence[UUID], reason: str
) -> dict[UUID, Job]:
    """Publish a wish for each that has not ended; those that are known, as they stood before."""
    from shared.messaging.publisher import open_publisher

    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            before = {job.id: job for job in await jobs.several(tx, job_ids)}
    async with open_publisher(chosen.amqp_url.get_secret_value(), name="darkroom-cli") as publisher:
        for job_id in job_ids:
            if job_id not in before or before[job_id].is_open:
                wish = JobCancelRequested(job_id=job_id, reason=reason)
                await publisher.publish(
                    state(wish, source="cli", now=utc_now(), event_id=str(uuid4()))
                )
    return before


async def _how_they_ended(chosen: FollowSettings, job_ids: Sequence[UUID]) -> list[str]:
    """A line for each job, once all of them have ended."""
    if not job_ids:
        return []
    await follow(chosen, job_ids, show=Unseen())
    lines = []
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            for job in await jobs.several(tx, job_ids):
                spares = await _spared(tx, job)
                told = f": {_told_spared(spares)}" if spares else ""
                lines.append(
                    f"{job.id} is {job.state}, {job.stored} of {job.n} stored and kept{told}"
                )
    return lines


async def _spared(tx: Connection, job: Job) -> Spared | None:
    """What the job's end spared; None where it left nothing open."""
    if job.is_open or not job.canceled:
        return None
    typical = typical_of(RECIPES_BY_NAME.get(job.recipe))
    return await spared.by_the_end_of(tx, job.id, typical=typical, now=utc_now())


def _told_spared(spares: Spared) -> str:
    told = f"{spares.not_bought} never bought, {spares.stopped} stopped at Replicate"
    if spares.dollars is None:
        return told
    return f"{told}, about ${spares.dollars:.4f} saved"


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
        buried = now is None and await retention.is_buried(tx, job_id)
    if now is None:
        said = (
            f"job {job_id} was deleted after its retention"
            if buried
            else f"no job {job_id} is known here"
        )
        typer.secho(said, err=True, fg="red")
        raise typer.Exit(1)
    return seen(now)


async def _story(
    chosen: DatabaseSettings, job_id: UUID
) -> tuple[View, dict[str, Any], Spared | None]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        view = await _known(database, job_id)
        async with database.connection() as tx:
            files: list[Artifact] = await artifacts.of_job(tx, job_id)
            bought = await predictions.of_job(tx, job_id)
            planned = await slots.of_job(tx, job_id)
            entries = await journal.of_job(tx, job_id)
            spares = await _spared(tx, view.job)
    story = {
        "job": asdict(view.job) | live_fields(view.live),
        "spared": asdict(spares) | {"saved": spares.dollars} if spares else None,
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
    return view, story, spares


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
