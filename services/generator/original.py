"""The original of an order: that it is there and is what the recipe takes, and its measures."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from typing import BinaryIO
from uuid import UUID

from shared.domain import identity, keys
from shared.downloads import Downloaded, Downloads
from shared.errors import Permanent, Transient
from shared.events import Artifact
from shared.media.images import measure
from shared.media.sniff import ENOUGH, sniff
from shared.objects import Bucket

# Longer than that no order waits for others' hosts to be done with: it comes again instead.
TURN_WITHIN_S = 0.25


class Originals:
    """Looks at originals, and fetches those that lie elsewhere; never believes a name or a stated
    content type."""

    def __init__(
        self, bucket: Bucket, sources: Downloads, *, max_bytes: int, copies_at_once: int
    ) -> None:
        self._bucket = bucket
        self._sources = sources
        self._max_bytes = max_bytes
        self._copying = asyncio.Semaphore(copies_at_once)
        # A decoded photo is up to a hundred times its file: one at a time bounds the memory.
        self._decoding = asyncio.Semaphore(1)

    async def inspect(self, job_id: UUID, key: str, accepted: AbstractSet[str]) -> Artifact:
        """The artifact that lies in the bucket already. Raises Permanent with what is wrong with
        it, and Transient where the bucket does not answer."""
        info = await self._bucket.head(key)
        if info is None:
            raise Permanent(f"there is no original at {key}")
        if info.bytes == 0:
            raise Permanent("the original is empty")
        if info.bytes > self._max_bytes:
            raise Permanent(f"the original has {info.bytes} bytes; {self._max_bytes} are taken")
        data = await self._bucket.get_bytes(key, limit=self._max_bytes)
        content_type = _accepted(sniff(data[:ENOUGH]), accepted)
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        width, height = await self._measured(io.BytesIO(data), content_type)
        return Artifact(
            id=identity.original_id(job_id, key),
            kind="original",
            key=key,
            content_type=content_type,
            bytes=len(data),
            sha256=sha256,
            width=width,
            height=height,
        )

    async def copy(
        self, job_id: UUID, url: str, accepted: AbstractSet[str], *, last_try: bool
    ) -> Artifact:
        """Fetch the original at ``url``, look at it, and put it into the bucket.

        The same bytes get the same key. Raises Permanent with what is wrong with the address or
        the file, also for trouble that may pass if this is the ``last_try``; before that,
        Transient. No sentence repeats the address: it may be a credential.
        """
        async with self._turn(patient=last_try), AsyncExitStack() as until:
            fetched = await self._fetch(until, url, last_try=last_try)
            content_type = _accepted(fetched.content_type, accepted)
            width, height = await self._measured(fetched.file, content_type)
            key = keys.copied(job_id, fetched.sha256, content_type)
            await self._bucket.put(
                key,
                fetched.file,
                content_type=content_type,
                if_absent=True,
                sha256=fetched.sha256,
            )
            return Artifact(
                id=identity.original_id(job_id, key),
                kind="original",
                key=key,
                content_type=content_type,
                bytes=fetched.bytes,
                sha256=fetched.sha256,
                width=width,
                height=height,
            )

    async def _fetch(self, until: AsyncExitStack, url: str, *, last_try: bool) -> Downloaded:
        try:
            return await until.enter_async_context(self._sources.fetch(url))
        except Permanent as error:
            raise Permanent(f"the original cannot be fetched: {error}") from error
        except Transient as error:
            sentence = f"the original could not be fetched: {error}"
            if last_try:
                raise Permanent(sentence) from error
            raise Transient(sentence, retry_after=error.retry_after) from error

    @asynccontextmanager
    async def _turn(self, *, patient: bool) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(None if patient else TURN_WITHIN_S):
                await self._copying.acquire()
        except TimeoutError:
            raise Transient("other originals are being fetched") from None
        try:
            yield
        finally:
            self._copying.release()

    async def _measured(self, file: BinaryIO, content_type: str) -> tuple[int | None, int | None]:
        """Width and height of a picture, which is decoded as a whole."""
        if not content_type.startswith("image/"):
            return None, None
        async with self._decoding:
            picture = await asyncio.to_thread(measure, file)
        return picture.width, picture.height


def _accepted(content_type: str | None, accepted: AbstractSet[str]) -> str:
    if content_type is None or content_type not in accepted:
        raise Permanent(
            f"the original is {content_type or 'no file that we know'}, whatever its name; "
            f"taken are {', '.join(sorted(accepted))}"
        )
    return content_type
