"""Hold the rows against each other, against the bucket and against the provider's own list."""

import asyncio
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from services.cli.environment import settings
from shared.clock import utc_now
from shared.db import audit as laws
from shared.db.audit import LAWS, Finding, Kept, Law
from shared.db.connection import Database, open_database
from shared.domain import keys
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.objects import Bucket, ObjectInfo, open_bucket
from shared.replicate_api import Replicate, open_replicate
from shared.settings import BucketSettings, DatabaseSettings, ReplicateSettings

JOBS_AT_A_TIME = 50

_SPAN = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

MISSING = Law(name="file.missing", means="every file on record lies in the bucket", sql="")
DIFFERENT = Law(name="file.different", means="every file is as it was when it was stored", sql="")
UNKNOWN = Law(name="file.unknown", means="every file of ours is on record", sql="", must=False)
UNBOUGHT = Law(
    name="prediction.unknown", means="the provider lists nothing that our ledger lacks", sql=""
)


class AuditSettings(DatabaseSettings, BucketSettings, ReplicateSettings):
    """All three that are held against each other."""


@dataclass(frozen=True, slots=True)
class Asked:
    since: datetime
    settled: timedelta
    prove: bool
    provider: bool


def audit(
    since: Annotated[str, typer.Option(help="How far back: 90s, 30m, 12h, 7d.")] = "1d",
    settled: Annotated[
        str, typer.Option(help="How long things may take before they count as stuck.")
    ] = "5m",
    prove: Annotated[
        bool, typer.Option(help="Read every file and compare its sha256, not only its size.")
    ] = False,
    provider: Annotated[
        bool, typer.Option(help="Hold the ledger against the provider's list of predictions.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Is anything lost, stuck, counted wrong or paid for without a record? Names it by its id.

    Exits 1 if so. What a person should look at is listed too, and does not fail the audit.
    """
    chosen = settings(AuditSettings)
    asked = Asked(
        since=utc_now() - _span(since, "--since"),
        settled=_span(settled, "--settled"),
        prove=prove,
        provider=provider,
    )
    try:
        findings = asyncio.run(_audit(chosen, asked))
    except (DatabaseUnavailable, Transient, Permanent) as error:
        typer.secho(f"the audit could not be made: {error}", err=True, fg="red")
        raise typer.Exit(2) from None
    broken = [finding for finding in findings if finding.must]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "since": asked.since.isoformat(),
                    "broken": len(broken),
                    "findings": [asdict(finding) for finding in findings],
                },
                ensure_ascii=False,
            )
        )
    else:
        _print(findings, asked)
    if broken:
        raise typer.Exit(1)


async def _audit(chosen: AuditSettings, asked: Asked) -> list[Finding]:
    async with (
        open_database(chosen.database_url.get_secret_value(), name="audit") as database,
        open_bucket(chosen) as bucket,
    ):
        findings = [finding async for finding in _of_rows(database, asked)]
        findings += [finding async for finding in _of_files(database, bucket, asked)]
        if asked.provider:
            async with open_replicate(chosen) as replicate:
                findings += [f async for f in _of_purchases(database, replicate, asked)]
    return findings


async def _of_rows(database: Database, asked: Asked) -> AsyncIterator[Finding]:
    for law in LAWS:
        async with database.connection() as db:
            for finding in await laws.breaches(db, law, since=asked.since, settled=asked.settled):
                yield finding


async def _of_files(database: Database, bucket: Bucket, asked: Asked) -> AsyncIterator[Finding]:
    """Rows against objects, both ways, for ended jobs, some of them at a time."""
    after: UUID | None = None
    while True:
        async with database.connection() as db:
            job_ids = await laws.jobs_since(
                db, asked.since, after=after, settled=asked.settled, limit=JOBS_AT_A_TIME
            )
            kept = await laws.kept_by(db, job_ids)
        if not job_ids:
            return
        by_job: defaultdict[UUID, list[Kept]] = defaultdict(list)
        for file in kept:
            by_job[file.job_id].append(file)
        for job_id in job_ids:
            async for finding in _of_one_job(bucket, job_id, by_job[job_id], prove=asked.prove):
                yield finding
        after = job_ids[-1]


async def _of_one_job(
    bucket: Bucket, job_id: UUID, kept: list[Kept], *, prove: bool
) -> AsyncIterator[Finding]:
    own = f"jobs/{job_id}/"
    there = {info.key: info async for info in bucket.list(own)}
    for file in kept:
        # An original may lie in a folder that several jobs share.
        found = there.pop(file.key, None) or await _elsewhere(bucket, file.key, own)
        if found is None:
            yield _finding(MISSING, file.key, "it is on record and not in the bucket")
        elif found.bytes != file.bytes:
            yield _finding(DIFFERENT, file.key, f"{found.bytes} bytes instead of {file.bytes}")
        elif prove and await _sha256(bucket, file.key) != file.sha256:
            yield _finding(DIFFERENT, file.key, "its sha256 is another one")
    for key in there:
        if not key.startswith(keys.originals(job_id)):
            yield _finding(UNKNOWN, key, "it lies in the bucket and is not on record")


async def _elsewhere(bucket: Bucket, key: str, own: str) -> ObjectInfo | None:
    return None if key.startswith(own) else await bucket.head(key)


async def _sha256(bucket: Bucket, key: str) -> str:
    digest = hashlib.sha256()
    async with bucket.open_read(key) as pieces:
        async for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


async def _of_purchases(
    database: Database, replicate: Replicate, asked: Asked
) -> AsyncIterator[Finding]:
    """What the provider says was bought, against the ledger: the account is this installation's
    alone. (Where somebody else buys from it too, ``--no-provider`` leaves this out.)"""
    newest = utc_now() - asked.settled
    async for page in replicate.list_since(asked.since):
        listed = {
            one.id: one
            for one in page
            if one.created_at and asked.since <= one.created_at <= newest
        }
        async with database.connection() as db:
            known = await laws.bought(db, list(listed))
        for prediction_id in listed.keys() - known:
            one = listed[prediction_id]
            yield _finding(
                UNBOUGHT,
                prediction_id,
                f"{one.raw_status}, created {one.created_at:%Y-%m-%d %H:%M:%S}Z, of {one.model}",
            )


def _finding(law: Law, about: str, words: str) -> Finding:
    return Finding(law=law.name, id=about, about=words, must=law.must)


def _print(findings: list[Finding], asked: Asked) -> None:
    for law in (*LAWS, MISSING, DIFFERENT, UNKNOWN, UNBOUGHT):
        if law is UNBOUGHT and not asked.provider:
            typer.echo(f"-     {law.name:<24} not asked")
            continue
        broken = [finding for finding in findings if finding.law == law.name]
        mark = ("BAD " if law.must else "look") if broken else "ok  "
        colour = ("red" if law.must else "yellow") if broken else "green"
        told = f"{len(broken)}" if broken else law.means
        typer.echo(f"{typer.style(mark, fg=colour)}  {law.name:<24} {told}")
        for finding in broken:
            typer.echo(f"        {finding.id}  {finding.about}")


def _span(text: str, option: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no time such as 90s, 30m, 12h, 7d", param_hint=option
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
