"""A form that brings a file: read piece by piece, within a size and a time, never whole in memory."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from services.api.problems import NOT_JSON, TOO_LARGE, TOO_MANY, TOO_SLOW, UNREADABLE, Refused
from shared.media.sniff import ENOUGH, sniff
from shared.orders import LARGEST_ORDER

MOST_FIELDS = 100
IN_MEMORY = 1024 * 1024  # more of one file lies on disk
CHUNK = 64 * 1024
AROUND = 64 * 1024  # boundaries, and the headers of parts


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What was sent as a file, at its beginning; gone from the disk with the form. ``content_type``
    is by magic bytes, None for nothing that we keep. ``whole`` False: it is larger than what is taken,
    and the rest of it was thrown away."""

    data: BinaryIO
    bytes: int
    sha256: str
    content_type: str | None
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """``fields`` by name, each once. ``file``: the one that was sent; None: none was chosen."""

    fields: dict[str, str]
    file: File | None


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Reads forms. ``at_once`` files are taken at the same time; whoever comes with one more is told
    to come again."""

    max_bytes: int
    seconds: float
    at_once: int
    _room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.at_once)

    @asynccontextmanager
    async def form(self, request: web.Request, *, file_name: str) -> AsyncIterator[Form]:
        """The form in ``request``, whose file has the name ``file_name``. Raises Refused."""
        if request.content_type != "multipart/form-data":
            raise Refused(NOT_JSON, "a form with a file is multipart/form-data")
        declared = request.content_length
        if declared is None:
            raise Refused(UNREADABLE, "the form does not say how long it is")
        # A file that is too large is read to its end, so that its sender gets to see what is wrong.
        if declared > 2 * self.max_bytes + LARGEST_ORDER + AROUND:
            raise Refused(TOO_LARGE, f"a file may have {self.max_bytes} bytes at most")
        large = declared > LARGEST_ORDER + AROUND
        if large and self._room.locked():
            raise Refused(TOO_MANY, "as many files are sent as can be taken: come again")
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spooled:
            if large:
                async with self._room:
                    yield await self._read(request, cast(BinaryIO, spooled), file_name)
            else:
                yield await self._read(request, cast(BinaryIO, spooled), file_name)

    async def _read(self, request: web.Request, spooled: BinaryIO, file_name: str) -> Form:
        try:
            async with asyncio.timeout(self.seconds):
                return await self._parts(request, spooled, file_name)
        except TimeoutError:
            raise Refused(TOO_SLOW, f"the form did not come within {self.seconds:g} s") from None
        except (ValueError, RuntimeError, HttpProcessingError, ConnectionError) as error:
            raise Refused(UNREADABLE, "the form cannot be read") from error
        except web.RequestPayloadError as error:
            raise Refused(UNREADABLE, "the form broke off") from error

    async def _parts(self, request: web.Request, spooled: BinaryIO, file_name: str) -> Form:
        fields: dict[str, str] = {}
        file: File | None = None
        room = LARGEST_ORDER
        seen: set[str] = set()
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or (name := part.name) is None:
                raise ValueError("a part that is no field")
            if name in seen or len(seen) == MOST_FIELDS:
                raise ValueError("a field twice, or too many of them")
            seen.add(name)
            if name == file_name:
                file = await self._file(part, spooled)
                continue
            text = bytearray()
            while piece := await part.read_chunk(CHUNK):
                text += piece
                if len(text) > room:
                    raise Refused(TOO_LARGE, f"what is typed may have {LARGEST_ORDER} bytes")
            room -= len(text)
            fields[name] = bytes(text).decode()
            if "\0" in fields[name]:
                raise ValueError("a NUL")
        return Form(fields=fields, file=file)

    async def _file(self, part: BodyPartReader, spooled: BinaryIO) -> File | None:
        size, digest = 0, hashlib.sha256()
        while piece := await part.read_chunk(CHUNK):
            size += len(piece)
            if size > self.max_bytes:
                continue
            digest.update(piece)
            # Into memory or the page cache: it does not wait for a disk.
            spooled.write(piece)
        if not size:
            return None  # a browser sends an empty file where none was chosen
        spooled.seek(0)
        content_type = sniff(spooled.read(ENOUGH))
        spooled.seek(0)
        return File(
            data=spooled,
            bytes=size,
            sha256=digest.hexdigest(),
            content_type=content_type,
            whole=size <= self.max_bytes,
        )
