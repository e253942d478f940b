"""Messages that wait: look at them, bring them back, throw them away."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from services.cli import completing
from services.cli.entries import example
from services.cli.environment import settings
from services.cli.naming import id_shown, parked_ids, read_name, the_job
from services.cli.spans import moment
from services.cli.telling import AsJson, document, fail, list_console, one_line, print_list, run
from shared.clock import utc_now
from shared.db import parked, server_clock
from shared.db.connection import Connection, open_database
from shared.db.parked import EVERYTHING, Before, ParkedMessage, Which
from shared.observability import redacted, redacted_header
from shared.settings import DatabaseSettings

app = typer.Typer(
    help="Messages that wait for their time, or (dead) for an operator.", no_args_is_help=True
)

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        help="Ids as `parked list` shows them, or how they begin; or ids of the events.",
        metavar="[ID]...",
    ),
]
Queue = Annotated[str | None, typer.Option(help="Only of this queue.")]
Type = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]
Reason = Annotated[str | None, typer.Option(help="Only where the reason contains this.")]
Job = Annotated[
    str | None,
    typer.Option(
        help="Only what is about this job: its id, or how it begins.",
        metavar="ID",
        autocompletion=completing.job_ids,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(help="Only what was parked since: 90s, 30m, 12h, 7d ago, or 2026-11-21T04:00Z."),
]
Everything = Annotated[
    bool, typer.Option("--all", help="All that the filters leave; without it, name ids.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say how many it would be, and of what.")
]

BODY_SHOWN = 4_000
WIDE = 180  # characters of a terminal that shows whole ids beside a reason

R = TypeVar("R")


@app.command("list", epilog=example("darkroom parked list --dead --since 1d"))
def list_parked(
    dead: Annotated[
        bool | None,
        typer.Option("--dead/--waiting", help="Only those for an operator, or only the others."),
    ] = None,
    queue: Queue = None,
    event_type: Type = None,
    reason: Reason = None,
    job: Job = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What is parked, the latest first."""
    filters = Which(dead=dead, queue=queue, type=event_type, reason=reason, since=_since(since))
    which = _meant(filters, None, job)

    async def look(tx: Connection) -> tuple[list[ParkedMessage], int]:
        return await parked.listing(tx, which, limit=limit), await parked.how_many(tx, which)

    found, all_of_them = _run(look)
    if as_json:
        document([_facts(message) for message in found])
        return
    console = list_console()
    whole = console.width >= WIDE
    table = Table(show_edge=False, pad_edge=False)
    for column in ("id", "queue", "type", "job", "state", "tries", "parked", "reason"):
        # An id that is broken over lines is none that could be copied.
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for message in found:
        table.add_row(
            id_shown(message.id, whole=whole),
            Text(one_line(message.queue)),
            Text(one_line(message.type)),
            Text(one_line(_job_shown(message.subject, whole=whole))),
            "[red]dead[/red]" if message.is_dead else f"due {_when(message)}",
            str(message.attempts),
            f"{message.parked_at:%Y-%m-%d %H:%M:%S}Z",
            Text(_line(message.reason)[:300]),
        )
    if not found:
        typer.echo("nothing is parked" + (" that fits" if which != EVERYTHING else ""))
        return
    print_list(console, table)
    if all_of_them > len(found):
        typer.echo(f"{all_of_them - len(found)} more; --limit shows them")


