"""Look at jobs, and cancel them."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.environment import settings
from services.cli.job_words import LABELS, Labels
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
from services.cli.naming import SHORTEST, meant_by, read_name
from services.cli.where import draw
from shared.clock import utc_now
from shared.db import artifacts, jobs, journal, live, predictions, retention, slots, spared, times
from shared.db.connection import Connection, Database, open_database
from shared.db.jobs import Job
from shared.domain.cost import Bill, bill
from shared.domain.slowest import as_data
from shared.domain.spared import Spared
from shared.domain.telling import taken_over
from shared.domain.trace import trace_id
from shared.domain.waterfall import Waterfall, waterfall
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import Artifact, JobCancelRequested, adapter, state
from shared.recipes import RECIPES
from shared.recipes.standing import typical_of
from shared.settings import DatabaseSettings
from shared.timeline import words_of

app = typer.Typer(help="Look at jobs, and cancel them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Locale = Annotated[Tongue, typer.Option(help="The language of what is shown.")]
JobId = Annotated[
    str, typer.Argument(help="The id of a job, or how it begins (8 digits or more).", metavar="ID")
]

T = TypeVar("T")

WIDE = 140  # characters of a terminal that shows whole ids beside a sentence

RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    external_ref: Annotated[str | None, typer.Option(help="Only jobs with this reference.")] = None,
    locale: Locale = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """The latest jobs, or those with one external reference."""
    # One more than is shown tells whether there are more.
    found = run(_latest(settings(DatabaseSettings), limit + 1, external_ref))
    shown, more = found[:limit], len(found) > limit
    if as_json:
        typer.echo(_json([asdict(view.job) | live_fields(view.live) for view in shown]))
    elif shown:
        _print_table(shown, locale)
    say = LABELS[locale]
    if more:
        typer.echo(say.more, err=True)
    if not shown and not as_json:
        nothing = say.none_known if external_ref is None else say.none_with
        typer.echo(nothing.format(ref=external_ref), err=True)


def _print_table(views: Sequence[View], locale: Tongue) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=250)
    # A narrow terminal has room for the beginning of an id, which the other commands take too.
    whole = console.width >= WIDE
    say = LABELS[locale]
    table = Table(show_edge=False, pad_edge=False)
    for column in (say.job, say.recipe, say.state, say.stored, ""):
        table.add_column(column, no_wrap=True)
    for column in (say.reference, say.ordered, say.sentence):
        table.add_column(column, overflow="fold")
    for view in views:
        table.add_row(
            str(view.job.id) if whole else str(view.job.id)[:SHORTEST],
            Text(view.job.recipe),
            Text(say.states.get(view.job.state, view.job.state), style=COLOURS[view.job.state]),
            f"{view.live.stored}/{view.live.n}",
            f"{view.live.progress:.0%}",
            Text(view.job.external_ref or ""),
            f"{view.job.ordered_at:%Y-%m-%d %H:%M:%S}Z",
            Text(view.live.sentence[locale]),
        )
    console.print(table)


@app.command("show")
def show(
    job_id: JobId,
    where: Annotated[
        bool, typer.Option("--where", help="Only where each second of its slots went.")
    ] = False,
    locale: Locale = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """One job: how it stands, its slots, purchases, files and timeline."""
    if where:
        fall = run(_fallen(settings(DatabaseSettings), read_name(job_id)))
        if as_json:
            typer.echo(_json(as_data(fall), indent=2))
        else:
            draw(fall, locale)
        return
    view, story, spares, costs = run(_story(settings(DatabaseSettings), read_name(job_id)))
    if as_json:
        typer.echo(_json(story, indent=2))
        return
    _tell(view, story["artifacts"], story["timeline"], locale, spares, costs)


def _tell(
    view: View,
    files: list[dict[str, Any]],
    timeline: list[dict[str, Any]],
    locale: Tongue,
    spares: Spared | None,
    costs: Bill,
) -> None:
    job, now, say = view.job, view.live, LABELS[locale]
    line = _lines_under(say)
    line(say.job, str(job.id))
    line(say.recipe, job.recipe)
    line(
        say.state, say.states.get(job.state, job.state) + (f": {job.reason}" if job.reason else "")
    )
    line("", now.sentence[locale])
    for note in now.notes:
        line("", note[locale])
    line(say.progress, f"{now.progress:.0%}, {say.stored_of.format(stored=now.stored, n=now.n)}")
    line(say.replicate, (now.replicate_status or "-") + _heard(view, say))
    line(say.report, job.report_key or now.report or say.no_report)
    line(say.cost, _told_cost(costs, say))
    if spares:
        line(say.spared, _told_spared(spares, say))
    if job.external_ref:
        line(say.reference, job.external_ref)
    if job.erased_at:
        line(say.erased, f"{job.erased_at:%Y-%m-%d %H:%M:%S}Z: {say.what_is_erased}")
    if job.traceparent:
        line(say.trace, trace_id(job.traceparent))
    typer.echo(f"\n{say.slots}")
    for slot, detail in zip(now.slots, view.slots, strict=True):
        failed = detail.failure_code and f"  {detail.failure_code}: {detail.failure_detail}"
        typer.echo(
            f"  {slot.ordinal:>3}  {say.states.get(slot.state, slot.state):<10} "
            f"{slot.progress:>4.0%}  {say.attempt.format(attempt=slot.attempt)}  "
            f"{say.seed.format(seed=detail.seed)}  {slot.prediction_id or '-'}{failed or ''}"
        )
        if detail.reused_from is not None:
            typer.echo(f"       {taken_over(detail.reused_from)[locale]}")
        for skipped in detail.skipped:
            unused = say.not_used.format(index=skipped.get("index"), why=skipped.get("why"))
            typer.echo(f"       {unused}")
    typer.echo(f"\n{say.files}")
    for file in files:
        score = "" if file["score"] is None else say.score.format(score=file["score"])
        typer.echo(
            f"  {_named(file):<20} {file['bytes']:>10}  {file['content_type']:<11} "
            f"{_measures(file):<12} {score:<11} {file['key']}"
        )
    typer.echo(f"\n{say.timeline}")
    for entry in timeline:
        outcome = entry["outcome"] or ""
        words = entry["words"] or {}
        typer.echo(
            f"  {entry['recorded_at']:%H:%M:%S.%f}  {entry['type']:<22} {entry['source']:<22} "
            f"{words.get(locale) or say.outcomes.get(outcome, outcome)}"
        )


def _lines_under(say: Labels) -> Callable[[str, str], None]:
    """Writes a label and what is said under it. A letter of Korean is as wide as two."""
    labels = (say.job, say.recipe, say.state, say.progress, say.replicate, say.report, say.cost)
    width = max(map(cell_len, (*labels, say.spared, say.reference))) + 2

    def write(label: str, words: str) -> None:
        typer.echo(label + " " * (width - cell_len(label)) + words)

    return write


def _heard(view: View, say: Labels) -> str:
    at = view.live.last_webhook_received
    return f", {say.last_webhook.format(at=f'{at:%H:%M:%S}Z')}" if at else ""


def _named(file: dict[str, Any]) -> str:
    return " ".join(filter(None, (file["kind"], file["variant"])))


def _measures(file: dict[str, Any]) -> str:
    if file["seconds"] is not None:
        return f"{file['seconds']:.2f} s"
    return f"{file['width']} × {file['height']}" if file["width"] else ""


@app.command("watch")
def watch(job_id: JobId, locale: Locale = Tongue.EN, as_json: AsJson = False) -> None:
    """Follow one job to its end. Exits 1 if it did not complete with its report."""
    name = read_name(job_id)
    chosen = settings(FollowSettings)
    view = run(_watched(chosen, name, JsonLines() if as_json else shown(locale)))
    if not view.succeeded:
        raise typer.Exit(1)


@app.command("cancel")
def cancel(
    job_ids: Annotated[
        list[str], typer.Argument(help="Ids of jobs, or how they begin.", metavar="ID...")
    ],
    reason: Annotated[
        str, typer.Option(help="Why; it is shown with the job.")
    ] = "asked for by an operator",
    wait: Annotated[bool, typer.Option(help="Wait until they have ended, and say how.")] = False,
) -> None:
    """End jobs now: nothing more is bought, what runs is stopped, and what is stored stays.

    A job that is not known here yet is canceled when its order comes, if its whole id is given.
    Exits 1 where one of them had ended before.
    """
    names = [read_name(job_id) for job_id in job_ids]
    try:
        adapter(JobCancelRequested).validate_python({"job_id": UUID(int=0), "reason": reason})
    except ValueError:
        raise typer.BadParameter("at most 500 characters", param_hint="--reason") from None
    chosen = settings(FollowSettings)
    try:
        wanted, before = run(_ask_to_cancel(chosen, names, reason))
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
    chosen: FollowSettings, names: Sequence[UUID | str], reason: str
) -> tuple[list[UUID], dict[UUID, Job]]:
    """Publish a wish for each that has not ended; the jobs that are meant, and those of them that
    are known, as they stood before."""
    from shared.messaging.publisher import open_publisher

    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            job_ids = await meant_by(tx, names)
            before = {job.id: job for job in await jobs.several(tx, job_ids)}
    async with open_publisher(chosen.amqp_url.get_secret_value(), name="darkroom-cli") as publisher:
        for job_id in job_ids:
            if job_id not in before or before[job_id].is_open:
                wish = JobCancelRequested(job_id=job_id, reason=reason)
                await publisher.publish(
                    state(wish, source="cli", now=utc_now(), event_id=str(uuid4()))
                )
    return job_ids, before


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
                told = f": {_told_spared(spares, LABELS[Tongue.EN])}" if spares else ""
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


def _told_cost(costs: Bill, say: Labels) -> str:
    """What is paid, what is expected beside it, and of how much nobody knows."""
    told = []
    if costs.paid or not costs.open:
        told.append(say.paid.format(dollars=costs.paid_micros / 1e6, count=costs.paid))
    if expected := costs.open - costs.unknown:
        told.append(say.expected.format(dollars=costs.open_micros / 1e6, count=expected))
    if costs.unknown:
        told.append(say.unpriced.format(count=costs.unknown))
    return ", ".join(told)


def _told_spared(spares: Spared, say: Labels) -> str:
    told = say.spared_of.format(not_bought=spares.not_bought, stopped=spares.stopped)
    if spares.dollars is None:
        return told
    return f"{told}, {say.saved.format(dollars=spares.dollars)}"


async def _watched(chosen: FollowSettings, name: UUID | str, show: Any) -> View:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        job_id = (await _known(database, name)).job.id
    return (await follow(chosen, [job_id], show=show))[job_id]


async def _latest(chosen: DatabaseSettings, limit: int, external_ref: str | None) -> list[View]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            if external_ref is not None:
                found = await jobs.by_external_ref(tx, external_ref, limit=limit)
            else:
                found = await jobs.latest(tx, limit=limit)
            return [seen(now) for now in await live.of_jobs(tx, found)]


async def _known(database: Database, name: UUID | str) -> View:
    """The job as it stands; ends the command where there is none."""
    async with database.connection() as tx:
        [job_id] = await meant_by(tx, [name])
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


async def _fallen(chosen: DatabaseSettings, name: UUID | str) -> Waterfall:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        job_id = (await _known(database, name)).job.id
        async with database.connection() as tx:
            known = await times.read(tx, job_id)
    if known is None:
        raise LookupError(f"job {job_id} was deleted while it was read")
    return waterfall(known)


async def _story(
    chosen: DatabaseSettings, name: UUID | str
) -> tuple[View, dict[str, Any], Spared | None, Bill]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        view = await _known(database, name)
        job_id = view.job.id
        async with database.connection() as tx:
            files: list[Artifact] = await artifacts.of_job(tx, job_id)
            bought = await predictions.of_job(tx, job_id)
            planned = await slots.of_job(tx, job_id)
            entries = await journal.of_job(tx, job_id)
            spares = await _spared(tx, view.job)
    costs = bill(bought)
    story = {
        "job": asdict(view.job) | live_fields(view.live),
        "cost": asdict(costs) | {"micros": costs.micros},
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
                "words": words_of(entry.type, entry.body),
                "ordinal": entry.ordinal,
                "event_id": entry.event_id,
            }
            for entry in entries
        ],
    }
    return view, story, spares, costs


def _without_token(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "token"}


def _json(what: Any, *, indent: int | None = None) -> str:
    return json.dumps(what, default=str, ensure_ascii=False, indent=indent)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``; a database that is away is a sentence."""
    try:
        return asyncio.run(work)
    except DatabaseUnavailable as error:
        typer.secho(f"Postgres does not answer: {error}", err=True, fg="red")
        raise typer.Exit(1) from None
