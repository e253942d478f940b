"""The webhook archive: what came, what it did here, and what was not believed."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from services.cli import completing
from services.cli.entries import example
from services.cli.environment import settings
from services.cli.naming import id_shown, read_name, the_job
from services.cli.spans import moment
from services.cli.telling import AsJson, document, fail, list_console, print_list, run
from shared.archived import as_text, received_at
from shared.clock import utc_now
from shared.db import journal, refused
from shared.db.connection import Connection, open_database
from shared.db.journal import Entry, NewsWanted
from shared.domain.prediction import Unreadable, read_prediction
from shared.domain.refusal import RefusedWebhook
from shared.envelope import FROM_RECONCILER, FROM_WEBHOOK, WEBHOOK_ID
from shared.observability import redacted, redacted_header
from shared.settings import DatabaseSettings

app = typer.Typer(
    help="Webhooks as they came: bodies, headers, and what became of each.", no_args_is_help=True
)

Row = dict[str, Any]


OF_ONE_JOB = 10_000
WIDE = 160  # characters of a terminal that shows whole ids of jobs


@app.command("list", epilog=example("darkroom webhooks list --since 1h --refused"))
def list_webhooks(
    job: Annotated[
        str | None,
        typer.Option(
            help="Only of this job: its id, or how it begins.",
            metavar="ID",
            autocompletion=completing.job_ids,
        ),
    ] = None,
    prediction: Annotated[str | None, typer.Option(help="Only of this prediction.")] = None,
    since: Annotated[
        str | None, typer.Option(help="90s, 30m, 12h, 7d ago, or a time like 2026-11-21T04:00Z.")
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            help="Only what did this: moved, nothing_new, unknown, bad_signature and the like."
        ),
    ] = None,
    only: Annotated[
        bool | None,
        typer.Option("--refused/--taken", help="Only what was not believed, or only what was."),
    ] = None,
    asked: Annotated[
        bool, typer.Option("--asked", help="Also what the reconciler read at the provider.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What came, the latest first."""
    after = None if since is None else moment(since, "--since", now=utc_now())
    name = None if job is None else read_name(job)
    wanted = NewsWanted(since=after, outcome=outcome, prediction_id=prediction)
    taken_too = only is not True
    # What was not believed is nobody's: it belongs to no job.
    refused_too = only is not False and job is None and prediction is None
    origins = (FROM_WEBHOOK, FROM_RECONCILER) if asked else (FROM_WEBHOOK,)
    rows = run(_rows(wanted, name, origins, limit, taken=taken_too, refused_too=refused_too))
    if as_json:
        document(rows)
        return
    console = list_console()
    whole = console.width >= WIDE
    table = Table(show_edge=False, pad_edge=False)
    for column in ("received", "id", "what", "verdict", "job", "prediction", "bytes"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            f"{row['received_at']:%Y-%m-%d %H:%M:%S}Z",
            row["id"],
            row["type"],
            Text(row["verdict"], style="" if row["taken"] else "red"),
            ""
            if row["job_id"] is None
            else f"{id_shown(row['job_id'], whole=whole)}.{row['ordinal'] or '?'}",
            row["prediction_id"] or "",
            "" if row["bytes"] is None else str(row["bytes"]),
        )
    print_list(console, table)


