"""An original that somebody sent to a page: looked at as the generator will look at it, and put
where its job finds it."""

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from uuid import UUID

from services.api.received import File
from shared.domain import keys
from shared.media.images import TooLargeImage, TruncatedImage, UnusableImage, measure
from shared.objects import Bucket


class Unfit(Exception):
    """The file is not taken. ``why`` is the name of the reason: ``large``, ``kind``, ``pixels``,
    ``damaged`` or ``unusable``."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(slots=True, kw_only=True)
class Originals:
    """Keeps what was sent. A decoded photo is up to a hundred times its file, so they are decoded
    one at a time."""

    bucket: Bucket
    _decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def keep(self, job_id: UUID, file: File, accepted: AbstractSet[str]) -> str:
        """Put it beside the job, and return its key; the same bytes get the same one. Raises Unfit,
        and Transient where the bucket does not take it."""
        if not file.whole:
            raise Unfit("large")
        if file.content_type is None or file.content_type not in accepted:
            raise Unfit("kind")
        if file.content_type.startswith("image/"):
            try:
                async with self._decoding:
                    await asyncio.to_thread(measure, file.data)
            except TooLargeImage:
                raise Unfit("pixels") from None
            except TruncatedImage:
                raise Unfit("damaged") from None
            except UnusableImage:
                raise Unfit("unusable") from None
        key = keys.copied(job_id, file.sha256, file.content_type)
        await self.bucket.put(
            key, file.data, content_type=file.content_type, if_absent=True, sha256=file.sha256
        )
        return key
