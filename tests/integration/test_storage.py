"""Storage on a real Postgres, a real bucket and real HTTP: what the provider made becomes ours."""

import asyncio
import base64
import hashlib
import io
import itertools
import random
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from services.storage.files import Files
from services.storage.laps import Laps
from services.storage.outputs import Output
from shared.db import artifacts, jobs, journal
from shared.db.connection import Database
from shared.db.slots import Slot
from shared.domain import keys
from shared.domain.job import JobState
from shared.domain.slot import FailureCode, SlotState
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import Artifact, ArtifactsStored, read
from shared.objects import Bucket
from tests.support.file_host import FileHost, a_file_host
from tests.support.purchases import (
    NOON,
    PREDICTION,
    a_slot,
    always,
    bought,
    doubted,
    end_job,
    given_up,
    hear,
    the_purchase,
    the_slot,
)
from tests.support.storing import ATTEMPTS, Storage, a_picture, a_sound, a_storage, succeeded
from tests.support.waiting import eventually

S = SlotState
HOUR = timedelta(hours=1)


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


# ---- what the provider made becomes ours


async def test_an_output_is_stored_under_its_key_and_recorded_with_its_real_type(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    picture = a_picture("WEBP")
    url = host.serve("/out-0.jpg", picture, "Content-Type: image/jpeg")

    await storage.hear(succeeded([url]))

    (artifact,) = await storage.artifacts(slot.job_id)
    assert artifact.key == f"jobs/{slot.job_id}/generated/1-1-0.webp"
    assert (artifact.kind, artifact.content_type) == ("generated", "image/webp")
    assert (artifact.width, artifact.height) == (32, 24)
    assert (artifact.ordinal, artifact.attempt, artifact.index) == (1, 1, 0)
    assert (artifact.seed, artifact.prediction_id) == (slot.seed, PREDICTION)
    assert artifact.sha256 == hashlib.sha256(picture).hexdigest()
    assert await storage.bucket.get_bytes(artifact.key, limit=10**6) == picture
    info = await storage.bucket.head(artifact.key)
    assert info is not None
    assert info.content_type == "image/webp"


async def test_the_fact_names_the_files_and_follows_from_the_news(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", a_picture()))

    await storage.hear(heard)

    said = await storage.closing(slot.job_id)
    assert said is not None
    assert (said.type, said.causation_id) == ("artifacts.stored", heard.id)
    fact = read(ArtifactsStored, said)
    assert (fact.job_id, fact.ordinal, fact.attempt) == (slot.job_id, 1, 1)
    assert list(fact.artifacts) == await storage.artifacts(slot.job_id)
    assert fact.skipped == ()
    assert (await the_slot(storage.database, slot.job_id)).state is S.STORED
    assert await storage.database.facts_owed.wait(0)
    assert host.origin.encode() not in said.body


async def test_the_fact_tells_when_each_step_was_reached(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    seconds = itertools.count()
    handler = replace(storage.handler(), now=lambda: NOON + timedelta(seconds=next(seconds)))

    await handler.hear(succeeded(host.serve("/a", a_picture())))

    told = (await storage.stored(slot.job_id)).times
    assert told is not None
    reached = (told.taken_at, told.begun_at, told.fetched_at, told.finished_at, told.put_at)
    assert list(reached) == sorted(set(reached))
    assert (told.heard_before, told.held_since) == (False, None)


async def test_the_fact_tells_that_it_was_not_the_first_try_and_that_it_was_held(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", b"", status="503 Service Unavailable"))
    with pytest.raises(Transient):
        await storage.hear(heard)
    host.serve("/a", a_picture())

    await storage.hear(replace(heard, held_since=NOON))

    told = (await storage.stored(slot.job_id)).times
    assert told is not None
    assert (told.heard_before, told.held_since) == (True, NOON)


@pytest.mark.parametrize("shape", ["string", "list", "nested", "object", "data"])
async def test_every_shape_of_output_is_understood(
    storage: Storage, host: FileHost, shape: str
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    a, b = host.serve("/a", a_picture()), host.serve("/b", a_picture("JPEG"))
    inside = "data:image/png;base64," + base64.b64encode(a_picture()).decode()
    output: Any = {
        "string": a,
        "list": [a, b],
        "nested": [[a], [b]],
        "object": {"image": a, "score": 0.5, "more": [b]},
        "data": inside,
    }[shape]

    await storage.hear(succeeded(output))

    fact = await storage.stored(slot.job_id)
    wanted = ["image/png"] if shape in ("string", "data") else ["image/png", "image/jpeg"]
    assert [artifact.content_type for artifact in fact.artifacts] == wanted
    assert [artifact.index for artifact in fact.artifacts] == list(range(len(wanted)))


async def test_sound_is_stored_as_sound(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING, recipe="background-music")

    await storage.hear(succeeded(host.serve("/out.mp3", a_sound(0.5))))

    (artifact,) = await storage.artifacts(slot.job_id)
    assert (artifact.content_type, artifact.width) == ("audio/wav", None)
    assert (artifact.seconds, artifact.bytes) == (0.5, 8044)
    assert artifact.key.endswith(".wav")


async def test_the_late_success_of_an_older_attempt_wins_the_slot(
    storage: Storage, host: FileHost
) -> None:
    first = await a_slot(storage.database, S.CREATING)
    await doubted(storage.database, first)
    again = await given_up(storage.database, await the_slot(storage.database, first.job_id))
    await bought(storage.database, again, "p2")
    older = await the_purchase(storage.database, again, attempt=1)

    late = succeeded(host.serve("/a", a_picture()), prediction_id="p1", row=older)
    await storage.hear(late)
    await storage.hear(succeeded(host.serve("/b", a_picture()), prediction_id="p2"))

    fact = await storage.stored(first.job_id)
    assert fact.attempt == 1
    assert await storage.keys(first.job_id) == [f"jobs/{first.job_id}/generated/1-1-0.png"]
    assert all("/b" not in request for request in host.requests)


# ---- once


async def test_five_deliveries_at_once_store_once(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", a_picture()))
    handler = storage.handler()

    await asyncio.gather(*(handler.hear(heard) for _ in range(5)))

    assert len(await storage.artifacts(slot.job_id)) == 1
    assert host.connections == 1  # the others waited, and found it done


async def test_five_processes_at_once_store_once(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded([host.serve("/a", a_picture()), host.serve("/b", a_picture())])

    await asyncio.gather(*(storage.handler().hear(heard) for _ in range(5)))

    assert len(await storage.artifacts(slot.job_id)) == 2
    assert len(await storage.keys(slot.job_id)) == 2
    async with storage.database.connection() as tx:
        said = [e for e in await journal.of_job(tx, slot.job_id) if e.type == "artifacts.stored"]
    assert len(said) == 1


async def test_a_late_duplicate_fetches_nothing(storage: Storage, host: FileHost) -> None:
    await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", a_picture()))
    await storage.hear(heard)
    asked = host.connections

    await storage.hear(heard)

    assert host.connections == asked


async def test_a_death_between_upload_and_commit_leaves_one_artifact(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", a_picture()))

    async def dies(*_about: object) -> bool:
        raise DatabaseUnavailable("the outcome of a commit is unknown")

    with monkeypatch.context() as broken:
        broken.setattr(artifacts, "insert", dies)
        with pytest.raises(DatabaseUnavailable):
            await storage.hear(heard)
    assert len(await storage.keys(slot.job_id)) == 1
    assert (await the_slot(storage.database, slot.job_id)).state is S.SUCCEEDED
    assert await storage.artifacts(slot.job_id) == []

    await storage.hear(heard)

    (artifact,) = await storage.artifacts(slot.job_id)
    assert await storage.keys(slot.job_id) == [artifact.key]
    assert (await the_slot(storage.database, slot.job_id)).state is S.STORED


async def test_what_lies_under_its_key_already_is_never_overwritten(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    key = keys.generated(slot.job_id, 1, 1, 0, "image/png")
    await storage.bucket.put(key, b"somebody's", content_type="image/png")

    with pytest.raises(Permanent, match="other bytes lie under"):
        await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert await storage.bucket.get_bytes(key, 100) == b"somebody's"
    assert (await the_slot(storage.database, slot.job_id)).state is S.FAILED


async def test_a_job_that_ends_meanwhile_takes_no_files(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    copy = Files.copy

    async def ends_during(files: Files, output: Output, laps: Laps) -> tuple[Artifact, ...]:
        stored = await copy(files, output, laps)
        await end_job(storage.database, slot.job_id)
        return stored

    monkeypatch.setattr(Files, "copy", ends_during)
    await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert (await the_slot(storage.database, slot.job_id)).state is S.CANCELED
    assert await storage.artifacts(slot.job_id) == []
    assert await storage.closing(slot.job_id) is None


async def end_alone(storage: Storage, slot: Slot) -> None:
    """The job ends, and nobody has closed its slots yet."""
    async with storage.database.transaction() as tx:
        await jobs.end(tx, slot.job_id, state=JobState.CANCELED, canceled=1, reason="a wish")


async def test_a_download_that_is_under_way_stops_when_its_job_ends(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    url = host.hang("/slow", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"begun")
    often = timedelta(milliseconds=20)
    storing = asyncio.create_task(storage.hear(succeeded(url), look_every=often))

    async def begun() -> int:
        return len(host.requests)

    await eventually("the download is under way", begun)
    await end_alone(storage, slot)

    # Its host would have been waited for much longer; the message is done with, and not parked.
    async with asyncio.timeout(10):
        await storing
    assert await storage.artifacts(slot.job_id) == []
    assert await storage.keys(slot.job_id) == []
    assert await storage.closing(slot.job_id) is None


async def test_a_success_whose_job_has_just_ended_fetches_nothing(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    await end_alone(storage, slot)

    await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert host.connections == 0


async def test_what_was_fetched_when_the_job_ended_is_neither_recorded_nor_counted_as_lost(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Files.copy

    async def ends_during(files: Files, output: Output, laps: Laps) -> tuple[Artifact, ...]:
        stored = await copy(files, output, laps)
        await end_alone(storage, slot)
        return stored

    monkeypatch.setattr(Files, "copy", ends_during)
    slot = await a_slot(storage.database, S.RUNNING)
    await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert (await the_slot(storage.database, slot.job_id)).state is S.SUCCEEDED
    assert await storage.artifacts(slot.job_id) == []
    assert await storage.closing(slot.job_id) is None


# ---- what cannot be used


async def test_one_bad_output_among_several_is_skipped_and_said(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    page = host.serve("/b.png", b"<!doctype html><p>no</p>", "Content-Type: image/png")
    good, more = host.serve("/a", a_picture()), host.serve("/c", a_picture())

    await storage.hear(succeeded([good, page, None, "no address", more]))

    fact = await storage.stored(slot.job_id)
    assert [artifact.index for artifact in fact.artifacts] == [0, 4]
    assert [skip.index for skip in fact.skipped] == [1, 2, 3]
    assert "no file that we know" in fact.skipped[0].why


async def test_pictures_that_the_model_left_out_are_said(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    async with storage.database.transaction() as tx:
        await tx.execute("UPDATE slot SET input = $1", {"num_outputs": 4})

    await storage.hear(succeeded([host.serve("/a", a_picture())]))

    fact = await storage.stored(slot.job_id)
    assert [skip.index for skip in fact.skipped] == [1, 2, 3]
    assert "NSFW" in fact.skipped[0].why


async def test_more_files_than_are_taken_are_not_fetched(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded([host.serve(f"/{n}", a_picture()) for n in range(9)]))

    fact = await storage.stored(slot.job_id)
    assert (len(fact.artifacts), [skip.index for skip in fact.skipped]) == (6, [6])
    assert "3 outputs more" in fact.skipped[0].why
    assert host.connections == 6


@pytest.mark.parametrize(
    "data",
    [
        b"a text that is called a png",
        b"<!doctype html><title>Not found</title>",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        a_picture()[:200],
        a_picture() + b"<script>alert(1)</script>",
        b"",
    ],
)
async def test_a_file_that_is_no_picture_fails_the_slot_and_is_parked_for_a_look(
    storage: Storage, host: FileHost, data: bytes
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    with pytest.raises(Permanent, match="unusable_output"):
        await storage.hear(succeeded(host.serve("/a.png", data, "Content-Type: image/png")))

    fact = await storage.failed(slot.job_id)
    assert (fact.code, fact.attempt) == (FailureCode.UNUSABLE_OUTPUT, 1)
    assert (await the_slot(storage.database, slot.job_id)).state is S.FAILED
    assert await storage.keys(slot.job_id) == []


async def test_an_address_that_we_do_not_fetch_fails_the_slot_and_says_why(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    with pytest.raises(Permanent):
        await storage.hear(succeeded("https://evil.example/a.png?key=s3cr3t"))

    fact = await storage.failed(slot.job_id)
    assert fact.code is FailureCode.UNUSABLE_OUTPUT
    assert "evil.example" in fact.detail
    assert "s3cr3t" not in fact.detail


@pytest.mark.parametrize("output", [None, [], "", {}, {"score": 1}])
async def test_a_success_without_output_fails_the_slot_as_such(
    storage: Storage, output: Any
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded(output))

    assert (await storage.failed(slot.job_id)).code is FailureCode.NO_OUTPUT
    assert (await the_slot(storage.database, slot.job_id)).state is S.FAILED


async def test_a_failed_slot_stays_failed_when_its_message_is_replayed(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    url = host.serve("/a", b"no picture")
    with pytest.raises(Permanent):
        await storage.hear(succeeded(url))
    host.serve("/a", a_picture())

    await storage.hear(succeeded(url))

    assert (await the_slot(storage.database, slot.job_id)).state is S.FAILED


# ---- what is gone


async def test_files_that_are_gone_are_a_result_of_their_own(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded([f"{host.origin}/gone", f"{host.origin}/gone-too"]))

    fact = await storage.failed(slot.job_id)
    assert fact.code is FailureCode.EXPIRED
    assert "404" in fact.detail


async def test_what_is_left_of_files_that_are_going_is_kept(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded([f"{host.origin}/gone", host.serve("/a", a_picture())]))

    fact = await storage.stored(slot.job_id)
    assert ([a.index for a in fact.artifacts], [s.index for s in fact.skipped]) == ([1], [0])


async def test_gone_files_are_bought_again_where_the_recipe_pays_again(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded(f"{host.origin}/gone"), again=always)

    after = await the_slot(storage.database, slot.job_id)
    assert (after.state, after.attempt, after.winner) == (S.PENDING, 2, None)
    assert await storage.closing(slot.job_id) is None
    assert await storage.database.slots_due.wait(0)


async def test_a_body_whose_data_was_removed_is_not_asked_about(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded(None, data_removed=True))

    assert (await storage.failed(slot.job_id)).code is FailureCode.EXPIRED
    assert host.connections == 0


async def test_a_body_whose_data_was_removed_never_overwrites_what_is_known(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    await hear(storage.database, succeeded(host.serve("/a", a_picture())))

    await storage.hear(succeeded(None, data_removed=True))

    assert len((await storage.stored(slot.job_id)).artifacts) == 1


async def test_when_the_hour_is_over_what_fails_is_expired(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    await hear(storage.database, succeeded(url := host.serve("/a", b"", status="503 Away")))

    await storage.hear(succeeded(url), now=NOON + HOUR)

    assert (await storage.failed(slot.job_id)).code is FailureCode.EXPIRED


async def test_when_the_hour_is_over_a_file_that_is_still_there_is_saved(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    await hear(storage.database, succeeded(url := host.serve("/a", a_picture())))

    await storage.hear(succeeded(url), now=NOON + HOUR)

    assert len((await storage.stored(slot.job_id)).artifacts) == 1


# ---- bad days


async def test_a_bad_day_of_the_host_is_waited_for_and_not_past_the_hour(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    url = host.serve("/a", b"", "Retry-After: 9", status="429 Many")

    with pytest.raises(Transient) as wait:
        await storage.hear(succeeded([host.serve("/b", a_picture()), url]))

    assert wait.value.retry_after == timedelta(seconds=9)
    assert wait.value.expires_at == NOON + HOUR
    assert (await the_slot(storage.database, slot.job_id)).state is S.SUCCEEDED

    host.serve("/a", a_picture())
    await storage.hear(succeeded([f"{host.origin}/b", url]))
    assert len((await storage.stored(slot.job_id)).artifacts) == 2


async def test_the_hour_is_as_long_as_the_installation_says(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    ends = succeeded(host.serve("/a", b"", status="503 Down"), completed_at=NOON.isoformat())

    with pytest.raises(Transient) as wait:
        await storage.hear(ends, files_live=timedelta(minutes=6))

    assert wait.value.expires_at == NOON + timedelta(minutes=6)
    assert (await the_slot(storage.database, slot.job_id)).expires_at == wait.value.expires_at


async def test_the_last_try_decides_the_fate_of_the_slot(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", b"", status="500 Oh"))

    with pytest.raises(Transient):
        await storage.hear(replace(heard, attempts=ATTEMPTS - 2))
    with pytest.raises(Permanent, match="not_stored"):
        await storage.hear(replace(heard, attempts=ATTEMPTS - 1))

    assert (await storage.failed(slot.job_id)).code is FailureCode.NOT_STORED


async def test_the_last_try_keeps_what_it_has(storage: Storage, host: FileHost) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    urls = [host.serve("/a", b"", status="500 Oh"), host.serve("/b", a_picture())]

    await storage.hear(replace(succeeded(urls), attempts=ATTEMPTS - 1))

    fact = await storage.stored(slot.job_id)
    assert ([a.index for a in fact.artifacts], [s.index for s in fact.skipped]) == ([1], [0])


async def test_a_bucket_that_is_away_is_waited_for(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    heard = succeeded(host.serve("/a", a_picture()))

    async def away(*_about: object, **_more: object) -> None:
        raise Transient("the bucket could not put it: 503 SlowDown")

    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "put", away)
        with pytest.raises(Transient, match="bucket"):
            await storage.hear(heard)
    await storage.hear(heard)

    assert len((await storage.stored(slot.job_id)).artifacts) == 1


# ---- news that is not ours


async def test_news_of_nobodys_prediction_is_parked_for_a_look(storage: Storage) -> None:
    with pytest.raises(Permanent, match="no purchase of ours"):
        await storage.hear(succeeded("https://replicate.delivery/a", prediction_id="nobody"))


async def test_what_is_no_prediction_is_parked_for_a_look(storage: Storage) -> None:
    with pytest.raises(Permanent, match="no prediction"):
        await storage.hear(replace(succeeded(None), body=b"not json"))


async def test_news_for_a_job_that_has_ended_fetches_nothing(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    await end_job(storage.database, slot.job_id)

    await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert host.connections == 0
    assert (await the_slot(storage.database, slot.job_id)).state is S.CANCELED


# ---- weight


async def test_a_picture_of_twenty_megabytes_is_stored_without_lying_in_memory(
    storage: Storage, host: FileHost
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    picture = await asyncio.to_thread(noise, (2700, 2600))
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    pieces = [picture[at : at + 65536] for at in range(0, len(picture), 65536)]
    heard = succeeded(host.reply("/a", head, *pieces))
    tracemalloc.start()

    await storage.hear(heard)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    (artifact,) = await storage.artifacts(slot.job_id)
    assert artifact.bytes == len(picture) > 20_000_000
    assert peak < 8_000_000


def noise(size: tuple[int, int]) -> bytes:
    """A picture that does not compress: its file is as large as its pixels."""
    file = io.BytesIO()
    Image.frombytes("RGB", size, random.Random(1).randbytes(size[0] * size[1] * 3)).save(
        file, "PNG", compress_level=0
    )
    return file.getvalue()
