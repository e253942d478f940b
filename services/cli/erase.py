"""Erase jobs: what their publisher gave, and what was made of it, for good."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer

from services.cli.environment import settings
from services.cli.jobs import run
from shared.clock import utc_now
from shared.db import erasure, jobs, journal
from shared.db.connection import Database, open_database
from shared.errors import Permanent, Transient
from shared.events import JobErased, state
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings, DatabaseSettings

ROWS_TOGETHER = 1000


class EraseSettings(DatabaseSettings, BucketSettings):
    """Where a job's rows and files lie."""


@dataclass(frozen=True, slots=True)
class Erased:
    files: int
    bytes: int
    left: str | None = None  # the key of an original that lies in a folder of somebody else


class NotNow(Exception):
    """The job cannot be erased; the sentence says why, and what to do first."""


def erase(
    job_ids: Annotated[list[UUID], typer.Argument(help="Uuids of jobs.", metavar="ID...")],
    reason: Annotated[
        str, typer.Option(help="Why; the journal keeps it.")
    ] = "asked for by an operator",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a job's files, bodies and inputs for good. Counts, times and costs stay.

    Exits 1 where one of them could not be erased: it is not known, has not ended, or is being told.
    """
    if not yes:
        count = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
        typer.confirm(f"Erase {count} for good? Nobody can bring it back", abort=True)
    if not run(_erase_all(settings(EraseSettings), job_ids, reason)):
        raise typer.Exit(1)


async def _erase_all(chosen: EraseSettings, job_ids: list[UUID], reason: str) -> bool:
    url, all_erased = chosen.database_url.get_secret_value(), True
    async with open_database(url, name="cli") as database, open_bucket(chosen) as bucket:
        for job_id in job_ids:
            try:
                erased = await erase_job(database, bucket, job_id, reason=reason)
            except (NotNow, Permanent, Transient) as error:
                typer.secho(f"{job_id} is not erased: {error}", err=True, fg="red")
                all_erased = False
                continue
            typer.echo(
                f"{job_id} is erased: {erased.files} files, {erased.bytes} bytes; the journal says so"
            )
            if erased.left:
                typer.echo(f"  its original lies in a shared folder and stays: {erased.left}")
    return all_erased


async def erase_job(database: Database, bucket: Bucket, job_id: UUID, *, reason: str) -> Erased:
    """Files first, then the timeline part by part, then the rows and the fact in one transaction:
    who dies in between starts again, and nothing was said that is not so. Raises NotNow."""
    async with database.connection() as db:
        job = await jobs.get(db, job_id)
    if job is None:
        raise NotNow("it is not known here")
    if job.is_open:
        raise NotNow(f"it is {job.state}: `darkroom jobs cancel {job_id} --wait` first")
    if job.erased_at is not None:
        raise NotNow(f"it was erased before, {job.erased_at:%Y-%m-%d %H:%M:%S}Z")
    folder = f"jobs/{job_id}/"
    lying = [info async for info in bucket.list(folder)]
    for info in lying:
        await bucket.delete(info.key)
    erased = Erased(
        files=len(lying),
        bytes=sum(info.bytes for info in lying),
        left=job.source_key if job.source_key and not job.source_key.startswith(folder) else None,
    )
    while True:
        async with database.transaction() as tx:
            cleared = await erasure.clear_story(tx, job_id, limit=ROWS_TOGETHER)
        if cleared < ROWS_TOGETHER:
            break
    fact = JobErased(
        job_id=job_id,
        files=erased.files,
        bytes=erased.bytes,
        reason=reason,
        external_ref=job.external_ref,
    )
    async with database.transaction() as tx:
        await jobs.lock(tx, job_id)
        if await erasure.owes(tx, job_id):
            raise NotNow("facts about it still wait to be published: try again in a moment")
        if not await erasure.erase(tx, job_id):
            raise NotNow("somebody else has erased it meanwhile")
        # What was written between the parts above and the lock.
        await erasure.clear_story(tx, job_id, limit=ROWS_TOGETHER)
        await journal.say(tx, state(fact, source="cli", now=utc_now()))
    return erased
