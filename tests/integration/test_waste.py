"""Files that storage put into a real bucket and nobody wanted any more are deleted, and no others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from services.reconciler.waste import ClearWaste
from services.storage.files import Files
from services.storage.laps import Laps
from services.storage.outputs import Output
from shared.db import slots
from shared.db.connection import Database
from shared.db.slots import Slot
from shared.domain import keys
from shared.domain.slot import FailureCode, Move, SlotState
from shared.errors import Transient
from shared.events import Artifact
from shared.objects import Bucket, ObjectInfo
from tests.support.file_host import FileHost, a_file_host
from tests.support.purchases import a_slot, always, end_job, the_slot
from tests.support.storing import Storage, a_picture, a_storage, succeeded
from tests.support.waiting import eventually

S = SlotState
NONE = timedelta(0)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with a_file_host() as there:
        yield there


@pytest_asyncio.fixture
async def storage(
    database: Database, bucket: dict[str, str], host: FileHost
) -> AsyncIterator[Storage]:
    async with a_storage(database, bucket, host.origin) as opened:
        yield opened


async def clear(storage: Storage, patience: timedelta = NONE) -> int:
    """A round of the reconciler; how many files it deleted."""
    clearing = ClearWaste(database=storage.database, bucket=storage.bucket, patience=patience)
    return (await clearing.run_once())["waste_deleted"]


async def lies_there(storage: Storage, slot: Slot, *, index: int = 0, attempt: int = 1) -> str:
    """A file that a process put just before it died."""
    key = keys.generated(slot.job_id, slot.ordinal, attempt, index, "image/png")
    await storage.bucket.put(key, a_picture(), content_type="image/png")
    return key


async def test_what_a_stopped_download_had_put_already_is_deleted(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    quick = host.serve("/quick", a_picture())
    slow = host.hang("/slow", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"begun")
    storing = asyncio.create_task(
        storage.hear(succeeded([quick, slow]), look_every=timedelta(milliseconds=20))
    )

    async def put() -> list[str]:
        return await storage.keys(slot.job_id)

    (left,) = await eventually("the quick one is put", put)
    await end_job(storage.database, slot.job_id)
    async with asyncio.timeout(10):
        await storing

    assert left.endswith("/generated/1-1-0.png")
    assert await clear(storage) == 1
    assert await storage.keys(slot.job_id) == []


async def test_what_was_fetched_when_the_job_ended_is_deleted(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    copy = Files.copy

    async def ends_and_is_cleared_during(
        files: Files, output: Output, laps: Laps
    ) -> tuple[Artifact, ...]:
        await end_job(storage.database, slot.job_id)
        assert await clear(storage) == 0
        return await copy(files, output, laps)

    monkeypatch.setattr(Files, "copy", ends_and_is_cleared_during)
    await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert await clear(storage) == 1
    assert await storage.keys(slot.job_id) == []


async def test_what_a_dead_process_had_put_is_deleted_once_the_job_has_ended(
    storage: Storage,
) -> None:
    slot = await a_slot(storage.database, S.SUCCEEDED)
    left = await lies_there(storage, slot)

    before = await clear(storage)
    await end_job(storage.database, slot.job_id)

    assert before == 0
    assert await clear(storage) == 1
    assert await storage.bucket.head(left) is None


async def test_files_of_an_attempt_that_expired_are_deleted_when_the_next_one_is_stored(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    left = await lies_there(storage, slot)
    gone = host.serve("/gone", b"", status="404 Gone")
    await storage.hear(succeeded(gone), again=always)
    bought_again = await the_slot(storage.database, slot.job_id)

    while_open = await clear(storage)
    async with storage.database.transaction() as tx:
        await slots.cancel_open(tx, slot.job_id)

    assert (bought_again.state, bought_again.attempt) == (S.PENDING, 2)
    assert while_open == 0
    assert await clear(storage) == 1
    assert await storage.bucket.head(left) is None


async def test_what_is_on_record_stays_beside_what_was_skipped(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    left = await lies_there(storage, slot, index=1)
    ours = host.serve("/a", a_picture())
    await storage.hear(succeeded([ours, host.serve("/b", b"no picture")]))

    assert await clear(storage) == 1

    (kept,) = await storage.artifacts(slot.job_id)
    assert await storage.keys(slot.job_id) == [kept.key]
    assert await storage.bucket.head(left) is None


async def test_nothing_is_looked_for_where_everything_was_stored(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    await storage.hear(succeeded(host.serve("/a", a_picture())))
    nobodys = await lies_there(storage, slot, index=7)

    assert await clear(storage) == 0
    assert await storage.bucket.head(nobodys) is not None


async def test_the_files_of_other_slots_and_originals_are_never_touched(
    storage: Storage,
) -> None:
    slot = await a_slot(storage.database, S.SUCCEEDED)
    others = [
        await lies_there(storage, replace(slot, ordinal=11)),
        f"{keys.originals(slot.job_id)}photo.png",
    ]
    await storage.bucket.put(others[1], a_picture(), content_type="image/png")
    await end_job(storage.database, slot.job_id)

    assert await clear(storage) == 0
    assert sorted(await storage.keys(slot.job_id)) == sorted(others)


async def test_a_download_gets_its_time_to_come_to_its_end(storage: Storage) -> None:
    slot = await a_slot(storage.database, S.SUCCEEDED)
    await lies_there(storage, slot)
    await end_job(storage.database, slot.job_id)

    assert await clear(storage, timedelta(minutes=2)) == 0
    assert len(await storage.keys(slot.job_id)) == 1


async def test_a_bucket_that_does_not_answer_is_asked_again_later(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(storage.database, S.SUCCEEDED)
    await lies_there(storage, slot)
    await end_job(storage.database, slot.job_id)

    async def away(_bucket: Bucket, key: str) -> ObjectInfo:
        raise Transient(f"the bucket could not delete {key}")

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "delete", away)
        with pytest.raises(Transient):
            await clear(storage)

    assert await clear(storage) == 1


async def test_a_slot_that_fails_after_its_success_is_looked_after(storage: Storage) -> None:
    slot = await a_slot(storage.database, S.SUCCEEDED)
    await lies_there(storage, slot)
    async with storage.database.transaction() as tx:
        assert await slots.move(
            tx, slot, Move(S.FAILED), code=FailureCode.NOT_STORED, detail="no bucket"
        )

    assert await clear(storage) == 1
