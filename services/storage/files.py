"""One output on its way: fetched, looked at, put into our bucket. The same whenever repeated."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO, Protocol

from services.storage.finish import Finishing
from services.storage.laps import Lap, Laps
from services.storage.outputs import Output
from shared.domain import identity, keys
from shared.downloads import Downloaded, Downloads
from shared.errors import Permanent
from shared.events import Artifact
from shared.media.images import measure
from shared.objects import Bucket
from shared.threads import in_thread

KINDS = {"image": "a picture", "audio": "a sound", "video": "a film"}


class WrongKind(Permanent):
    """A file of another kind than the model was asked for, or none that we keep."""


class Sound(Protocol):
    """What is asked of a sound that was looked at."""

    @property
    def seconds(self) -> float: ...


# Decodes the whole of a sound. Blocking. Raises Permanent for what is none, or is cut off.
Listen = Callable[[BinaryIO], Sound]


class Files:
    """Copies outputs, so many at once and no more, whoever asks."""

    def __init__(
        self,
        downloads: Downloads,
        bucket: Bucket,
        finishing: Finishing,
        *,
        listen: Listen,
        at_once: int,
        decodes_at_once: int,
    ) -> None:
        self._downloads = downloads
        self._bucket = bucket
        self._finishing = finishing
        self._listen = listen
        self._under_way = asyncio.Semaphore(at_once)
        self._decoding = asyncio.Semaphore(decodes_at_once)

    async def copy(self, output: Output, laps: Laps) -> tuple[Artifact, ...]:
        """What the output has become: its own bytes and what is derived from them, in our bucket.
        ``laps`` gets the times.

        The output is never overwritten: what an earlier try put is left, if it is the same. Raises
        Gone, Permanent (Forbidden, TooLarge, Unfetchable, WrongKind, UnusableImage, UnusableAudio,
        ObjectDiffers) or Transient.
        """
        # Its place is kept while it is finished: what was fetched lies on the disk until then.
        async with self._under_way, _fetched(self._downloads, output.url, laps) as fetched:
            content_type = _kind_checked(fetched, output.makes)
            width, height, seconds = await self._look_at(content_type, fetched.file)
            # Before anything is put: of what cannot be finished nothing lies in the bucket.
            derived = await self._finishing.derive(output, fetched.file)
            laps.reached(Lap.FINISHED)
            key = keys.generated(
                output.job_id, output.ordinal, output.attempt, output.index, content_type
            )
            await self._bucket.put(
                key,
                fetched.file,
                content_type=content_type,
                if_absent=True,
                sha256=fetched.sha256,
                disposition="attachment",
            )
            generated = Artifact(
                id=identity.artifact_id(key),
                kind="generated",
                key=key,
                content_type=content_type,
                bytes=fetched.bytes,
                sha256=fetched.sha256,
                ordinal=output.ordinal,
                attempt=output.attempt,
                index=output.index,
                width=width,
                height=height,
                seconds=seconds,
                seed=output.seed,
                prediction_id=output.prediction_id,
            )
            kept = await self._finishing.keep(output, generated, derived)
            laps.reached(Lap.PUT)
            return kept

    async def _look_at(
        self, content_type: str, file: BinaryIO
    ) -> tuple[int | None, int | None, float | None]:
        """Width and height of a picture, seconds of a sound; the whole of either is decoded."""
        if content_type.startswith("image/"):
            async with self._decoding:
                picture = await in_thread(measure, file, alone=True)
            return picture.width, picture.height, None
        if content_type.startswith("audio/"):
            async with self._decoding:
                sound = await in_thread(self._listen, file)
            return None, None, sound.seconds
        return None, None, None


@asynccontextmanager
async def _fetched(downloads: Downloads, url: str, laps: Laps) -> AsyncIterator[Downloaded]:
    laps.reached(Lap.BEGUN)
    async with downloads.fetch(url) as fetched:
        laps.reached(Lap.FETCHED)
        yield fetched


def _kind_checked(fetched: Downloaded, makes: str | None) -> str:
    """The content type by the bytes, if it is of the kind that was asked for."""
    content_type = fetched.content_type
    if content_type is None:
        raise WrongKind("it is no file that we know")
    if makes is not None and content_type.partition("/")[0] != makes:
        raise WrongKind(f"it is {content_type}, not {KINDS.get(makes, makes)}")
    return content_type
