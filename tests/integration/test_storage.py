"""Storage on a real Postgres, a real bucket and real HTTP: what the provider made becomes ours."""

import asyncio
import base64
import hashlib
import io
import random
import threading
import tracemalloc
import wave
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from PIL import Image

from services.storage.files import Files, Output
from services.storage.finish import Finishing, Make
from services.storage.handlers import StoreOutputs
from shared.db import artifacts, journal
from shared.db.connection import Database
from shared.db.record import AgainRule
from shared.domain.identity import slot_closed_id, verdict_id
from shared.domain.slot import FailureCode, SlotState
from shared.downloads import Downloads, open_downloads
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import Artifact, ArtifactsStored, SlotFailed, read
from shared.media import audio
from shared.media.made import Made
from shared.media.steps import FINISH
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings, DownloadSettings
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
    never,
    news,
    the_purchase,
    the_slot,
)
from tests.support.waiting import eventually

S = SlotState
HOUR = timedelta(hours=1)
ATTEMPTS = 5


def a_picture(kind: str = "PNG", size: tuple[int, int] = (32, 24)) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(file, kind)
    return file.getvalue()


def a_sound(*, seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        dice = random.Random(1)
        sound.writeframes(dice.randbytes(round(seconds * 8000) * 2))
    return file.getvalue()


async def to_finish(storage: "Storage", *steps: dict[str, Any], **columns: Any) -> UUID:
    """The job of a running slot whose outputs are to be finished."""
    slot = await a_slot(storage.database, S.RUNNING)
    async with storage.database.transaction() as tx:
        await tx.execute(
            "UPDATE slot SET finish = $2, expects = $3 WHERE job_id = $1",
            slot.job_id,
            list(steps),
            columns.get("expects"),
        )
    return slot.job_id


def succeeded(output: Any, *, prediction_id: str = PREDICTION, **more: Any) -> Envelope:
    return news(
        prediction_id,
        "succeeded",
        event_id=verdict_id(prediction_id, "succeeded"),
        output=output,
        **more,
    )


class Storage:
    """The handler on real parts, and the eyes of a test on them."""

    def __init__(
        self,
        database: Database,
        bucket: Bucket,
        downloads: Downloads,
        steps: Mapping[str, Make] = FINISH,
    ) -> None:
        self.database = database
        self.bucket = bucket
        self.downloads = downloads
        self.files = Files(
            downloads,
            bucket,
            Finishing(steps, at_once=2),
            probe=audio.probe,
            at_once=8,
            decodes_at_once=2,
        )

    def with_steps(self, **steps: Make) -> "Storage":
        """The same parts, and steps that a test brings."""
        return Storage(self.database, self.bucket, self.downloads, steps)

    def handler(self, *, again: AgainRule = never, now: datetime = NOON) -> StoreOutputs:
        return StoreOutputs(
            database=self.database,
            files=self.files,
            again=again,
            now=lambda: now,
            attempts=ATTEMPTS,
            most_files=6,
        )

    async def hear(self, envelope: Envelope, **more: Any) -> None:
        await self.handler(**more).hear(envelope)

    async def artifacts(self, job_id: UUID) -> list[Artifact]:
        async with self.database.connection() as tx:
            return await artifacts.of_job(tx, job_id)

    async def keys(self, job_id: UUID) -> list[str]:
        return [info.key async for info in self.bucket.list(f"jobs/{job_id}/")]

    async def closing(self, job_id: UUID) -> Envelope | None:
        """What is said of the closed slot, if it is closed."""
        async with self.database.connection() as tx:
            entry = await journal.by_event_id(tx, slot_closed_id(job_id, 1))
        return None if entry is None else entry.envelope

    async def stored(self, job_id: UUID) -> ArtifactsStored:
        said = await self.closing(job_id)
        assert said is not None
        return read(ArtifactsStored, said)

    async def failed(self, job_id: UUID) -> SlotFailed:
        said = await self.closing(job_id)
        assert said is not None
        return read(SlotFailed, said)


async def _fetched(host: FileHost) -> bool:
    return bool(host.requests)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with a_file_host() as there:
        yield there


@pytest_asyncio.fixture
async def storage(
    database: Database, bucket: dict[str, str], host: FileHost
) -> AsyncIterator[Storage]:
    where = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    allowed = DownloadSettings(download_allowed_origin=host.origin, download_max_bytes=30_000_000)
    async with open_bucket(where) as opened, open_downloads(allowed) as downloads:
        yield Storage(database, opened, downloads)


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
    slot = await a_slot(storage.database, S.RUNNING)

    await storage.hear(succeeded(host.serve("/out.mp3", a_sound(seconds=1.5))))

    (artifact,) = await storage.artifacts(slot.job_id)
    assert (artifact.content_type, artifact.width) == ("audio/wav", None)
    assert artifact.seconds == pytest.approx(1.5, abs=0.01)
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


async def test_a_job_that_ends_meanwhile_takes_no_files(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await a_slot(storage.database, S.RUNNING)
    copy = Files.copy

    async def ends_during(files: Files, output: Output) -> tuple[Artifact, ...]:
        copied = await copy(files, output)
        await end_job(storage.database, slot.job_id)
        return copied

    monkeypatch.setattr(Files, "copy", ends_during)
    await storage.hear(succeeded(host.serve("/a", a_picture())))

    assert (await the_slot(storage.database, slot.job_id)).state is S.CANCELED
    assert await storage.artifacts(slot.job_id) == []
    assert await storage.closing(slot.job_id) is None


# ---- finishing

UPPER = {"step": "upper", "variant": "loud", "options": {"by": 2}}


def upper(data: bytes, options: Mapping[str, Any]) -> Made:
    """A step that makes of a picture the length of its bytes, and likes long ones."""
    made = b"%d" % (len(data) * options["by"])
    return Made(data=made, content_type="image/png", width=1, height=2, score=len(data) / 1e9)


def spoilt(data: bytes, _options: Mapping[str, Any]) -> Made:
    raise Permanent(f"no good: {len(data)} bytes")


async def test_each_output_is_stored_with_what_its_slots_steps_make_of_it(
    storage: Storage, host: FileHost
) -> None:
    job_id = await to_finish(storage, UPPER)
    pictures = [a_picture(), a_picture(size=(64, 64))]

    await storage.with_steps(upper=upper).hear(
        succeeded([host.serve(f"/{n}", picture) for n, picture in enumerate(pictures)])
    )

    small, large = pictures
    files = await storage.artifacts(job_id)
    assert [(file.kind, file.index, file.variant) for file in files] == [
        ("generated", 1, None),  # the better one first
        ("derived", 1, "loud"),
        ("generated", 0, None),
        ("derived", 0, "loud"),
    ]
    assert [file.score for file in files] == [len(large) / 1e9] * 2 + [len(small) / 1e9] * 2
    assert files[1].key == f"jobs/{job_id}/derived/1-1-1-loud.png"
    assert await storage.bucket.get_bytes(files[1].key, limit=99) == b"%d" % (2 * len(large))
    assert (files[1].width, files[1].height) == (1, 2)
    assert set((await storage.stored(job_id)).artifacts) == set(files)


async def test_one_output_that_cannot_be_finished_does_not_fail_the_others(
    storage: Storage, host: FileHost
) -> None:
    job_id = await to_finish(storage, UPPER)
    bad = a_picture(size=(8, 8))

    def but_one(data: bytes, options: Mapping[str, Any]) -> Made:
        return spoilt(data, options) if data == bad else upper(data, options)

    await storage.with_steps(upper=but_one).hear(
        succeeded([host.serve("/a", a_picture()), host.serve("/b", bad)])
    )

    [skipped] = (await storage.stored(job_id)).skipped
    slot = await the_slot(storage.database, job_id)
    assert (skipped.index, skipped.why) == (1, f"no good: {len(bad)} bytes")
    assert slot.skipped == [{"index": 1, "why": skipped.why}]
    assert {file.index for file in await storage.artifacts(job_id)} == {0}
    assert not any("1-1-1" in key for key in await storage.keys(job_id))


async def test_outputs_of_which_none_can_be_finished_fail_the_slot(
    storage: Storage, host: FileHost
) -> None:
    job_id = await to_finish(storage, UPPER)

    with pytest.raises(Permanent, match="no good"):
        await storage.with_steps(upper=spoilt).hear(succeeded(host.serve("/a", a_picture())))

    assert (await storage.failed(job_id)).code is FailureCode.UNUSABLE_OUTPUT
    assert await storage.keys(job_id) == []


async def test_a_step_that_did_not_work_out_this_time_is_done_again(
    storage: Storage, host: FileHost
) -> None:
    job_id = await to_finish(storage, UPPER)
    tries: list[int] = []

    def at_last(data: bytes, options: Mapping[str, Any]) -> Made:
        tries.append(1)
        if len(tries) == 1:
            raise Transient("the program hung and was killed")
        return upper(data, options)

    news_of_it = succeeded(host.serve("/a", a_picture()))
    with pytest.raises(Transient, match="hung"):
        await storage.with_steps(upper=at_last).hear(news_of_it)
    await storage.with_steps(upper=at_last).hear(replace(news_of_it, attempts=1))

    assert (await the_slot(storage.database, job_id)).state is S.STORED
    assert len(await storage.artifacts(job_id)) == 2


async def test_a_step_that_nobody_knows_here_is_said(storage: Storage, host: FileHost) -> None:
    job_id = await to_finish(storage, UPPER)

    with pytest.raises(Permanent, match="no step 'upper'"):
        await storage.with_steps().hear(succeeded(host.serve("/a", a_picture())))

    assert "no step 'upper'" in (await storage.failed(job_id)).detail


async def test_a_death_between_finishing_and_commit_doubles_nothing(
    storage: Storage, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await to_finish(storage, UPPER)
    news_of_it = succeeded(host.serve("/a", a_picture()))

    async def dies(*_about: object) -> bool:
        raise DatabaseUnavailable("the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "insert", dies)
        with pytest.raises(DatabaseUnavailable):
            await storage.with_steps(upper=upper).hear(news_of_it)
    assert await storage.artifacts(job_id) == []
    await storage.with_steps(upper=upper).hear(news_of_it)

    assert sorted(f.key for f in await storage.artifacts(job_id)) == await storage.keys(job_id)
    assert len(await storage.keys(job_id)) == 2


async def test_the_loop_goes_on_while_a_step_works(storage: Storage, host: FileHost) -> None:
    job_id = await to_finish(storage, UPPER)
    may_end = threading.Event()

    def slow(data: bytes, options: Mapping[str, Any]) -> Made:
        assert may_end.wait(20)
        return upper(data, options)

    handling = asyncio.create_task(
        storage.with_steps(upper=slow).hear(succeeded(host.serve("/a", a_picture())))
    )
    await eventually("the file was fetched", lambda: _fetched(host))
    may_end.set()  # from the loop: it would never come here if the step held it
    await handling

    assert (await the_slot(storage.database, job_id)).state is S.STORED


async def test_no_more_steps_at_once_than_are_allowed(storage: Storage, host: FileHost) -> None:
    job_id = await to_finish(storage, UPPER)
    running, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(2, timeout=20)

    def counted(data: bytes, options: Mapping[str, Any]) -> Made:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1
        return upper(data, options)

    await storage.with_steps(upper=counted).hear(
        succeeded([host.serve(f"/{n}", a_picture()) for n in range(4)])
    )

    assert most == [2]
    assert len(await storage.artifacts(job_id)) == 8


async def test_the_palette_step_stores_a_concept_in_the_colours_asked_for(
    storage: Storage, host: FileHost
) -> None:
    colours = ["#101010", "#e0e0e0", "#c03020"]
    step = {"step": "palette", "variant": "quantised", "options": {"colours": colours}}
    job_id = await to_finish(storage, step, expects="image")

    await storage.hear(succeeded(host.serve("/a", a_picture(size=(64, 48)))))

    generated, derived = await storage.artifacts(job_id)
    picture = Image.open(io.BytesIO(await storage.bucket.get_bytes(derived.key, limit=99_999)))
    found = {"#" + bytes(pixel).hex() for _, pixel in picture.convert("RGB").getcolors() or ()}  # type: ignore[arg-type]
    assert found <= set(colours)
    assert (derived.width, derived.height) == (64, 48)
    assert generated.score == derived.score is not None


@pytest.mark.parametrize(
    ("expects", "made"), [("audio", "picture"), ("image", "sound"), ("video", "picture")]
)
async def test_a_good_file_of_the_wrong_kind_is_not_taken(
    storage: Storage, host: FileHost, expects: str, made: str
) -> None:
    job_id = await to_finish(storage, expects=expects)
    data = a_picture() if made == "picture" else a_sound(seconds=1)

    with pytest.raises(Permanent, match=f"where {expects} was ordered"):
        await storage.hear(succeeded(host.serve("/a", data)))

    failed = await storage.failed(job_id)
    assert failed.code is FailureCode.UNUSABLE_OUTPUT
    assert await storage.keys(job_id) == []


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
