"""Look at jobs, and cancel them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from services.cli import completing, waiting
from services.cli.entries import example
from services.cli.environment import settings
from services.cli.erase import erase
from services.cli.exit_codes import ExitCode
from services.cli.job_words import LABELS, Labels
from services.cli.live import (
    COLOURS,
    FollowSettings,
    JsonLines,
    Tongue,
    Unseen,
    View,
    follow,
    how_it_ended,
    live_fields,
    seen,
    shown,
)
from services.cli.naming import id_shown, meant_by, read_name, the_job
from services.cli.retry import retry
from services.cli.spans import moment
from services.cli.telling import (
    AsJson,
    document,
    fail,
    list_console,
    one_line,
    print_list,
    run,
    warn,
)
from services.cli.where import draw
from shared.clock import utc_now
from shared.db import (
    artifacts,
    jobs,
    journal,
    listing,
    live,
    parked,
    predictions,
    retention,
    slots,
    spared,
    times,
)
from shared.db.connection import Connection, Database, open_database
from shared.db.jobs import Job, Wanted
from shared.db.journal import Entry
from shared.db.listing import Listed
from shared.db.live import JobNow
from shared.domain import cursor
from shared.domain.cost import Bill, bill
from shared.domain.doing import Doing
from shared.domain.job import JobState
from shared.domain.slowest import as_data
from shared.domain.spared import Spared
from shared.domain.telling import taken_over
from shared.domain.trace import trace_id
from shared.domain.waterfall import Waterfall, waterfall
from shared.errors import Permanent
from shared.events import Artifact, JobCancelRequested, adapter, state
from shared.once_more import said
from shared.recipes import RECIPES
from shared.recipes.standing import typical_of
from shared.settings import DatabaseSettings
from shared.timeline import words_of
from shared.words import VOCABULARIES

app = typer.Typer(help="Look at jobs, and cancel them.", no_args_is_help=True)

Locale = Annotated[Tongue, typer.Option(help="The language of what is shown.")]
JobId = Annotated[
    str,
    typer.Argument(
        help="The id of a job, or how it begins (8 digits or more).",
        metavar="ID",
        autocompletion=completing.job_ids,
    ),
]

WIDE = 140  # characters of a terminal that shows whole ids beside a sentence

RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}


@app.command("list", epilog=example("darkroom jobs list --state running --since 12h"))
def list_jobs(
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Only of this recipe.", autocompletion=completing.recipe_names),
    ] = None,
    external_ref: Annotated[str | None, typer.Option(help="Only jobs with this reference.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only those taken in since: 90s, 30m, 12h, 7d, or 2026-11-21T04:00Z."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    after: Annotated[
        str | None,
        typer.Option("--cursor", help="Go on behind a list: what it said at its end."),
    ] = None,
    locale: Locale = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """The latest jobs, or those that all filters fit."""
    wanted = Wanted(
        state=state,
        recipe=recipe,
        external_ref=external_ref,
        since=None if since is None else moment(since, "--since", now=utc_now()),
        before=None if after is None else _place(after),
    )
    listed = run(_latest(settings(DatabaseSettings), wanted, limit))
    if as_json:
        document([_facts(one) for one in listed.found])
    elif listed.found:
        _print_table(listed, locale)
    say = LABELS[locale]
    if listed.goes_on is not None:
        typer.echo(say.more.format(cursor=cursor.written(listed.goes_on)), err=True)
    if not listed.found and not as_json:
        filtered = wanted != Wanted(external_ref=external_ref)
        nothing = say.none_known if external_ref is None else say.none_with
        typer.echo((say.none_fits if filtered else nothing).format(ref=external_ref), err=True)


def _place(after: str) -> cursor.Place:
    try:
        return cursor.read(after)
    except ValueError as error:
        raise typer.BadParameter(f"{after!r} {error}", param_hint="--cursor") from None


def _facts(one: JobNow | Entry) -> dict[str, Any]:
    """A job's own fields and the live ones; of an order that nobody has planned yet those that it
    has, and the others null."""
    if isinstance(one, JobNow):
        view = seen(one)
        return asdict(view.job) | live_fields(view.live)
    order = said(one)
    return dict.fromkeys(field.name for field in fields(Job)) | {
        "id": one.job_id,
        "recipe": order.get("recipe"),
        "external_ref": order.get("external_ref"),
        "retry_of": order.get("retry_of"),
        "created_at": one.recorded_at,
        "ordered_at": one.occurred_at,
        "state": JobState.PENDING,
        "sentence": _WAITING,
        "progress": 0.0,
        "replicate_status": None,
        "last_webhook_received": None,
        "report": "pending",
        "stored": 0,
        "n": 0,
        "waits_for": None,
        "held_until": None,
        "notes": [],
    }


_WAITING = {tongue: words.alone[Doing.WAITING] for tongue, words in VOCABULARIES.items()}


def _print_table(listed: Listed, locale: Tongue) -> None:
    console = list_console()
    # A narrow terminal has room for the beginning of an id, which the other commands take too.
    whole = console.width >= WIDE
    say = LABELS[locale]
    table = Table(show_edge=False, pad_edge=False)
    for column in (say.job, say.recipe, say.state, say.stored, ""):
        table.add_column(column, no_wrap=True)
    for column in (say.reference, say.ordered, say.sentence):
        table.add_column(column, overflow="fold")
    for one in listed.found:
        told = _facts(one)
        table.add_row(
            id_shown(told["id"], whole=whole),
            Text(one_line(str(told["recipe"]))),
            Text(say.states.get(told["state"], told["state"]), style=COLOURS[told["state"]]),
            f"{told['stored']}/{told['n']}",
            f"{told['progress']:.0%}",
            Text(one_line(told["external_ref"] or "")),
            f"{told['ordered_at']:%Y-%m-%d %H:%M:%S}Z",
            Text(one_line(told["sentence"][locale])),
        )
    print_list(console, table)


@app.command("show", epilog=example("darkroom jobs show 7b2f6a52 --where"))
def show(
    job_id: JobId,
    where: Annotated[
        bool, typer.Option("--where", help="Only where each second of its slots went.")
    ] = False,
    webhooks: Annotated[
        bool, typer.Option("--webhooks", help="Only its webhooks, with their bodies as they came.")
    ] = False,
    locale: Locale = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """One job: how it stands, its slots, purchases, files, timeline and cost."""
    if where and webhooks:
        raise typer.BadParameter("say --where or --webhooks, not both")
    if where:
        fall = run(_fallen(settings(DatabaseSettings), read_name(job_id)))
        if as_json:
            document(as_data(fall), indent=2)
        else:
            draw(fall, locale)
        return
    if webhooks:
        _tell_webhooks(read_name(job_id), as_json=as_json)
        return
    view, story, spares, costs, waits = run(_story(settings(DatabaseSettings), read_name(job_id)))
    if as_json:
        document(story, indent=2)
        return
    _tell(view, story["artifacts"], story["timeline"], locale, spares, costs, waits)


def _tell_webhooks(name: UUID | str, *, as_json: bool) -> None:
    from services.cli.webhooks import of_job, tell

    async def look() -> list[dict[str, Any]]:
        url = settings(DatabaseSettings).database_url.get_secret_value()
        async with open_database(url, name="cli") as database:
            job_id = (await _known(database, name)).job.id
            async with database.connection() as db:
                return await of_job(db, job_id)

    rows = run(look())
    if as_json:
        document(rows)
        return
    for row in rows:
        tell(row, body=True)
        typer.echo("")
    if not rows:
        typer.echo("no webhook of it is kept here", err=True)


def _tell(
    view: View,
    files: list[dict[str, Any]],
    timeline: list[dict[str, Any]],
    locale: Tongue,
    spares: Spared | None,
    costs: Bill,
    waits: waiting.Waits,
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
    for number, why in enumerate(waiting.told(view, waits, say)):
        line("" if number else say.waits, why)
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
    width = max(map(cell_len, (*labels, say.spared, say.reference, say.waits))) + 2

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


@app.command("watch", epilog=example("darkroom jobs watch 7b2f6a52"))
def watch(job_id: JobId, locale: Locale = Tongue.EN, as_json: AsJson = False) -> None:
    """Follow one job to its end. Exits 1 if it failed or got no report, 4 if it was canceled.

    With --json a line for each change. Ctrl-C stops looking; the job goes on.
    """
    name = read_name(job_id)
    chosen = settings(FollowSettings)
    view = run(_watched(chosen, name, JsonLines() if as_json else shown(locale)))
    raise typer.Exit(how_it_ended(view))


@app.command("cancel", epilog=example('darkroom jobs cancel 7b2f6a52 --reason "a mistake" --wait'))
def cancel(
    job_ids: Annotated[
        list[str],
        typer.Argument(
            help="Ids of jobs, or how they begin.",
            metavar="ID...",
            autocompletion=completing.open_job_ids,
        ),
    ],
    reason: Annotated[
        str, typer.Option(help="Why; it is shown with the job.")
    ] = "asked for by an operator",
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait, drawing nothing, until they have ended, and say how."),
    ] = False,
    as_json: AsJson = False,
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
        wanted, before = run(_ask_to_cancel(chosen, names, reason), cannot="not canceled")
    except Permanent as error:
        fail(f"not canceled: {error}")
    open_ = [job.id for job in before.values() if job.is_open]
    # Lines for people come as it goes; a document comes whole.
    if not as_json:
        for job_id in wanted:
            _tell_wish(job_id, before.get(job_id))
    ended = run(_how_they_ended(chosen, open_)) if wait else {}
    if as_json:
        document([_wish(job_id, before.get(job_id), ended.get(job_id)) for job_id in wanted])
    else:
        for job, spares in ended.values():
            told = f": {_told_spared(spares, LABELS[Tongue.EN])}" if spares else ""
            typer.echo(f"{job.id} is {job.state}, {job.stored} of {job.n} stored and kept{told}")
    if len(open_) < len(before):
        raise typer.Exit(ExitCode.FOUND)


def _tell_wish(job_id: UUID, before: Job | None) -> None:
    if before is None:
        typer.echo(f"{job_id} is not known here yet: it is canceled when its order comes")
    elif before.is_open:
        typer.echo(f"{job_id} is told to end")
    else:
        warn(f"{job_id} has ended before: it is {before.state}")


def _wish(
    job_id: UUID, before: Job | None, ended: tuple[Job, Spared | None] | None
) -> dict[str, Any]:
    """``asked``: a wish was published; ``state`` is the latest that is known, null where the job
    is not."""
    job, spares = ended or (before, None)
    return {
        "job_id": job_id,
        "asked": before is None or before.is_open,
        "state": job.state if job else None,
        "stored": job.stored if job else None,
        "n": job.n if job else None,
        "spared": asdict(spares) | {"saved": spares.dollars} if spares else None,
    }


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


async def _how_they_ended(
    chosen: FollowSettings, job_ids: Sequence[UUID]
) -> dict[UUID, tuple[Job, Spared | None]]:
    """Each job, once all of them have ended, and what its end spared."""
    if not job_ids:
        return {}
    await follow(chosen, job_ids, show=Unseen())
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            return {
                job.id: (job, await _spared(tx, job)) for job in await jobs.several(tx, job_ids)
            }


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
    """How the job stood at its end. An order that nobody has planned yet is waited for."""
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as db:
            job_id = await the_job(db, name)
            waits = await _is_ordered(db, job_id)
        if not waits:
            job_id = (await _known(database, job_id)).job.id
    return (await follow(chosen, [job_id], show=show))[job_id]


async def _is_ordered(db: Connection, job_id: UUID) -> bool:
    """An order for it was taken, and nobody has planned it yet."""
    if await jobs.get(db, job_id) is not None or await retention.is_buried(db, job_id):
        return False
    return await journal.order_of(db, job_id) is not None


async def _latest(chosen: DatabaseSettings, wanted: Wanted, limit: int) -> Listed:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as db:
            return await listing.latest(db, wanted, limit=limit)


async def _known(database: Database, name: UUID | str) -> View:
    """The job as it stands; ends the command where there is none."""
    async with database.connection() as tx:
        job_id = await the_job(tx, name)
        now = await live.read(tx, job_id)
        if now is None:
            warn(await _why_unknown(tx, job_id))
            raise typer.Exit(ExitCode.FOUND)
    return seen(now)


async def _why_unknown(tx: Connection, job_id: UUID) -> str:
    if await retention.is_buried(tx, job_id):
        return f"job {job_id} was deleted after its retention"
    about_it = waiting.told_parked(await parked.of_job(tx, job_id), job_id, LABELS[Tongue.EN])
    if await _is_ordered(tx, job_id):
        ordered = f"job {job_id} is ordered, and waits to be planned; `jobs watch` waits with it"
        return "\n".join([ordered, *about_it])
    return "\n".join([f"no job {job_id} is known here", *about_it])


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
) -> tuple[View, dict[str, Any], Spared | None, Bill, waiting.Waits]:
    async with open_database(chosen.database_url.get_secret_value(), name="cli") as database:
        view = await _known(database, name)
        job_id = view.job.id
        async with database.connection() as tx:
            files: list[Artifact] = await artifacts.of_job(tx, job_id)
            bought = await predictions.of_job(tx, job_id)
            planned = await slots.of_job(tx, job_id)
            entries = await journal.of_job(tx, job_id)
            spares = await _spared(tx, view.job)
            waits = await waiting.look(tx, view)
    costs = bill(bought)
    story = {
        "job": asdict(view.job) | live_fields(view.live),
        **waits.data,
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
    return view, story, spares, costs, waits


def _without_token(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "token"}


app.command("retry", epilog=example("darkroom jobs retry 7b2f6a52 --watch"))(retry)
app.command(
    "erase", epilog=example("darkroom jobs erase 7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11 --yes")
)(erase)