@app.command("show", epilog=example("darkroom webhooks show ID --body"))
def show(
    webhook_id: Annotated[
        str, typer.Argument(help="An id of `webhooks list`, or the sender's own (webhook-id).")
    ],
    body: Annotated[
        bool, typer.Option("--body", help="Its body too, without what opens something.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One webhook: its headers, what became of it, and its body if you ask for it."""
    found = run(_found(webhook_id))
    if not found:
        fail(f"no webhook {webhook_id} is kept here")
    if as_json:
        document([{**row, "body": row["body"] if body else None} for row in found])
        return
    for row in found:
        tell(row, body=body)


def tell(row: Row, *, body: bool) -> None:
    """One webhook, a line for each thing that is known of it."""
    typer.echo(f"id          {row['id']}")
    typer.echo(f"received    {row['received_at']:%Y-%m-%d %H:%M:%S.%f}Z")
    typer.echo(f"what        {row['type']}")
    typer.echo(f"verdict     {row['verdict']}")
    if row["job_id"] is not None:
        typer.echo(f"job         {row['job_id']}, slot {row['ordinal'] or 'unknown'}")
    if row["prediction_id"]:
        typer.echo(f"prediction  {row['prediction_id']}")
    for name, value in row["about"].items():
        typer.echo(f"{name:<11} {value}")
    for name, value in row["headers"]:
        typer.echo(f"header      {name}: {value}")
    typer.echo(f"bytes       {'unknown' if row['bytes'] is None else row['bytes']}")
    if body:
        typer.echo(f"\n{row['body'] or 'nothing of it is kept'}")


async def of_job(db: Connection, job_id: UUID) -> list[Row]:
    """All that came of one job, the first one first, without what opens something."""
    entries = await journal.news(
        db, NewsWanted(job_id=job_id), origins=(FROM_WEBHOOK,), limit=OF_ONE_JOB
    )
    return sorted((_taken(entry) for entry in entries), key=lambda row: row["received_at"])


async def _rows(
    wanted: NewsWanted,
    name: UUID | str | None,
    origins: tuple[str, ...],
    limit: int,
    *,
    taken: bool,
    refused_too: bool,
) -> list[Row]:
    url = settings(DatabaseSettings).database_url.get_secret_value()
    rows: list[Row] = []
    async with open_database(url, name="cli") as database, database.connection() as db:
        if name is not None:
            wanted = replace(wanted, job_id=await the_job(db, name))
        if taken:
            entries = await journal.news(db, wanted, origins=origins, limit=limit)
            rows += [_taken(entry) for entry in entries]
        if refused_too:
            outcomes = None if wanted.outcome is None else [wanted.outcome]
            kept = await refused.listing(db, since=wanted.since, outcomes=outcomes, limit=limit)
            rows += [_refused(one) for one in kept]
    rows.sort(key=lambda row: row["received_at"], reverse=True)
    # A list is read by people and scripts alike: what was sent is shown when one asks for it.
    return [_without(row, "headers", "body", "about") for row in rows[:limit]]


async def _found(webhook_id: str) -> list[Row]:
    url = settings(DatabaseSettings).database_url.get_secret_value()
    async with open_database(url, name="cli") as database, database.connection() as db:
        rows = [_taken(entry) for entry in await journal.by_webhook_id(db, webhook_id)]
        try:
            one = await refused.get(db, UUID(webhook_id))
        except ValueError:
            one = None  # a sender's own id
    return rows if one is None else [*rows, _refused(one)]


def _taken(entry: Entry) -> Row:
    """A row of the journal, with nothing in it that opens something."""
    return {
        "id": entry.event_id,
        "received_at": received_at(entry.headers, entry.recorded_at),
        "type": entry.type,
        "taken": True,
        "verdict": entry.outcome or "not heard yet",
        "job_id": entry.job_id,
        "ordinal": entry.ordinal,
        "prediction_id": _prediction_id(entry.body),
        "webhook_id": entry.headers.get(WEBHOOK_ID),
        "bytes": None if entry.body is None else len(entry.body),
        "about": {"told by": entry.origin},
        "headers": [(n, redacted_header(n, value)) for n, value in sorted(entry.headers.items())],
        "body": None if entry.body is None else as_text(entry.body),
    }


def _refused(one: RefusedWebhook) -> Row:
    return {
        "id": str(one.id),
        "received_at": one.received_at,
        "type": f"refused: {one.status}",
        "taken": False,
        "verdict": one.outcome,
        "job_id": None,
        "ordinal": None,
        "prediction_id": None,
        "webhook_id": next((v for n, v in one.headers if n.lower() == WEBHOOK_ID), None),
        "bytes": one.body_bytes,
        "about": {
            "reason": redacted(one.reason),
            "sender": one.sender or "unknown",
            "query": redacted(f"?{one.query}") if one.query else "none",
        },
        "headers": [(name, redacted_header(name, value)) for name, value in one.headers],
        "body": None if one.body is None else as_text(one.body),
    }


def _prediction_id(body: bytes | None) -> str | None:
    try:
        return None if body is None else read_prediction(body).id
    except Unreadable:
        return None


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}
