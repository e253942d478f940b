"""Hold the rows against each other, against the bucket and against the provider's own list."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import typer

from services.cli.environment import settings
from services.cli.exit_codes import ExitCode
from services.cli.spans import span
from services.cli.telling import MOVES_EVERY_S, AsJson, Progress, document, fail, run
from shared.clock import utc_now
from shared.db import audit as rows
from shared.db.connection import open_database
from shared.db.laws import LAWS
from shared.domain.audit import FILE_LAWS, NO_JOB, PROVIDER_LAWS, Finding, Law
from shared.errors import Permanent
from shared.observability import redacted
from shared.settings import BucketSettings, DatabaseSettings, ReplicateSettings
from shared.sweep import Pace, Seen, Sweep

T = TypeVar("T")

ALL = (*LAWS, *FILE_LAWS, *PROVIDER_LAWS)


class AuditSettings(DatabaseSettings, BucketSettings, ReplicateSettings):
    """All three that are held against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``budget``: bytes of files read in a second; None: files are not read."""

    since: datetime
    now: datetime
    settled: timedelta
    files: bool
    budget: float | None
    provider: bool

    def asks(self, law: Law) -> bool:
        if law in PROVIDER_LAWS:
            return self.provider
        if law is NO_JOB:
            return self.files and self.budget is not None
        return self.files or law not in FILE_LAWS


@dataclass(frozen=True, slots=True)
class Answer:
    findings: list[Finding]
    seen: Seen

    @property
    def broken(self) -> int:
        return sum(finding.must for finding in self.findings)


def audit(
    since: Annotated[
        str,
        typer.Option(
            help="How far back to look at what has ended: 90s, 30m, 12h, 7d. What is open is "
            "looked at whatever its age."
        ),
    ] = "1d",
    settled: Annotated[
        str, typer.Option(help="How long things may take before they count as stuck.")
    ] = "5m",
    files: Annotated[
        bool, typer.Option(help="Hold the files on record against the bucket, both ways.")
    ] = True,
    prove: Annotated[
        bool,
        typer.Option(
            help="Read every file and compare its sha256, not only its size; and look through the "
            "whole bucket for folders of no job."
        ),
    ] = False,
    budget: Annotated[
        float, typer.Option(help="With --prove: megabytes to read in a second.", min=0.1)
    ] = 50.0,
    provider: Annotated[
        bool, typer.Option(help="Hold the ledger against the provider's list of predictions.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Is anything lost, stuck, counted wrong or paid for without a record? Names it by its id, and
    the command to type next.

    Exits 0 if not, 1 if so, 3 if it could not be asked. What a person should look at is listed too,
    and does not fail the audit.
    """
    chosen = settings(AuditSettings)
    now = utc_now()
    asked = Asked(
        since=now - span(since, "--since"),
        now=now,
        settled=span(settled, "--settled"),
        files=files,
        budget=budget * 1e6 if prove else None,
        provider=provider,
    )
    cannot = "the audit could not be made"
    try:
        with Progress("auditing") as progress:
            answer = run(_audit(chosen, asked, progress), cannot=cannot)
    except Permanent as error:
        fail(f"{cannot}: {error}", ExitCode.UNREACHABLE)
    if as_json:
        document(_document(answer, asked))
    else:
        _print(answer, asked)
    if answer.broken:
        raise typer.Exit(ExitCode.FOUND)


async def _audit(chosen: AuditSettings, asked: Asked, progress: Progress) -> Answer:
    from shared.objects import open_bucket
    from shared.replicate_api import open_replicate

    findings: list[Finding] = []
    seen = Seen()
    async with open_database(chosen.database_url.get_secret_value(), name="audit") as database:
        for number, law in enumerate(LAWS, start=1):
            progress.at(f"law {number} of {len(LAWS)}")
            async with database.transaction() as tx:
                findings += await rows.breaches(tx, law, since=asked.since, settled=asked.settled)
        if asked.files:
            clock = asyncio.get_running_loop().time
            async with open_bucket(chosen) as bucket:
                sweep = Sweep(
                    database=database,
                    bucket=bucket,
                    since=asked.since,
                    now=asked.now,
                    settled=asked.settled,
                    open_too=True,
                    pace=None if asked.budget is None else Pace(asked.budget, clock=clock),
                    seen=seen,
                )
                telling = asyncio.create_task(_tell_sweep(progress, seen))
                try:
                    findings += [finding async for finding in sweep.findings()]
                finally:
                    telling.cancel()
        if asked.provider:
            async with open_replicate(chosen) as replicate:
                listed = _told(replicate.list_since(asked.since), progress)
                findings += [
                    finding
                    async for finding in rows.purchases(
                        database, listed, since=asked.since, now=asked.now, settled=asked.settled
                    )
                ]
    return Answer([_readable(finding) for finding in findings], seen)


async def _told(pages: AsyncIterator[T], progress: Progress) -> AsyncIterator[T]:
    number = 0
    async for page in pages:
        number += 1
        progress.at(f"page {number} of the provider's list")
        yield page


async def _tell_sweep(progress: Progress, seen: Seen) -> None:
    while True:
        read = f", {seen.bytes_read / 1e6:.0f} MB read" if seen.bytes_read else ""
        progress.at(f"{seen.files} files of {seen.jobs} jobs{read}")
        await asyncio.sleep(MOVES_EVERY_S)


def _readable(finding: Finding) -> Finding:
    """As it may be shown: a reason can quote what somebody sent."""
    told = asdict(finding)
    return Finding(**told | {"id": redacted(finding.id), "about": redacted(finding.about)})


def _document(answer: Answer, asked: Asked) -> dict[str, object]:
    return {
        "since": asked.since.isoformat(),
        "settled_seconds": asked.settled.total_seconds(),
        "broken": answer.broken,
        "laws": [
            {
                "law": law.name,
                "means": law.means,
                "must": law.must,
                "residual": sum(f.law == law.name for f in answer.findings)
                if asked.asks(law)
                else None,
            }
            for law in ALL
        ],
        "findings": [asdict(finding) for finding in answer.findings],
        "seen": asdict(answer.seen),
    }


def _print(answer: Answer, asked: Asked) -> None:
    for law in ALL:
        if not asked.asks(law):
            typer.echo(f"-     {law.name:<24} not asked")
            continue
        broken = [finding for finding in answer.findings if finding.law == law.name]
        mark = ("BAD " if law.must else "look") if broken else "ok  "
        colour = ("red" if law.must else "yellow") if broken else "green"
        more = "" if len(broken) < rows.MOST else " or more"
        told = f"{len(broken)}{more}: it does not hold that {law.means}" if broken else law.means
        typer.echo(f"{typer.style(mark, fg=colour)}  {law.name:<24} {told}")
        for finding in broken:
            typer.echo(f"        {_plain(finding.id)}: {_plain(finding.about)}")
            typer.echo(f"          {_plain(finding.mend)}")
    if asked.files:
        seen = answer.seen
        read = f", {seen.bytes_read / 1e6:.1f} MB of them read" if asked.budget else ""
        typer.echo(f"{seen.files} files of {seen.jobs} jobs held against the bucket{read}")


def _plain(text: str) -> str:
    """On one line, whatever a terminal would make of what is in it."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
