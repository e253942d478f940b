"""Erase jobs: what their publisher gave, and what was made of it, for good."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from services.cli import completing
from services.cli.environment import settings
from services.cli.exit_codes import ExitCode
from services.cli.telling import AsJson, Progress, document, run, warn
from shared.clock import utc_now
from shared.db import erasure, jobs, journal
from shared.db.connection import Database, open_database
from shared.errors import Permanent, Transient
from shared.events import JobErased, state
from shared.settings import BucketSettings, DatabaseSettings

if TYPE_CHECKING:
    from shared.objects import Bucket

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
    job_ids: Annotated[
        list[UUID],
        typer.Argument(help="Uuids of jobs.", metavar="ID...", autocompletion=completing.job_ids),
    ],
    reason: Annotated[
        str, typer.Option(help="Why; the journal keeps it.")
    ] = "asked for by an operator",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a job's files, bodies and inputs for good. Counts, times and costs stay.

    Exits 1 where one of them could not be erased: it is not known, has not ended, or is being told.
    """
    if not yes:
        count = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
        typer.confirm(f"Erase {count} for good? Nobody can bring it back", abort=True, err=True)
    told = run(_erase_all(settings(EraseSettings), job_ids, reason, as_json=as_json))
    if as_json:
        document(told)
    if not all(one["erased"] for one in told):
        raise typer.Exit(ExitCode.FOUND)


async def _erase_all(
    chosen: EraseSettings, job_ids: list[UUID], reason: str, *, as_json: bool
) -> list[dict[str, Any]]:
    """What came of each; told one by one as it goes, unless a document is wanted."""
    from shared.objects import open_bucket

    told: list[dict[str, Any]] = []
    url = chosen.database_url.get_secret_value()
    async with open_database(url, name="cli") as database, open_bucket(chosen) as bucket:
        with Progress("erasing") as progress:
            for number, job_id in enumerate(job_ids, start=1):
                progress.at(f"{number} of {len(job_ids)} jobs")
                try:
                    erased = await erase_job(
                        database, bucket, job_id, reason=reason, tell=progress.at
                    )
                except (NotNow, Permanent, Transient) as error:
                    progress.clear()
                    warn(f"{job_id} is not erased: {error}")
                    told.append({"job_id": job_id, "erased": False, "why": str(error)})
                    continue
                told.append({"job_id": job_id, "erased": True, **asdict(erased)})
                if not as_json:
                    progress.clear()
                    _tell(job_id, erased)
    return told


def _tell(job_id: UUID, erased: Erased) -> None:
    typer.echo(
        f"{job_id} is erased: {erased.files} files, {erased.bytes} bytes; the journal says so"
    )
    if erased.left:
        typer.echo(f"  its original lies in a shared folder and stays: {erased.left}")


async def erase_job(
    database: Database,
    bucket: "Bucket",
    job_id: UUID,
    *,
    reason: str,
    tell: Callable[[str], None] | None = None,
) -> Erased:
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
    for number, info in enumerate(lying, start=1):
        await bucket.delete(info.key)
        if tell:
            tell(f"{number} of {len(lying)} files of {job_id}")
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
