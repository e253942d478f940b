"""Fetching files from addresses that others name: guarded, bounded, never believed."""

import asyncio
import binascii
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, cast
from urllib.parse import unquote_to_bytes

import aiohttp
from aiohttp.abc import AbstractResolver
from prometheus_client import Counter

from shared import tracing
from shared.clock import Clock, utc_now
from shared.errors import Permanent, Transient
from shared.guard import Forbidden, Outside, Rules, asked_to_wait, open_outside
from shared.media.sniff import ENOUGH, sniff
from shared.settings import DownloadSettings, SourceSettings

DOWNLOADS = Counter(
    "darkroom_downloads_total", "Files fetched from addresses of others.", ["outcome"]
)
DOWNLOADED_BYTES = Counter("darkroom_downloaded_bytes_total", "Bytes of files that were fetched.")

IN_MEMORY = 1024 * 1024  # more of one file lies on disk
CHUNK = 64 * 1024


class Gone(Permanent):
    """There is nothing there any more (404, 410)."""


class TooLarge(Permanent):
    """More bytes than we take."""


class Unfetchable(Permanent):
    """The address answered, and what it said can never become a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A fetched file, at its beginning; gone from the disk when its context closes, or the process
    dies. ``content_type`` is by magic bytes, None for nothing that we keep."""

    file: BinaryIO
    bytes: int
    sha256: str
    content_type: str | None


class Downloads:
    """Fetches files from allowed hosts. Safe for many tasks at once."""

    def __init__(self, outside: Outside, *, max_bytes: int, now: Clock = utc_now) -> None:
        self._outside = outside
        self._max_bytes = max_bytes
        self._now = now

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[Downloaded]:
        """The file at ``url`` (``https:`` on an allowed host, or ``data:``).

        Raises Forbidden, Gone, TooLarge or Unfetchable, and Transient where another try may help.
        Their words name the host at most: the rest of an address may be a credential.
        """
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as spooled:
            file = cast(BinaryIO, spooled)
            with _counted(), tracing.detail("fetch", "client"):
                if url[:5].lower() == "data:":
                    size, digest = await asyncio.to_thread(self._decode, url, file)
                else:
                    size, digest = await self._download(url, file)
            if size == 0:
                raise Unfetchable("the file is empty")
            file.seek(0)
            content_type = sniff(file.read(ENOUGH))
            file.seek(0)
            yield Downloaded(file=file, bytes=size, sha256=digest, content_type=content_type)

    async def _download(self, url: str, file: BinaryIO) -> tuple[int, str]:
        async with self._outside.ask("GET", url) as (answer, host):
            _check_status(answer, host, self._now)
            return await self._read(answer, host, file)

    async def _read(
        self, answer: aiohttp.ClientResponse, host: str, file: BinaryIO
    ) -> tuple[int, str]:
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            raise Unfetchable(f"{host} sent the file as {encoding[:20]!r}, which nobody asked for")
        declared = answer.content_length
        if declared is not None and declared > self._max_bytes:
            raise TooLarge(f"the file has {declared} bytes; {self._max_bytes} are taken")
        seen, digest = 0, hashlib.sha256()
        async for piece in answer.content.iter_chunked(CHUNK):
            seen += len(piece)
            if seen > self._max_bytes:
                raise TooLarge(f"the file has more than {self._max_bytes} bytes")
            digest.update(piece)
            # Into memory or the page cache: it does not wait for a disk.
            file.write(piece)
        if declared is not None and seen != declared:
            raise Transient(f"{host} cut the file off after {seen} of {declared} bytes")
        DOWNLOADED_BYTES.inc(seen)
        return seen, digest.hexdigest()

    def _decode(self, url: str, file: BinaryIO) -> tuple[int, str]:
        """The bytes that a ``data:`` address carries itself."""
        label, comma, payload = url[5:].partition(",")
        if not comma:
            raise Unfetchable("a data address without data")
        if len(payload) > 4 * self._max_bytes:  # the longest spelling: base64 in per cent
            raise TooLarge(f"the file has more than {self._max_bytes} bytes")
        try:
            data = unquote_to_bytes(payload)
            if label.lower().endswith(";base64"):
                data = binascii.a2b_base64(data, strict_mode=True)
        except (binascii.Error, ValueError) as error:
            raise Unfetchable("a data address that cannot be decoded") from error
        if len(data) > self._max_bytes:
            raise TooLarge(f"the file has {len(data)} bytes; {self._max_bytes} are taken")
        file.write(data)
        return len(data), hashlib.sha256(data).hexdigest()


def open_downloads(
    settings: DownloadSettings, *, resolver: AbstractResolver | None = None
) -> AbstractAsyncContextManager[Downloads]:
    """For what models made. ``resolver`` looks names up (None: as this machine does); nobody
    believes it."""
    rules = Rules(
        hosts=settings.download_hosts,
        allowed_origin=settings.download_allowed_origin,
        setting="DOWNLOAD_HOSTS",
        within_s=settings.download_within_seconds,
    )
    return _opened(rules, resolver, max_bytes=settings.download_max_bytes)


def open_sources(
    settings: SourceSettings, *, resolver: AbstractResolver | None = None
) -> AbstractAsyncContextManager[Downloads]:
    """For originals that orders name by their address."""
    rules = Rules(
        hosts=settings.source_hosts,
        allowed_origin=settings.source_allowed_origin,
        setting="SOURCE_HOSTS",
        within_s=settings.source_within_seconds,
    )
    return _opened(rules, resolver, max_bytes=settings.source_max_bytes)


@asynccontextmanager
async def _opened(
    rules: Rules, resolver: AbstractResolver | None, *, max_bytes: int
) -> AsyncIterator[Downloads]:
    async with open_outside(rules, resolver=resolver) as outside:
        yield Downloads(outside, max_bytes=max_bytes)


@contextmanager
def _counted() -> Iterator[None]:
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    except (Permanent, Transient) as error:
        outcome = type(error).__name__
        raise
    finally:
        DOWNLOADS.labels(outcome).inc()


def _check_status(answer: aiohttp.ClientResponse, host: str, now: Clock) -> None:
    status = answer.status
    if status == 200:
        return
    if status in (404, 410):
        raise Gone(f"{host} has the file no more ({status})")
    if 300 <= status < 400:
        raise Forbidden(f"{host} sends us elsewhere ({status}), and we do not go")
    # 401 and 403 come from file hosts on a bad day too; what is really closed expires soon enough.
    if status in (401, 403, 408, 425, 429) or status >= 500:
        _raise_later(answer, host, now)
    raise Unfetchable(f"{host} does not give the file ({status})")


def _raise_later(answer: aiohttp.ClientResponse, host: str, now: Clock) -> NoReturn:
    raise Transient(f"{host} answers {answer.status}", retry_after=asked_to_wait(answer, now))