@app.command("show", epilog=example("darkroom parked show ID --body"))
def show(
    message_id: Annotated[
        str,
        typer.Argument(
            help="An id as `parked list` shows it, or how it begins; or the id of its event.",
            metavar="ID",
        ),
    ],
    body: Annotated[
        bool, typer.Option("--body", help="Its body too. It may hold links that open files.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One parked message and its story."""
    which = _meant(EVERYTHING, [message_id], None)

    async def look(tx: Connection) -> list[tuple[ParkedMessage, Before | None]]:
        messages = await parked.listing(tx, which, limit=100)
        return [(message, await parked.before(tx, message)) for message in messages]

    found = _run(look)
    if not found:
        _none(message_id)
    if as_json:
        document(
            [
                _facts(message, body=body) | {"parked_before": before and asdict(before)}
                for message, before in found
            ]
        )
        return
    for message, before in found:
        state = "dead: it waits for an operator" if message.is_dead else f"due {_when(message)}"
        typer.echo(f"id         {message.id}")
        typer.echo(f"state      {state}")
        typer.echo(f"queue      {one_line(message.queue)}")
        event = f"{message.type} {message.event_id} from {message.source}"
        typer.echo(f"event      {one_line(event)}")
        if message.subject:
            typer.echo(f"job        {one_line(message.subject)}")
        typer.echo(f"tries      {message.attempts}")
        typer.echo(f"first      {message.first_at:%Y-%m-%d %H:%M:%S}Z")
        typer.echo(f"parked     {message.parked_at:%Y-%m-%d %H:%M:%S}Z")
        if before:
            often = "once" if before.times == 1 else f"{before.times} times"
            last = f"{before.last_at:%Y-%m-%d %H:%M:%S}Z"
            typer.echo(f"before     parked {often}, last brought back {last}")
        if message.expires_at:
            typer.echo(f"expires    {message.expires_at:%Y-%m-%d %H:%M:%S}Z")
        typer.echo(f"reason     {_line(message.reason)}")
        for name, value in message.headers.items():
            typer.echo(f"header     {one_line(f'{name}: {redacted_header(name, value)}')}")
        if message.trace:
            typer.echo(f"\n{redacted(message.trace)}")
        if body:
            typer.echo(f"\n{_text(message.body)}")


@app.command("replay", epilog=example("darkroom parked replay --all --queue darkroom.report.jobs"))
def replay(
    ids: Ids = None,
    everything: Everything = False,
    dead: Annotated[
        bool, typer.Option("--dead/--any", help="Only dead ones, or those that wait as well.")
    ] = True,
    queue: Queue = None,
    event_type: Type = None,
    reason: Reason = None,
    job: Job = None,
    since: Since = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring messages back now, with all their tries before them again.

    Safe at any time: who handled a message before finds its work done and does nothing.
    """
    which = _which(ids, everything, dead, queue, event_type, reason, job, since)
    if dry_run:
        _would_be(which, "brought back", as_json=as_json)
        return
    count = _run(lambda tx: parked.bring_back(tx, which))
    if not count:
        _nothing_fits(which, as_json=as_json, done="brought_back")
    elif as_json:
        document({"brought_back": count})
    else:
        typer.echo(f"{count} brought back; the reconciler publishes them within a second or two")


@app.command("discard", epilog=example("darkroom parked discard ID --yes"))
def discard(
    ids: Ids = None,
    everything: Everything = False,
    dead: Annotated[
        bool, typer.Option("--dead/--any", help="Only dead ones, or those that wait as well.")
    ] = True,
    queue: Queue = None,
    event_type: Type = None,
    reason: Reason = None,
    job: Job = None,
    since: Since = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Throw messages away for good. Look at them first."""
    which = _which(ids, everything, dead, queue, event_type, reason, job, since)
    if dry_run:
        _would_be(which, "discarded", as_json=as_json)
        return
    # What is parked from now on was not looked at, and is not discarded with the rest.
    which = replace(which, until=_run(server_clock.read))
    count = _run(lambda tx: parked.how_many(tx, which))
    if not count:
        _nothing_fits(which, as_json=as_json, done="discarded")
        return
    if not yes:
        typer.confirm(f"discard {count} for good?", abort=True, err=as_json)
    gone = _run(lambda tx: parked.discard(tx, which))
    if as_json:
        document({"discarded": gone})
    else:
        typer.echo(f"{gone} discarded")


def _which(
    ids: list[str] | None,
    everything: bool,
    dead: bool,
    queue: str | None,
    event_type: str | None,
    reason: str | None,
    job: str | None,
    since: str | None,
) -> Which:
    if bool(ids) == everything:
        raise typer.BadParameter("name ids, or say --all (with filters, if you like)")
    filters = Which(
        dead=True if dead else None,
        queue=queue,
        type=event_type,
        reason=reason,
        since=_since(since),
    )
    which = _meant(filters, ids or None, job)
    for named, meant in zip(ids or (), which.named or (), strict=True):
        if named != meant:
            # Whoever throws something away sees what it is, also where nobody is asked.
            typer.echo(f"{named} is {meant}", err=True)
    return which


def _meant(filters: Which, ids: list[str] | None, job: str | None) -> Which:
    """``filters``, and the messages and the job that somebody named. Ends the command where a
    beginning is not one's alone."""
    name = None if job is None else read_name(job)

    async def look(tx: Connection) -> Which:
        return replace(
            filters,
            named=None if ids is None else await parked_ids(tx, ids),
            job=None if name is None else await the_job(tx, name),
        )

    return filters if ids is None and name is None else _run(look)


def _since(since: str | None) -> datetime | None:
    return None if since is None else moment(since, "--since", now=utc_now())


def _would_be(which: Which, done: str, *, as_json: bool) -> None:
    """How many, and a line for each kind, so that a slip of the filters is seen before it costs."""
    kinds = _run(lambda tx: parked.kinds(tx, which))
    if as_json:
        told = [asdict(kind) | {"reason": _line(kind.reason)} for kind in kinds]
        document({"would_be": sum(kind.count for kind in kinds), "kinds": told})
        return
    typer.echo(f"{sum(kind.count for kind in kinds)} would be {done}")
    for kind in kinds:
        latest = _line(kind.reason)[:120]
        named = f"{one_line(kind.queue)}  {one_line(kind.type)}"
        typer.echo(f"{kind.count:>7}  {named}  the latest: {latest}")


def _facts(message: ParkedMessage, *, body: bool = False) -> dict[str, Any]:
    told = asdict(message)
    told["reason"], told["trace"] = redacted(message.reason), redacted(message.trace or "") or None
    told["headers"] = {n: redacted_header(n, value) for n, value in message.headers.items()}
    told["state"] = "dead" if message.is_dead else "waiting"
    told["body"] = _text(message.body) if body else None
    return told


def _text(body: bytes) -> str:
    """As text, without what opens something; a body of another kind as an excerpt of its bytes."""
    try:
        return redacted(body.decode())
    except UnicodeDecodeError:
        return repr(body[:BODY_SHOWN])


def _when(message: ParkedMessage) -> str:
    if message.due_at is None:
        return ""
    seconds = round((message.due_at - utc_now()).total_seconds())
    return f"in {seconds} s" if seconds > 0 else "now"


def _job_shown(subject: str | None, *, whole: bool) -> str:
    """The job that a message is about; another team's subject is shown as it is."""
    try:
        return id_shown(UUID(subject or ""), whole=whole)
    except ValueError:
        return subject or ""


def _line(reason: str) -> str:
    return one_line(redacted(reason))


def _nothing_fits(which: Which, *, as_json: bool, done: str) -> None:
    """Say that nothing is meant; of named messages, whether they are there and only wait."""
    if which.named is None and as_json:
        document({done: 0})
        return
    if which.named is None:
        typer.echo("nothing is parked that fits")
        return
    waiting = _run(lambda tx: parked.how_many(tx, Which(named=which.named, dead=False)))
    if which.dead and waiting:
        fail(
            "not dead: it waits for its time, which `darkroom parked show` tells; "
            "--any means such ones too"
        )
    _none(", ".join(which.named))


def _none(named: str) -> NoReturn:
    fail(f"nothing is parked under {named}")


def _run(work: Callable[[Connection], Awaitable[R]]) -> R:
    chosen = settings(DatabaseSettings)

    async def within_a_transaction() -> R:
        url = chosen.database_url.get_secret_value()
        async with open_database(url, name="cli") as database, database.transaction() as tx:
            return await work(tx)

    return run(within_a_transaction())
