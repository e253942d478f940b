"""One output on its way: fetched, looked at, finished, put into our bucket. The same whenever
repeated."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from services.storage.finish import Derived, Finishing, Step
from shared.domain import identity, keys
from shared.downloads import Downloaded, Downloads
from shared.errors import Permanent
from shared.events import Artifact
from shared.media.audio import AudioInfo
from shared.media.images import UnusableImage, measure
from shared.objects import Bucket

# What a step may read into memory. Pictures and sounds of models are far smaller.
FINISH_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a prediction: where it is, whose it is, and what shall become of it."""

    url: str
    index: int
    job_id: UUID
    ordinal: int
    attempt: int
    seed: int | None
    prediction_id: str
    expects: str | None = None
    finish: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a file is by its bytes, which were all decoded; its measures where its kind has them."""

    content_type: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


class Unexpected(Permanent):
    """It is a good file of the wrong kind."""


class Files:
    """Copies outputs, so many at once and no more, whoever asks."""

    def __init__(
        self,
        downloads: Downloads,
        bucket: Bucket,
        finishing: Finishing,
        *,
        probe: Callable[[BinaryIO], AudioInfo],
        at_once: int,
        decodes_at_once: int,
    ) -> None:
        self._downloads = downloads
        self._bucket = bucket
        self._finishing = finishing
        self._probe = probe
        self._under_way = asyncio.Semaphore(at_once)
        self._decoding = asyncio.Semaphore(decodes_at_once)

    async def copy(self, output: Output) -> tuple[Artifact, ...]:
        """What the output has become: its file and those derived from it lie in our bucket.

        Never overwrites an output: what an earlier try put is left, if it is the same; what we
        render ourselves may be rendered again. Raises Gone, Permanent (Forbidden, TooLarge,
        Unfetchable, Unexpected, UnusableImage, UnusableAudio, ObjectDiffers) or Transient.
        """
        async with self._under_way, self._downloads.fetch(output.url) as fetched:
            look = await self._look_at(fetched)
            if output.expects and look.content_type.partition("/")[0] != output.expects:
                raise Unexpected(f"it is {look.content_type}, where {output.expects} was ordered")
            # Before anything is put: an output that cannot be finished leaves nothing behind.
            derived = await self._derive(output, fetched)
            generated = await self._put_generated(output, fetched, look, _score(derived))
            return (generated, *[await self._put_derived(output, one) for one in derived])

    async def _look_at(self, fetched: Downloaded) -> Look:
        kind, _, _ = (fetched.content_type or "").partition("/")
        match fetched.content_type, kind:
            case None, _:
                raise UnusableImage("it is no file that we know")
            case str(content_type), "image":
                async with self._decoding:
                    picture = await asyncio.to_thread(measure, fetched.file, alone=True)
                return Look(content_type=content_type, width=picture.width, height=picture.height)
            case str(content_type), "audio":
                async with self._decoding:
                    sound = await asyncio.to_thread(self._probe, fetched.file)
                return Look(content_type=content_type, seconds=sound.seconds)
            case str(content_type), _:
                return Look(content_type=content_type)
        raise UnusableImage("it is no file that we know")

    async def _derive(self, output: Output, fetched: Downloaded) -> tuple[Derived, ...]:
        if not output.finish:
            return ()
        if fetched.bytes > FINISH_MAX_BYTES:
            raise Permanent(f"it has {fetched.bytes} bytes; {FINISH_MAX_BYTES} can be finished")
        fetched.file.seek(0)
        data = await asyncio.to_thread(fetched.file.read)
        return await self._finishing.derive(data, output.finish)

    async def _put_generated(
        self, output: Output, fetched: Downloaded, look: Look, score: float | None
    ) -> Artifact:
        key = keys.generated(
            output.job_id, output.ordinal, output.attempt, output.index, look.content_type
        )
        await self._bucket.put(
            key,
            fetched.file,
            content_type=look.content_type,
            if_absent=True,
            sha256=fetched.sha256,
            disposition="attachment",
        )
        return Artifact(
            id=identity.artifact_id(key),
            kind="generated",
            key=key,
            content_type=look.content_type,
            bytes=fetched.bytes,
            sha256=fetched.sha256,
            ordinal=output.ordinal,
            attempt=output.attempt,
            index=output.index,
            width=look.width,
            height=look.height,
            seconds=look.seconds,
            score=score,
            seed=output.seed,
            prediction_id=output.prediction_id,
        )

    async def _put_derived(self, output: Output, derived: Derived) -> Artifact:
        made = derived.made
        key = keys.derived(
            output.job_id,
            output.ordinal,
            output.attempt,
            output.index,
            variant=derived.variant,
            content_type=made.content_type,
        )
        sha256 = hashlib.sha256(made.data).hexdigest()
        await self._bucket.put(
            key,
            made.data,
            content_type=made.content_type,
            sha256=sha256,
            disposition="attachment",
        )
        return Artifact(
            id=identity.artifact_id(key),
            kind="derived",
            key=key,
            content_type=made.content_type,
            bytes=len(made.data),
            sha256=sha256,
            ordinal=output.ordinal,
            attempt=output.attempt,
            index=output.index,
            variant=derived.variant,
            width=made.width,
            height=made.height,
            seconds=made.seconds,
            score=made.score,
            seed=output.seed,
            prediction_id=output.prediction_id,
        )


def _score(derived: tuple[Derived, ...]) -> float | None:
    """What the steps think of the output itself."""
    return next((one.made.score for one in derived if one.made.score is not None), None)
