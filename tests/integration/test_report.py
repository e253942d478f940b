"""The report service on a real database, bucket and broker."""

import asyncio
import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest
from prometheus_client import REGISTRY

from services.report.compose import People
from services.report.handlers import PublishReports
from services.report.pictures import for_page
from services.report.settings import Settings
from services.report.view import Picture, Sound
from services.report.wiring import workers
from shared import events, recipes
from shared.connections import Connections
from shared.db import artifacts, jobs, journal, slots
from shared.db.connection import Connection, Database, open_database
from shared.db.jobs import Job, NewJob
from shared.db.journal import Entry
from shared.db.slots import NewSlot
from shared.domain import identity, keys
from shared.domain.backoff import MAX_ATTEMPTS
from shared.domain.job import JobState
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import Artifact, JobCompleted, Skipped, read
from shared.health import Health
from shared.media.audio import probe
from shared.media.palette import finish
from shared.media.stencil import prepare
from shared.messaging.publisher import open_publisher
from shared.objects import Bucket, ObjectMissing, open_bucket
from shared.settings import BucketSettings, read_settings
from tests.support.sample_report import (
    COLOURS,
    a_concept,
    a_damaged_photo,
    a_landscape,
    a_tone,
    played,
)
from tests.support.waiting import eventually

NOON = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
PHOTO = a_landscape(99, width=300, height=400)
MADE = {ordinal: a_landscape(ordinal, width=256, height=256) for ordinal in (1, 2, 3)}


async def shrink(data: bytes, edge: int) -> Picture:
    return await asyncio.to_thread(for_page, data, edge=edge)


async def listen(data: bytes) -> Sound:
    return await asyncio.to_thread(played, data)


@dataclass
class Room:
    """What one test has of each part."""

    database: Database
    bucket: Bucket

    def reports(self, *, bucket: Bucket | None = None) -> PublishReports:
        return PublishReports(
            database=self.database,
            bucket=bucket or self.bucket,
            shrink=shrink,
            listen=listen,
            recipes={recipe.name: recipe for recipe in recipes.RECIPES},
            people=People(zone="UTC", locale="en"),
            file_max_bytes=5_000_000,
            now=lambda: NOON,
        )

    async def job(self, job_id: UUID) -> Job:
        async with self.database.connection() as db:
            job = await jobs.get(db, job_id)
        assert job is not None
        return job

    async def stated(self, job_id: UUID) -> list[Entry]:
        async with self.database.connection() as db:
            return [e for e in await journal.of_job(db, job_id) if e.type.startswith("report.")]

    async def page(self, job_id: UUID) -> str:
        return (await self.bucket.get_bytes(keys.report(job_id), limit=10_000_000)).decode()

    async def report_files(self, job_id: UUID) -> list[Artifact]:
        async with self.database.connection() as db:
            return [f for f in await artifacts.of_job(db, job_id) if f.kind == "report"]

    async def completed(
        self,
        *,
        timezone: str | None = None,
        locale: str | None = None,
        without: Sequence[str] = (),
        state: JobState = JobState.COMPLETED,
    ) -> Envelope:
        """A job of three results that has ended, and the fact that says so.

        ``without`` names files that are on record and not in the bucket: ``original``, or a
        slot's ordinal.
        """
        job_id = uuid4()
        files = {"original": an_original(job_id), **{str(n): a_result(job_id, n) for n in MADE}}
        for name, data in {"original": PHOTO, **{str(n): MADE[n] for n in MADE}}.items():
            if name not in without:
                await self.bucket.put(files[name].key, data, content_type="image/jpeg")
        async with self.database.transaction() as tx:
            await jobs.insert(
                tx,
                NewJob(
                    id=job_id,
                    recipe="variations",
                    n=len(MADE),
                    ordered_at=NOON,
                    external_ref="order-17",
                    timezone=timezone,
                    locale=locale,
                ),
            )
            await slots.insert_all(
                tx,
                job_id,
                [NewSlot(ordinal=n, model="somebody/model", input={}, seed=1000 + n) for n in MADE],
            )
            for file in files.values():
                await artifacts.insert(tx, job_id, file)
            await _store_all(tx, job_id)
            await jobs.add_counts(tx, job_id, stored=len(MADE), failed=0)
            ended = await jobs.end(tx, job_id, state=state, canceled=0, reason=None)
        assert ended is not None
        fact = JobCompleted(
            job_id=job_id, recipe="variations", n=3, stored=3, failed=0, external_ref="order-17"
        )
        return events.state(fact, source="aggregator", now=NOON)

    async def completed_order(
        self,
        recipe: str,
        files: Sequence[tuple[Artifact, bytes | None]],
        *,
        params: dict[str, Any] | None = None,
        skipped: Sequence[Skipped] = (),
        locale: str = "en",
    ) -> Envelope:
        """A job of one slot that has made ``files``; those without bytes are not in the bucket."""
        job_id = UUID(files[0][0].key.split("/")[1])
        for file, data in files:
            if data is not None:
                await self.bucket.put(file.key, data, content_type=file.content_type)
        order = NewJob(
            id=job_id, recipe=recipe, n=1, ordered_at=NOON, params=params or {}, locale=locale
        )
        async with self.database.transaction() as tx:
            await jobs.insert(tx, order)
            new = NewSlot(ordinal=1, model="somebody/model", input={}, seed=4711)
            await slots.insert_all(tx, job_id, [new])
            for file, _ in files:
                await artifacts.insert(tx, job_id, file)
            await _store_all(tx, job_id)
            await tx.execute(
                "UPDATE slot SET skipped = $2 WHERE job_id = $1",
                job_id,
                [asdict(skip) for skip in skipped],
            )
            await jobs.add_counts(tx, job_id, stored=1, failed=0)
            ended = await jobs.end(tx, job_id, state=JobState.COMPLETED, canceled=0, reason=None)
        assert ended is not None
        fact = JobCompleted(job_id=job_id, recipe=recipe, n=1, stored=1, failed=0)
        return events.state(fact, source="aggregator", now=NOON)


