"""One output on its way: fetched, looked at, put into our bucket. The same whenever repeated."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from shared.domain import identity, keys
from shared.downloads import Downloaded, Downloads
from shared.events import Artifact
from shared.media.images import ImageInfo, UnusableImage, measure
from shared.objects import Bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a prediction: where it is, and whose it is."""

    url: str
    index: int
    job_id: UUID
    ordinal: int
    attempt: int
    seed: int | None
    prediction_id: str


class Files:
    """Copies outputs, so many at once and no more, whoever asks."""

    def __init__(
        self, downloads: Downloads, bucket: Bucket, *, at_once: int, decodes_at_once: int
    ) -> None:
        self._downloads = downloads
        self._bucket = bucket
        self._under_way = asyncio.Semaphore(at_once)
        self._decoding = asyncio.Semaphore(decodes_at_once)

    async def copy(self, output: Output) -> Artifact:
        """The artifact that the output has become: its bytes lie in our bucket, checked.

        Never overwrites: what an earlier try put is left, if it is the same. Raises Gone, Permanent
        (Forbidden, TooLarge, Unfetchable, UnusableImage, ObjectDiffers) or Transient.
        """
        async with self._under_way, self._downloads.fetch(output.url) as fetched:
            content_type, picture = await self._look_at(fetched)
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
            return Artifact(
                id=identity.artifact_id(key),
                kind="generated",
                key=key,
                content_type=content_type,
                bytes=fetched.bytes,
                sha256=fetched.sha256,
                ordinal=output.ordinal,
                attempt=output.attempt,
                index=output.index,
                width=picture.width if picture else None,
                height=picture.height if picture else None,
                seed=output.seed,
                prediction_id=output.prediction_id,
            )

    async def _look_at(self, fetched: Downloaded) -> tuple[str, ImageInfo | None]:
        """Its type by its bytes, and its measures if it is a picture, which is decoded."""
        if fetched.content_type is None:
            raise UnusableImage("it is no file that we know")
        if not fetched.content_type.startswith("image/"):
            return fetched.content_type, None
        async with self._decoding:
            picture = await asyncio.to_thread(measure, fetched.file, alone=True)
        return fetched.content_type, picture
