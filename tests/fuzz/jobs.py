"""What the fuzzer finds in the API's rooms: tokens, and jobs of every state, one deleted."""

import os
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from shared.db import artifacts, jobs, retention, slots, tokens
from shared.db.connection import Database, open_database
from shared.domain import identity, keys
from shared.domain.job import ENDED, JobState
from shared.domain.slot import SlotState
from shared.domain.token import RANDOM_BYTES, Scope, kept, word_of
from shared.events import Artifact
from shared.objects import Bucket
from tests.support.filing import a_bucket
from tests.support.photos import a_photo
from tests.support.purchases import a_job, a_slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """``words`` are tokens by their scope."""

    words: dict[Scope, str]
    jobs: tuple[UUID, ...]


async def laid_out(environment: dict[str, str]) -> Found:
    """Lay them into the rooms that ``environment`` names."""
    async with (
        open_database(environment["DATABASE_URL"], name="fuzz") as database,
        a_bucket({k: v for k, v in environment.items() if k.startswith(("S3_", "AWS_"))}) as bucket,
    ):
        words = {scope: await _a_token(database, scope) for scope in Scope}
        found = [
            await _with_files(database, bucket, state, number)
            for number, state in enumerate(SlotState)
        ]
        found += [await _ended(database, bucket, state) for state in sorted(ENDED)]
        buried = await _ended(database, bucket, JobState.FAILED)
        async with database.transaction() as tx:
            assert await retention.bury(tx, buried)
        return Found(words=words, jobs=(*found, buried))


async def _a_token(database: Database, scope: Scope) -> str:
    word = word_of(os.urandom(RANDOM_BYTES))
    async with database.transaction() as tx:
        assert await tokens.create(tx, name=f"fuzz-{scope}", sha256=kept(word), scope=scope)
    return word


async def _with_files(database: Database, bucket: Bucket, state: SlotState, number: int) -> UUID:
    order = await _an_original(bucket)
    slot = await a_slot(database, state, prediction_id=f"fuzz{number}", **order)
    key = keys.generated(slot.job_id, 1, 1, 0, "image/jpeg")
    async with database.transaction() as tx:
        await artifacts.insert(
            tx,
            slot.job_id,
            Artifact(
                id=identity.artifact_id(key),
                kind="generated",
                key=key,
                content_type="image/jpeg",
                bytes=10,
                sha256="0" * 64,
                ordinal=1,
                attempt=1,
            ),
        )
    return slot.job_id


async def _ended(database: Database, bucket: Bucket, state: JobState) -> UUID:
    job_id = await a_job(database, **await _an_original(bucket))
    async with database.transaction() as tx:
        canceled = await slots.cancel_open(tx, job_id)
        await jobs.end(tx, job_id, state=state, canceled=len(canceled), reason="so")
    return job_id


async def _an_original(bucket: Bucket) -> dict[str, Any]:
    job_id = uuid4()
    key = keys.originals(job_id) + "photo.jpg"
    await bucket.put(key, a_photo(), content_type="image/jpeg")
    return {"id": job_id, "source_key": key}
