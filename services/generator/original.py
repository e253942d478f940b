"""The original of an order: that it is there and is what the recipe takes, and its measures."""

import asyncio
import hashlib
import io
from collections.abc import Set as AbstractSet

from shared.domain import identity
from shared.errors import Permanent
from shared.events import Artifact
from shared.media.images import measure
from shared.media.sniff import sniff
from shared.objects import Bucket


class Originals:
    """Looks at originals in the bucket; never believes a name or a stored content type."""

    def __init__(self, bucket: Bucket, *, max_bytes: int) -> None:
        self._bucket = bucket
        self._max_bytes = max_bytes
        # A decoded photo is up to a hundred times its file: one at a time bounds the memory.
        self._decoding = asyncio.Semaphore(1)

    async def inspect(self, key: str, accepted: AbstractSet[str]) -> Artifact:
        """The artifact that the original is. Raises Permanent with what is wrong with it, and
        Transient where the bucket does not answer."""
        info = await self._bucket.head(key)
        if info is None:
            raise Permanent(f"there is no original at {key}")
        if info.bytes == 0:
            raise Permanent("the original is empty")
        if info.bytes > self._max_bytes:
            raise Permanent(f"the original has {info.bytes} bytes; {self._max_bytes} are taken")
        data = await self._bucket.get_bytes(key, limit=self._max_bytes)
        content_type = sniff(data[:4096])
        if content_type is None or content_type not in accepted:
            raise Permanent(
                f"the original is {content_type or 'no file that we know'}, whatever its name; "
                f"taken are {', '.join(sorted(accepted))}"
            )
        async with self._decoding:
            width, height, sha256 = await asyncio.to_thread(_look_inside, data, content_type)
        return Artifact(
            id=identity.artifact_id(key),
            kind="original",
            key=key,
            content_type=content_type,
            bytes=len(data),
            sha256=sha256,
            width=width,
            height=height,
        )


def _look_inside(data: bytes, content_type: str) -> tuple[int | None, int | None, str]:
    """Width and height (of a picture, which is decoded as a whole) and sha256."""
    sha256 = hashlib.sha256(data).hexdigest()
    if not content_type.startswith("image/"):
        return None, None, sha256
    picture = measure(io.BytesIO(data))
    return picture.width, picture.height, sha256
