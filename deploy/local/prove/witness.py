"""The witness: judges a run from the emulator's append-only log, against bucket and database.

It shares no code with what it judges: it reads the log, asks Postgres through ``psql`` and the
bucket through a client of its own, and decides by rules that are written here once more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from deploy.local.prove.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where to look. ``since`` leaves out what was over before that moment (of the wall)."""

    ledger: Path
    database_url: str
    s3_endpoint_url: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    region: str = "us-east-1"
    since: datetime | None = None

    @classmethod
    def of(cls, ledger: Path, parts: Mapping[str, str], *, since: datetime | None = None) -> Self:
        """By the variables that lead a service to its parts (``Layout.parts``)."""
        return cls(
            ledger=ledger,
            database_url=parts["DATABASE_URL"],
            s3_endpoint_url=parts["S3_ENDPOINT_URL"],
            s3_access_key=parts["AWS_ACCESS_KEY_ID"],
            s3_secret_key=parts["AWS_SECRET_ACCESS_KEY"],
            bucket=parts["S3_BUCKET"],
            region=parts.get("AWS_DEFAULT_REGION", "us-east-1"),
            since=since,
        )


def judge(evidence: Evidence, *, readers: int = 4) -> Verdict:
    """Judge everything that happened. Blocking; reads every file that the database names, with
    ``readers`` at a time. Meant for a run that came to rest: what still moves is ``stuck``.

    Raises StackError where Postgres does not answer, and OSError where the bucket does not.
    """
    raise NotImplementedError


def unsettled(evidence: Evidence) -> tuple[Finding, ...]:
    """What still has to move by the database alone: cheap enough to be asked every second."""
    raise NotImplementedError
