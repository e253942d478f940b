"""Storage on real parts, and the words in which its tests speak of it."""

import io
import os
import signal
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import uvloop
from PIL import Image

from services.storage.files import Files
from services.storage.finish import Finishing, Step
from services.storage.handlers import StoreOutputs
from shared import recipes
from shared.db import artifacts, journal
from shared.db.connection import Database, open_database
from shared.db.record import FILES_LIVE, AgainRule
from shared.domain.identity import slot_closed_id, verdict_id
from shared.downloads import Downloads, open_downloads
from shared.envelope import Envelope
from shared.events import Artifact, ArtifactsStored, SlotFailed, read
from shared.media import audio
from shared.media.made import Made
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings, DownloadSettings
from tests.support.purchases import NOON, PREDICTION, never, news

ATTEMPTS = 5


def a_picture(kind: str = "PNG", size: tuple[int, int] = (32, 24)) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(file, kind)
    return file.getvalue()


def a_sound(seconds: float = 0.5) -> bytes:
    """A sound of that length (wav, mono, 8 kHz)."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(os.urandom(2 * int(8000 * seconds)))
    return file.getvalue()


def succeeded(output: Any, *, prediction_id: str = PREDICTION, **more: Any) -> Envelope:
    return news(
        prediction_id,
        "succeeded",
        event_id=verdict_id(prediction_id, "succeeded"),
        output=output,
        **more,
    )


def a_copy(data: bytes, options: Mapping[str, Any]) -> Made:
    """A step that changes nothing, and judges by what it was told."""
    return Made(data=data, content_type="image/png", score=options.get("score"))


class Storage:
    """The handler on real parts, and the eyes of a test on them."""

    def __init__(self, database: Database, bucket: Bucket, downloads: Downloads) -> None:
        self.database = database
        self.bucket = bucket
        self.downloads = downloads
        self.steps: dict[str, Step] = {}
        self.files = self.new_files()

    def new_files(self, *, finishes_at_once: int = 2) -> Files:
        """As a process of its own has them."""
        return Files(
            self.downloads,
            self.bucket,
            Finishing(self.bucket, self.steps, at_once=finishes_at_once),
            listen=audio.probe,
            at_once=8,
            decodes_at_once=2,
        )

    def handler(
        self,
        *,
        again: AgainRule = never,
        now: datetime = NOON,
        look_every: timedelta = timedelta(seconds=1),
        files_live: timedelta = FILES_LIVE,
    ) -> StoreOutputs:
        return StoreOutputs(
            database=self.database,
            files=self.files,
            recipes={recipe.name: recipe for recipe in recipes.RECIPES},
            again=again,
            now=lambda: now,
            attempts=ATTEMPTS,
            most_files=6,
            files_live=files_live,
            look_every=look_every,
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


@asynccontextmanager
async def a_storage(
    database: Database, bucket: Mapping[str, str], origin: str
) -> AsyncIterator[Storage]:
    """Storage that may fetch from ``origin`` beside the provider."""
    where = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    allowed = DownloadSettings(download_allowed_origin=origin, download_max_bytes=30_000_000)
    async with open_bucket(where) as opened, open_downloads(allowed) as downloads:
        yield Storage(database, opened, downloads)


def die_while_finishing(
    database_url: str, bucket: Mapping[str, str], origin: str, heard: Envelope, after: int
) -> None:
    """Hear the event in this process, which a step kills when it is called once more than
    ``after`` times."""
    called = 0

    def mortal(data: bytes, options: Mapping[str, Any]) -> Made:
        nonlocal called
        called += 1
        if called > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return a_copy(data, options)

    async def hear() -> None:
        async with (
            open_database(database_url, name="mortal") as database,
            a_storage(database, bucket, origin) as storage,
        ):
            storage.steps["copy"] = mortal
            storage.files = storage.new_files(finishes_at_once=1)
            await storage.hear(heard)

    uvloop.run(hear())
