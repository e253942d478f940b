"""Jobs with files on record, and a bucket in which they lie, or not."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from shared.db import artifacts, jobs
from shared.db.connection import Database
from shared.domain.identity import artifact_id
from shared.domain.job import JobState
from shared.events import Artifact
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from tests.support.purchases import a_job

BYTES = b"what was made"
MADE = "jobs/{}/generated/1-1-0.png"  # the key of a job's first file


@asynccontextmanager
async def a_bucket(bucket: Mapping[str, str]) -> AsyncIterator[Bucket]:
    """By the variables that name it."""
    settings = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    async with open_bucket(settings) as opened:
        yield opened


async def put(store: Bucket, key: str, data: bytes = BYTES) -> None:
    await store.put(key, data, content_type="image/png")


async def an_ended_job(database: Database, *keys: str) -> UUID:
    """With a row for each of ``keys``, in which {} stands for the job."""
    job_id = await a_job(database)
    async with database.transaction() as tx:
        for number, key in enumerate(keys):
            await artifacts.insert(
                tx,
                job_id,
                Artifact(
                    id=artifact_id(f"{key}-{uuid4()}"),
                    kind="original" if "original" in key or "shared" in key else "generated",
                    key=key.format(job_id),
                    content_type="image/png",
                    bytes=len(BYTES),
                    sha256=hashlib.sha256(BYTES).hexdigest(),
                    ordinal=1,
                    attempt=1,
                    index=number,
                ),
            )
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=1, reason="a wish")
    return job_id