async def _store_all(tx: Connection, job_id: UUID) -> None:
    await tx.execute(
        """
        UPDATE slot
           SET state = 'stored', due_at = NULL, winner = 1, counted_at = now()
         WHERE job_id = $1
        """,
        job_id,
    )
    await tx.execute(
        """
        INSERT INTO prediction (job_id, ordinal, attempt, token, model, seed, prediction_id, status,
                                outcome, create_deadline)
        SELECT job_id, ordinal, 1, 'a-token-of-20-letters', model, seed,
               'prediction' || ordinal || replace(job_id::text, '-', ''), 'succeeded',
               'accepted', now()
          FROM slot
         WHERE job_id = $1
        """,
        job_id,
    )


def an_original(job_id: UUID) -> Artifact:
    return _file(keys.originals(job_id) + "photo.jpg", PHOTO, kind="original")


def a_result(job_id: UUID, ordinal: int) -> Artifact:
    key = keys.generated(job_id, ordinal, 1, 0, "image/jpeg")
    return replace(_file(key, MADE[ordinal], kind="generated"), ordinal=ordinal, attempt=1)


def _file(
    key: str, data: bytes, *, kind: str, content_type: str = "image/jpeg", **known: Any
) -> Artifact:
    file = Artifact(
        id=identity.artifact_id(key),
        kind=kind,
        key=key,
        content_type=content_type,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return replace(file, **known)


def job_of(envelope: Envelope) -> UUID:
    return read(JobCompleted, envelope).job_id


def settings_of(led: dict[str, str]) -> BucketSettings:
    return BucketSettings(**{name.lower(): value for name, value in led.items()})  # type: ignore[arg-type]


@pytest.fixture
async def room(database_url: str, bucket: dict[str, str]) -> AsyncIterator[Room]:
    async with (
        open_database(database_url, name="test", max_size=4) as database,
        open_bucket(settings_of(bucket)) as opened,
    ):
        yield Room(database, opened)


@asynccontextmanager
async def a_bucket_that_is_away(led: dict[str, str]) -> AsyncIterator[Bucket]:
    async with open_bucket(settings_of(led | {"S3_ENDPOINT_URL": "http://127.0.0.1:1"})) as bucket:
        yield bucket


async def test_a_completed_job_gets_one_page_with_all_its_pictures(room: Room) -> None:
    envelope = await room.completed()
    job_id = job_of(envelope)

    await room.reports().hear(envelope)

    page = await room.page(job_id)
    job = await room.job(job_id)
    info = await room.bucket.head(keys.report(job_id))
    [file] = await room.report_files(job_id)
    [said] = await room.stated(job_id)
    told = read(events.ReportPublished, said.envelope)
    assert page.count("data:image/jpeg;base64,") == 4
    places = [page.index(f"prediction{n}{job_id.hex}") for n in (1, 2, 3)]
    assert places == sorted(places)
    assert all(str(1000 + n) in page for n in (1, 2, 3))
    assert (job.state, job.report, job.report_key) == ("completed", "published", info and info.key)
    assert info is not None
    assert info.content_type == "text/html; charset=utf-8"
    assert (file.key, file.bytes, file.sha256) == (info.key, info.bytes, info.sha256)
    assert (told.key, told.media_type, told.external_ref) == (info.key, "text/html", "order-17")
    assert said.causation_id == envelope.id


async def test_the_page_is_in_the_zone_and_language_that_the_job_names(room: Room) -> None:
    envelope = await room.completed(timezone="Asia/Seoul", locale="ko")

    await room.reports().hear(envelope)

    page = await room.page(job_of(envelope))
    assert 'lang="ko"' in page
    assert "2026년 11월 21일 토요일 오후 12:00" in page
    assert "사진 변주" in page


async def test_the_same_job_twice_is_published_once(room: Room) -> None:
    envelope = await room.completed()
    await room.reports().hear(envelope)
    first = await room.page(job_of(envelope))

    await room.reports().hear(envelope)

    assert len(await room.stated(job_of(envelope))) == 1
    assert len(await room.report_files(job_of(envelope))) == 1
    assert await room.page(job_of(envelope)) == first


async def test_the_same_job_in_two_hands_at_once_is_published_once(room: Room) -> None:
    envelope = await room.completed()

    await asyncio.gather(*(room.reports().hear(envelope) for _ in range(3)))

    assert len(await room.stated(job_of(envelope))) == 1
    [file] = await room.report_files(job_of(envelope))
    page = (await room.page(job_of(envelope))).encode()
    assert hashlib.sha256(page).hexdigest() == file.sha256


@pytest.mark.parametrize(("gone", "left"), [("original", 3), ("2", 3)])
async def test_a_file_that_is_gone_leaves_a_sentence_in_its_place(
    room: Room, gone: str, left: int
) -> None:
    envelope = await room.completed(without=[gone])

    await room.reports().hear(envelope)

    page = await room.page(job_of(envelope))
    assert page.count("data:image/jpeg;base64,") == left
    assert "cannot be shown here" in page
    assert (await room.job(job_of(envelope))).report == "published"


async def test_a_file_that_is_no_picture_leaves_a_sentence_in_its_place(room: Room) -> None:
    envelope = await room.completed(without=["3"])
    key = keys.generated(job_of(envelope), 3, 1, 0, "image/jpeg")
    await room.bucket.put(key, b"<html>not found</html>", content_type="image/jpeg")

    await room.reports().hear(envelope)

    page = await room.page(job_of(envelope))
    assert "This picture cannot be shown here." in page
    assert "not found" not in page


async def test_a_picture_too_large_for_a_page_leaves_a_sentence_in_its_place(room: Room) -> None:
    envelope = await room.completed()

    await replace(room.reports(), file_max_bytes=len(PHOTO) - 1).hear(envelope)

    assert "The original cannot be shown here." in await room.page(job_of(envelope))


async def test_a_bucket_that_is_away_is_waited_for_and_nothing_is_said(
    room: Room, bucket: dict[str, str]
) -> None:
    envelope = await room.completed()
    async with a_bucket_that_is_away(bucket) as away:
        with pytest.raises(Transient):
            await room.reports(bucket=away).hear(envelope)

    assert (await room.job(job_of(envelope))).report == "pending"
    assert await room.stated(job_of(envelope)) == []


async def test_a_page_that_cannot_be_made_by_the_last_attempt_is_said_to_have_failed(
    room: Room, bucket: dict[str, str]
) -> None:
    envelope = replace(await room.completed(), attempts=MAX_ATTEMPTS - 1)

    async with a_bucket_that_is_away(bucket) as away:
        with pytest.raises(Transient):
            await room.reports(bucket=away).hear(envelope)

    job = await room.job(job_of(envelope))
    [said] = await room.stated(job_of(envelope))
    told = read(events.ReportFailed, said.envelope)
    assert (job.state, job.report, job.report_key) == ("completed", "failed", None)
    assert "bucket" in told.reason
    assert told.external_ref == "order-17"


async def test_a_failed_report_is_published_when_its_message_is_replayed(
    room: Room, bucket: dict[str, str]
) -> None:
    envelope = await room.completed()
    async with a_bucket_that_is_away(bucket) as away:
        with pytest.raises(Transient):
            await room.reports(bucket=away).hear(replace(envelope, attempts=MAX_ATTEMPTS - 1))

    await room.reports().hear(envelope)

    said = [entry.type for entry in await room.stated(job_of(envelope))]
    assert said == ["report.failed", "report.published"]
    assert (await room.job(job_of(envelope))).report == "published"


async def test_a_fault_of_ours_fails_the_report_without_quoting_itself(room: Room) -> None:
    async def stumble(_data: bytes, _edge: int) -> Picture:
        raise RuntimeError("https://secret.example/?X-Amz-Signature=abc")

    envelope = replace(await room.completed(), attempts=MAX_ATTEMPTS - 1)
    with pytest.raises(RuntimeError):
        await replace(room.reports(), shrink=stumble).hear(envelope)

    [said] = await room.stated(job_of(envelope))
    assert read(events.ReportFailed, said.envelope).reason == (
        "the page could not be made (RuntimeError)"
    )


class AwayForReading(Database):
    """Postgres that goes away while the rows are read, and is back for whatever comes next."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self._database.connection():
            raise DatabaseUnavailable("gone for a moment")
        yield

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._database.transaction() as tx:
            yield tx


async def test_a_database_that_is_away_is_no_verdict_on_the_report(room: Room) -> None:
    envelope = replace(await room.completed(), attempts=MAX_ATTEMPTS - 1)

    with pytest.raises(DatabaseUnavailable):
        await replace(room.reports(), database=AwayForReading(room.database)).hear(envelope)

    assert (await room.job(job_of(envelope))).report == "pending"


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED])
async def test_a_job_that_is_not_completed_gets_no_report(room: Room, state: JobState) -> None:
    envelope = await room.completed(state=state)

    with pytest.raises(Permanent):
        await room.reports().hear(envelope)

    assert (await room.job(job_of(envelope))).report == "pending"
    assert await room.stated(job_of(envelope)) == []


async def test_a_job_that_nobody_knows_is_parked_for_a_look(room: Room) -> None:
    stranger = JobCompleted(job_id=uuid4(), recipe="variations", n=3, stored=3, failed=0)

    with pytest.raises(Permanent, match="not a completed job"):
        await room.reports().hear(events.state(stranger, source="aggregator", now=NOON))

    with pytest.raises(ObjectMissing):
        await room.page(stranger.job_id)


async def test_a_restoration_shows_the_photo_before_and_after(room: Room) -> None:
    job_id = uuid4()
    before, after = a_damaged_photo(5), a_landscape(5, width=320, height=240)
    key = keys.generated(job_id, 1, 1, 0, "image/jpeg")
    envelope = await room.completed_order(
        "restoration",
        [
            (_file(keys.originals(job_id) + "old.jpg", before, kind="original"), before),
            (_file(key, after, kind="generated", ordinal=1, attempt=1), after),
        ],
    )

    await room.reports().hear(envelope)

    page = await room.page(job_id)
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.index(">Before<") < page.index(">After<")
    assert "4711" in page


BRIEF = {
    "prompt": "islands <em>and</em> a path",
    "surface": {"width": 20, "height": 13},
    "colours": list(COLOURS),
}


def the_files_of_concepts(job_id: UUID, *scores: float) -> list[tuple[Artifact, bytes | None]]:
    stencil = prepare({"width": 20, "height": 13, "colours": COLOURS, "seed": 1}).data
    key = keys.prepared(job_id, 1, "stencil", "image/png")
    files: list[tuple[Artifact, bytes | None]] = [
        (_png(key, stencil, kind="prepared", ordinal=1, variant="stencil"), stencil)
    ]
    for index, score in enumerate(scores):
        drawn = a_concept(index, COLOURS, width=320, height=208)
        quantised = finish(drawn, {"colours": COLOURS}).data
        place = {"ordinal": 1, "attempt": 1, "index": index, "score": score}
        key = keys.generated(job_id, 1, 1, index, "image/png")
        files.append((_png(key, drawn, kind="generated", **place), drawn))
        key = keys.derived(job_id, 1, 1, index, variant="quantised", content_type="image/png")
        derived = _png(key, quantised, kind="derived", variant="quantised", **place)
        files.append((derived, quantised))
    return files


def _png(key: str, data: bytes, *, kind: str, **known: Any) -> Artifact:
    return _file(key, data, kind=kind, content_type="image/png", **known)


async def test_concepts_are_shown_best_first_beside_what_the_model_drew(room: Room) -> None:
    job_id = uuid4()
    envelope = await room.completed_order(
        "studio-concepts",
        the_files_of_concepts(job_id, 0.41, 0.9),
        params=BRIEF,
        skipped=[Skipped(index=2, why="cut off"), Skipped(index=3, why="held back as NSFW")],
    )

    await room.reports().hear(envelope)

    page = await room.page(job_id)
    assert page.count("data:image/webp;base64,") == 2  # in exactly the granule colours
    assert page.count("data:image/jpeg;base64,") == 3  # the stencil, and as the model drew them
    assert page.index("90 of 100") < page.index("41 of 100")
    assert "islands &lt;em&gt;and&lt;/em&gt; a path" in page
    assert "20 × 13 m" in page
    assert all(f'fill="{colour}"' in page for colour in COLOURS)
    assert "Number 3 could not be made" in page
    assert "Number 4: It was held back" in page
    assert len(page) < 2_000_000


async def test_a_concept_that_is_gone_leaves_the_others_and_a_sentence(room: Room) -> None:
    job_id = uuid4()
    files = the_files_of_concepts(job_id, 0.9, 0.5)
    files[2] = (files[2][0], None)

    await room.reports().hear(await room.completed_order("studio-concepts", files, params=BRIEF))

    page = await room.page(job_id)
    assert page.count("This picture cannot be shown here.") == 1
    assert page.count("data:image/webp;base64,") == 1


def the_files_of_a_sound(
    job_id: UUID, *, gone: bool = False
) -> list[tuple[Artifact, bytes | None]]:
    made, trimmed = a_tone(1, 3), a_tone(1, 2.5)
    key = keys.generated(job_id, 1, 1, 0, "audio/wav")
    cut = keys.derived(job_id, 1, 1, 0, variant="trimmed", content_type="audio/wav")
    place: dict[str, Any] = {"ordinal": 1, "attempt": 1, "content_type": "audio/wav"}
    return [
        (_file(key, made, kind="generated", seconds=3.0, **place), made),
        (
            _file(cut, trimmed, kind="derived", variant="trimmed", seconds=2.5, **place),
            None if gone else trimmed,
        ),
    ]


SOUND = {"prompt": "steps on gravel", "seconds": 2.5}


async def test_a_sound_effect_is_played_as_it_was_trimmed(room: Room) -> None:
    job_id = uuid4()
    envelope = await room.completed_order(
        "sound-effect", the_files_of_a_sound(job_id), params=SOUND
    )

    await room.reports().hear(envelope)

    page = await room.page(job_id)
    assert page.count("<audio controls") == 1
    [copy] = re.findall('data:audio/mpeg;base64,([^"]+)', page)
    heard = probe(io.BytesIO(base64.b64decode(copy)))
    assert heard.seconds == pytest.approx(2.5, abs=0.1)
    assert "media-src data:" in page
    assert 'class="waveform"' in page
    assert "3 s are made, freed of silence at both ends and cut to 2.5 s" in page
    assert "steps on gravel" in page


async def test_music_is_played_in_a_korean_page_as_it_came(room: Room) -> None:
    job_id, music = uuid4(), a_tone(2, 3)
    file = _file(
        keys.generated(job_id, 1, 1, 0, "audio/wav"),
        music,
        kind="generated",
        content_type="audio/wav",
        ordinal=1,
        attempt=1,
        seconds=3.0,
    )
    envelope = await room.completed_order(
        "background-music", [(file, music)], params={"prompt": "calm"}, locale="ko"
    )

    await room.reports().hear(envelope)

    page = await room.page(job_id)
    assert page.count("<audio controls") == 1
    assert "배경 음악" in page
    assert "분당 150단어 기준 5초입니다" in page


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "no sound"])
async def test_a_sound_that_cannot_be_had_leaves_a_sentence_in_its_place(
    room: Room, gone: bool
) -> None:
    async def refuse(_data: bytes) -> Sound:
        raise Permanent("it is no sound")

    job_id = uuid4()
    files = the_files_of_a_sound(job_id, gone=gone)
    envelope = await room.completed_order("sound-effect", files, params=SOUND)

    await replace(room.reports(), listen=refuse).hear(envelope)

    page = await room.page(job_id)
    assert "This sound cannot be played here. The file itself is stored." in page
    assert "media-src" not in page
    assert (await room.job(job_id)).report == "published"


async def test_a_sound_that_did_not_work_out_is_tried_again_and_in_the_end_done_without(
    room: Room,
) -> None:
    async def hang(_data: bytes) -> Sound:
        raise Transient("it took too long")

    job_id = uuid4()
    envelope = await room.completed_order(
        "sound-effect", the_files_of_a_sound(job_id), params=SOUND
    )
    reports = replace(room.reports(), listen=hang)

    with pytest.raises(Transient):
        await reports.hear(envelope)
    assert (await room.job(job_id)).report == "pending"
    await reports.hear(replace(envelope, attempts=MAX_ATTEMPTS - 1))

    assert "This sound cannot be played here." in await room.page(job_id)
    assert (await room.job(job_id)).report == "published"


async def test_the_service_publishes_a_report_for_each_job_that_the_broker_tells_of(
    room: Room,
    service_environment: dict[str, str],
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in service_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIMEZONE", "Asia/Seoul")
    monkeypatch.setenv("LOCALE", "ko")
    sound = await room.completed_order(
        "sound-effect", the_files_of_a_sound(uuid4()), params=SOUND, locale="ko"
    )
    heard = [await room.completed(), await room.completed(), sound]
    listener = await aio_pika.connect(amqp_url)

    stop = asyncio.Event()
    async with listener, Connections(Health("report")) as connections:
        channel = await listener.channel()
        theirs = await channel.declare_queue("theirs", durable=True)
        await theirs.bind("darkroom", "report.published")
        running = [
            asyncio.ensure_future(worker(stop))
            for worker in await workers(read_settings(Settings), connections)
        ]
        async with open_publisher(amqp_url, name="test") as publisher:
            for envelope in [*heard, *heard]:
                await publisher.publish(envelope)

        async def told() -> list[str]:
            message = await theirs.get(fail=False)
            if message is not None:
                await message.ack()
                seen.append(re.findall(r"jobs/([0-9a-f-]{36})/", message.body.decode())[0])
            return seen

        seen: list[str] = []
        await eventually("three reports are told", told, holds=lambda s: len(s) >= 3)
        stop.set()
        await asyncio.gather(*running)
        left = await theirs.get(fail=False)

    assert left is None
    assert sorted(seen) == sorted(str(job_of(envelope)) for envelope in heard)
    assert 'lang="ko"' in await room.page(job_of(heard[0]))
    assert "Asia/Seoul (UTC+9)" in await room.page(job_of(heard[0]))
    assert "data:audio/mpeg;base64," in await room.page(job_of(sound))
    assert REGISTRY.get_sample_value("darkroom_reports_total", {"outcome": "published"})
