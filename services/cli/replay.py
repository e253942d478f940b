"""Rebuild jobs from what was stored of their webhooks, and mend what differs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import typer

from services.cli import completing
from services.cli.environment import settings
from services.cli.exit_codes import ExitCode
from services.cli.naming import read_name, the_job
from services.cli.spans import moment
from services.cli.telling import Progress, fail, run, written
from shared.clock import utc_now
from shared.db import rebuild, unplaced
from shared.db.connection import Database, open_database
from shared.db.rebuild import JobCompared, SlotCompared
from shared.db.record import AgainRule
from shared.db.unplaced import Looked
from shared.recipes import RECIPES
from shared.recipes.again import again_rule
from shared.settings import DatabaseSettings


@dataclass
class Tally:
    """What came of a replay, over all jobs."""

    jobs: int = 0
    differing: int = 0  # slots
    not_mended: int = 0  # of them, those that no fact can mend
    facts: int = 0
    said: int = 0
    homeless: int = 0  # webhooks without a job, of which
    placed: int = 0  # so many find theirs now


def replay(
    job: Annotated[
        str | None,
        typer.Option(
            help="This job: its id, or how it begins.",
            metavar="ID",
            autocompletion=completing.job_ids,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Every job with news since then that is not at rest: 90s, 30m, 12h, 7d ago, or a "
            "time like 2026-11-21T04:00Z."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="As JSON, for programs; a line for each job, and one for what has none.",
        ),
    ] = False,
) -> None:
    """Rebuild jobs from their stored webhooks, show what differs, and say the facts again; webhooks
    that no job was found for when they came are tried once more.

    The rebuilding happens in a transaction that is never committed. What is said again goes the
    usual way to whoever hears it, and changes nothing where it was heard before. Exits 1 where
    something differs that no fact can mend.
    """
    if (job is None) == (since is None):
        raise typer.BadParameter("say --job or --since")
    name = None if job is None else read_name(job)
    with Progress("replaying") as progress:
        tally = run(
            _replay(name, since, progress, dry_run=dry_run, as_json=as_json),
            cannot="the replay could not be made",
        )
    if job is not None and not tally.jobs and not tally.placed:
        fail(f"no job {job} is known here")
    if not as_json:
        typer.echo(_sum(tally, dry_run=dry_run))
    if tally.not_mended:
        raise typer.Exit(ExitCode.FOUND)


async def _replay(
    name: UUID | str | None, since: str | None, progress: Progress, *, dry_run: bool, as_json: bool
) -> Tally:
    tally = Tally()
    async with _database() as database:
        job = await _job(database, name)
        chosen = await _chosen(database, job, since)
        for number, job_id in enumerate(chosen, start=1):
            progress.at(f"{number} of {len(chosen)} jobs")
            compared = await rebuild.compare(
                database,
                job_id,
                again=_again(),
                now=utc_now(),
            )
            if compared is None:
                continue
            differing = [slot for slot in compared.slots if slot.differs]
            tally.jobs += 1
            tally.differing += len(differing)
            tally.not_mended += sum(not slot.is_mended for slot in differing)
            tally.facts += len(compared.all_to_say)
            # The difference first: what is done about it is done before the reader's eyes.
            progress.clear()
            _tell(compared, as_json=as_json)
            if not dry_run:
                tally.said += await rebuild.say_again(database, compared.all_to_say)
        progress.at("webhooks without a job")
        looked = await _homeless(database, job, since)
        found = [placed.say for placed in looked.placed]
        tally.homeless, tally.placed = looked.count, len(found)
        tally.facts += len(found)
        progress.clear()
        _tell_homeless(looked, as_json=as_json)
        if not dry_run:
            tally.said += await rebuild.say_again(database, found)
    return tally


async def _homeless(database: Database, job: UUID | None, since: str | None) -> Looked:
    """Webhooks that no job was found for when they came; where a job is meant, those of it."""
    looked = await unplaced.look_again(
        database,
        since=None if since is None else moment(since, "--since", now=utc_now()),
        again=_again(),
        now=utc_now(),
    )
    if job is None:
        return looked
    of_it = tuple(one for one in looked.placed if one.job_id == job)
    return Looked(len(of_it), of_it)


def _again() -> AgainRule:
    return again_rule({recipe.name: recipe for recipe in RECIPES})


@asynccontextmanager
async def _database() -> AsyncIterator[Database]:
    url = settings(DatabaseSettings).database_url.get_secret_value()
    async with open_database(url, name="replay") as database:
        yield database


async def _job(database: Database, name: UUID | str | None) -> UUID | None:
    if name is None:
        return None
    async with database.connection() as db:
        return await the_job(db, name)


async def _chosen(database: Database, job: UUID | None, since: str | None) -> list[UUID]:
    if job is not None or since is None:
        return [] if job is None else [job]
    async with database.connection() as db:
        return await rebuild.restless_since(db, moment(since, "--since", now=utc_now()))


def _tell(compared: JobCompared, *, as_json: bool) -> None:
    if as_json:
        typer.echo(written(_facts(compared)))
        return
    job = compared.job
    typer.echo(f"job {job.id}  {job.recipe}, {job.state}, {job.stored} of {job.n} stored")
    for slot in compared.slots:
        if slot.differs or slot.say:
            typer.echo(f"  slot {slot.ordinal:>3}  {_difference(slot)}")
            for fact in slot.say:
                typer.echo(f"            say again {fact.type} of {_at(fact)}: {fact.why}")
    for fact in compared.say:
        typer.echo(f"  say again {fact.type} of {_at(fact)}: {fact.why}")
    if not compared.all_to_say and not any(slot.differs for slot in compared.slots):
        typer.echo("  as its webhooks have it")


def _tell_homeless(looked: Looked, *, as_json: bool) -> None:
    if not looked.count:
        return
    if as_json:
        facts = [_fact(one.say) | {"job_id": one.job_id} for one in looked.placed]
        line = {"without_a_job": looked.count, "say": facts}
        typer.echo(written(line))
        return
    typer.echo(
        f"webhooks without a job: {looked.count}, of which {len(looked.placed)} find one now"
    )
    for one in looked.placed:
        typer.echo(f"  say again {one.say.type} of {_at(one.say)}: {one.say.why}")


def _difference(slot: SlotCompared) -> str:
    if not slot.differs:
        return f"is {slot.now}"
    told = f"is {slot.now}; by its webhooks it is {slot.archive}"
    if slot.is_mended:
        return told
    return typer.style(
        f"{told}, and no fact that is said again mends it (it would be {slot.then})", fg="red"
    )


def _facts(compared: JobCompared) -> dict[str, Any]:
    return {
        "job_id": compared.job.id,
        "recipe": compared.job.recipe,
        "state": compared.job.state,
        "slots": [
            {
                "ordinal": slot.ordinal,
                "now": str(slot.now),
                "archive": str(slot.archive),
                "then": str(slot.then),
                "differs": slot.differs,
                "mended": slot.is_mended,
                "say": [_fact(fact) for fact in slot.say],
            }
            for slot in compared.slots
        ],
        "say": [_fact(fact) for fact in compared.say],
    }


def _fact(fact: rebuild.ToSay) -> dict[str, Any]:
    return {
        "event_id": fact.event_id,
        "type": fact.type,
        "recorded_at": fact.recorded_at,
        "why": fact.why,
    }


def _at(fact: rebuild.ToSay) -> str:
    return f"{fact.recorded_at:%Y-%m-%d %H:%M:%S}Z"


def _sum(tally: Tally, *, dry_run: bool) -> str:
    told = f"{tally.jobs} jobs, {tally.differing} slots differ"
    if tally.not_mended:
        told += f", {tally.not_mended} of them beyond what saying again can mend"
    if dry_run:
        return f"{told}; {tally.facts} facts would be said again, and nothing was changed"
    gone = tally.facts - tally.said
    lost = f" ({gone} are past their retention)" if gone else ""
    return f"{told}; {tally.said} facts said again{lost}; `darkroom jobs show` tells what they did"
