"""``darkroom jobs erase``: what was given and made is gone, what was spent stays, and it is said."""

import hashlib
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from services.cli.erase import NotNow, erase_job
from shared.clock import utc_now
from shared.db import artifacts, jobs, journal, parked, refused
from shared.db.connection import Database
from shared.domain.identity import artifact_id
from shared.domain.job import JobState
from shared.domain.refusal import RefusedWebhook
from shared.domain.slot import SlotState
from shared.events import Artifact, JobAccepted, JobErased, read, state
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from tests.support.purchases import NOON, PREDICTION, a_job, a_slot, end_job, hear, news, the_job

SECRET_WORDS = "the face of Jane Roe"
PROMPT = f"a picture of {SECRET_WORDS}"


@pytest.fixture
async def store(bucket: dict[str, str]) -> AsyncIterator[Bucket]:
    settings = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    async with open_bucket(settings) as opened:
        yield opened


async def a_told_job(database: Database, store: Bucket) -> UUID:
    """A job that ended, and whose publisher's words stand wherever they can."""
    slot = await a_slot(
        database,
        SlotState.RUNNING,
        params={"prompt": PROMPT},
        metadata={"customer": SECRET_WORDS},
        source_url=f"https://photos.example/{SECRET_WORDS}.jpg",
        callback_url=f"https://shop.example/{SECRET_WORDS}",
        external_ref="order-17",
    )
    job_id = slot.job_id
    key = f"jobs/{job_id}/original/a.jpg"
    await store.put(key, SECRET_WORDS.encode(), content_type="image/jpeg")
    await store.put(f"jobs/{job_id}/generated/stray.png", b"stray", content_type="image/png")
    async with database.transaction() as tx:
        await tx.execute("UPDATE slot SET input = $2 WHERE job_id = $1", job_id, {"prompt": PROMPT})
        await artifacts.insert(
            tx,
            job_id,
            Artifact(
                id=artifact_id(key),
                kind="original",
                key=key,
                content_type="image/jpeg",
                bytes=len(SECRET_WORDS),
                sha256=hashlib.sha256(SECRET_WORDS.encode()).hexdigest(),
            ),
        )
        await parked.park(
            tx,
            "darkroom.storage.outputs",
            news(PREDICTION, "succeeded", input={"prompt": PROMPT}, event_id=f"e-{job_id}"),
            reason=f"no place for {SECRET_WORDS}",
            trace=None,
            attempts=1,
            due_in=None,
        )
        await tx.execute("UPDATE parked_message SET subject = $1", str(job_id))
        await refused.keep(
            tx,
            RefusedWebhook(
                id=uuid4(),
                received_at=utc_now(),
                outcome="bad_signature",
                status=401,
                reason="no",
                sender=None,
                query=f"slot={job_id}.1.1.tokentokentoken12",
                headers=(),
                body=PROMPT.encode(),
                body_bytes=len(PROMPT),
            ),
        )
    await hear(
        database, news(PREDICTION, "failed", input={"prompt": PROMPT}, error=f"no {SECRET_WORDS}")
    )
    await end_job(database, job_id)
    async with database.transaction() as tx:
        await tx.execute("UPDATE journal SET published_at = now()")
    return job_id


async def everything(database: Database) -> str:
    """Every row of every table, as text."""
    async with database.connection() as db:
        tables = await db.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        found = []
        for table in tables:
            name = table["table_name"]
            found += await db.fetch(f"SELECT to_jsonb(t)::text AS told FROM {name} t")  # noqa: S608
        # Bodies are bytes, which JSON shows as hexadecimal digits.
        bodies = await db.fetch("SELECT body FROM journal WHERE body IS NOT NULL")
    return "\n".join([row["told"] for row in found] + [repr(bytes(row["body"])) for row in bodies])


async def test_an_erased_job_leaves_no_word_file_or_body_and_its_spend_adds_up(
    database: Database, store: Bucket
) -> None:
    job_id = await a_told_job(database, store)
    assert SECRET_WORDS in await everything(database)

    erased = await erase_job(database, store, job_id, reason="asked for by the customer")

    assert SECRET_WORDS not in await everything(database)
    assert SECRET_WORDS.encode().hex() not in await everything(database)
    assert [info async for info in store.list(f"jobs/{job_id}/")] == []
    assert (erased.files, erased.bytes) == (2, len(SECRET_WORDS) + len(b"stray"))
    job = await the_job(database, job_id)
    assert job.erased_at is not None
    assert (job.state, job.n, job.external_ref) == ("canceled", 1, "order-17")
    async with database.connection() as db:
        bought = await db.fetchrow("SELECT * FROM prediction WHERE job_id = $1", job_id)
    assert bought is not None
    assert bought["prediction_id"] == PREDICTION


async def test_the_journal_says_that_a_job_was_erased_and_the_relay_owes_it_to_others(
    database: Database, store: Bucket
) -> None:
    job_id = await a_told_job(database, store)

    await erase_job(database, store, job_id, reason="asked for by the customer")

    async with database.connection() as db:
        told = (await journal.of_job(db, job_id))[-1]
    fact = read(JobErased, told.envelope)
    assert (told.type, told.published_at) == ("job.erased", None)
    assert (fact.job_id, fact.files, fact.reason) == (job_id, 2, "asked for by the customer")
    assert fact.external_ref == "order-17"


async def test_what_comes_late_of_an_erased_job_leaves_nothing_behind(
    database: Database, store: Bucket
) -> None:
    job_id = await a_told_job(database, store)
    await erase_job(database, store, job_id, reason="a wish")

    await hear(database, news(PREDICTION, "succeeded", input={"prompt": PROMPT}, event_id="late"))

    assert SECRET_WORDS not in await everything(database)
    async with database.connection() as db:
        late = await journal.by_event_id(db, "late")
    assert late is not None
    assert late.body is None


async def test_a_job_that_is_open_unknown_or_erased_is_refused_with_what_to_do(
    database: Database, store: Bucket
) -> None:
    open_job = await a_job(database)
    done = await a_told_job(database, store)
    await erase_job(database, store, done, reason="a wish")

    for job_id, words in ((open_job, "cancel"), (uuid4(), "not known"), (done, "before")):
        with pytest.raises(NotNow, match=words):
            await erase_job(database, store, job_id, reason="a wish")


async def test_facts_that_are_still_to_be_told_are_told_first(
    database: Database, store: Bucket
) -> None:
    job_id = await a_told_job(database, store)
    async with database.transaction() as tx:
        fact = JobAccepted(job_id=job_id, recipe="variations", n=1)
        await journal.say(tx, state(fact, source="generator", now=NOON))

    with pytest.raises(NotNow, match="wait to be published"):
        await erase_job(database, store, job_id, reason="a wish")

    assert (await the_job(database, job_id)).erased_at is None


async def test_an_original_in_a_shared_folder_stays_and_is_named(
    database: Database, store: Bucket
) -> None:
    job_id = await a_job(database, source_key="library/a.jpg")
    await store.put("library/a.jpg", b"shared", content_type="image/jpeg")
    async with database.transaction() as tx:
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=1, reason="a wish")

    erased = await erase_job(database, store, job_id, reason="a wish")

    assert erased.left == "library/a.jpg"
    assert [info.key async for info in store.list("library/")] == ["library/a.jpg"]
