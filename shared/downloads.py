"""Fetching files from addresses that others name: guarded, bounded, never believed.

A name is checked before it is looked up, an address where the socket is made: a check of names
alone is passed by literals and by names that change their address between two lookups.
"""

import asyncio
import binascii
import hashlib
import ipaddress
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, NoReturn, cast
from urllib.parse import unquote_to_bytes

import aiohttp
from aiohttp.abc import AbstractCookieJar, AbstractResolver
from prometheus_client import Counter
from yarl import URL

from shared import tracing
from shared.clock import Clock, utc_now
from shared.errors import Permanent, Transient
from shared.media.sniff import ENOUGH, sniff
from shared.settings import DownloadSettings, SourceSettings

DOWNLOADS = Counter(
    "darkroom_downloads_total", "Files fetched from addresses of others.", ["outcome"]
)
DOWNLOADED_BYTES = Counter("darkroom_downloaded_bytes_total", "Bytes of files that were fetched.")

CONNECT_WITHIN_S = 5.0
SILENCE_S = 10.0
IN_MEMORY = 1024 * 1024  # more of one file lies on disk
CHUNK = 64 * 1024
LONGEST_URL = 8192
LONGEST_WAIT = timedelta(minutes=10)

# `is_global` calls these global (some only in older Pythons), and each leads somewhere else.
_DENIED = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carriers' own
        "169.254.0.0/16",  # where clouds keep their credentials
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo and its like: an IPv4 address inside
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
# Outside it: mapped, translated (64:ff9b::), local, site-local (fec0::), multicast, undefined.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

_PLAIN_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


class Forbidden(Permanent):
    """An address that we do not fetch from, or an answer that leads to another one."""


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

    def __init__(
        self,
        public: aiohttp.ClientSession,
        near: aiohttp.ClientSession,
        *,
        hosts: tuple[str, ...],
        allowed_origin: str | None,
        max_bytes: int,
        setting: str,
        now: Clock = utc_now,
    ) -> None:
        self._public = public
        self._near = near
        self._hosts = hosts
        self._setting = setting
        self._origin = URL(allowed_origin).origin() if allowed_origin else None
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
        address = checked(url, self._hosts, self._origin, setting=self._setting)
        host = address.raw_host
        session = self._near if address.origin() == self._origin else self._public
        with _named(str(host)):
            async with session.get(address, allow_redirects=False) as answer:
                _check_status(answer, str(host), self._now)
                return await self._read(answer, str(host), file)

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


def checked(
    url: str,
    hosts: tuple[str, ...],
    origin: URL | None = None,
    *,
    setting: str = "DOWNLOAD_HOSTS",
) -> URL:
    """``url`` as it will be asked for, if it may be; the same reading of it is used for both.

    https on port 443 of one of ``hosts`` or below it, or anything at exactly ``origin``. No user
    info, no literal address, nothing that readers of addresses disagree about. ``setting`` is the
    variable that names the hosts. Raises Forbidden.
    """
    if len(url) > LONGEST_URL:
        raise Forbidden("the address is too long")
    if not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
        raise Forbidden("the address has characters that none has")
    try:
        # As it stands: quoting it anew would break a signature in it.
        address = URL(url, encoded=True)
        host, port = (address.raw_host or "").lower(), address.explicit_port
    except ValueError as error:
        raise Forbidden("the address cannot be read") from error
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if not host or "@" in authority or "%" in authority:
        raise Forbidden("the address has user info, or no plain host")
    if origin is not None and address.scheme and address.origin() == origin:
        return address
    if address.scheme != "https" or port not in (None, 443):
        raise Forbidden("only https on its own port is fetched")
    if not _PLAIN_NAME.fullmatch(host) or not any(
        host == allowed or host.endswith(f".{allowed}") for allowed in hosts
    ):
        named = f"is not among {setting}" if hosts else f"is not allowed: {setting} names no host"
        raise Forbidden(f"{host[:100]} {named}")
    return address


def is_public(address: str) -> bool:
    """Whether ``address`` (an IP literal) is one of the open internet, and of nothing else."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # also one with a zone, such as fe80::1%eth0
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    if any(ip.version == net.version and ip in net for net in _DENIED):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def open_downloads(
    settings: DownloadSettings, *, resolver: AbstractResolver | None = None
) -> AbstractAsyncContextManager[Downloads]:
    """For what models made. ``resolver`` looks names up (None: as this machine does); nobody
    believes it."""
    return _opened(
        resolver,
        hosts=settings.download_hosts,
        allowed_origin=settings.download_allowed_origin,
        max_bytes=settings.download_max_bytes,
        within_s=settings.download_within_seconds,
        setting="DOWNLOAD_HOSTS",
    )


def open_sources(
    settings: SourceSettings, *, resolver: AbstractResolver | None = None
) -> AbstractAsyncContextManager[Downloads]:
    """For originals that orders name by their address."""
    return _opened(
        resolver,
        hosts=settings.source_hosts,
        allowed_origin=settings.source_allowed_origin,
        max_bytes=settings.source_max_bytes,
        within_s=settings.source_within_seconds,
        setting="SOURCE_HOSTS",
    )


@asynccontextmanager
async def _opened(
    resolver: AbstractResolver | None, *, within_s: float, **allowed: Any
) -> AsyncIterator[Downloads]:
    """Two ways out: one to public addresses only, one to the single origin that a setting opens."""

    def session(make_socket: Callable[[Any], socket.socket]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=resolver, socket_factory=make_socket),
            timeout=aiohttp.ClientTimeout(
                total=within_s,
                connect=CONNECT_WITHIN_S,
                sock_connect=CONNECT_WITHIN_S,
                sock_read=SILENCE_S,
            ),
            headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "darkroom"},
            trust_env=False,  # a proxy would make the connection in our place, unchecked
            auto_decompress=False,
            cookie_jar=cast(AbstractCookieJar, aiohttp.DummyCookieJar()),
        )

    async with session(_public_socket) as public, session(_any_socket) as near:
        yield Downloads(public, near, **allowed)


class _ForbiddenAddress(RuntimeError):
    """One of the two kinds that the connecting library passes on; the other one, OSError, would
    look like an address that happens to be down."""


def _public_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, (address, *_) = info
    if not is_public(address):
        raise _ForbiddenAddress
    return socket.socket(family, kind, protocol)


def _any_socket(info: Any) -> socket.socket:
    family, kind, protocol, *_ = info
    return socket.socket(family, kind, protocol)


@contextmanager
def _named(host: str) -> Iterator[None]:
    """Turn what the client raises into errors that say what is known, and not the address."""
    try:
        yield
    except _ForbiddenAddress:
        raise Forbidden(f"{host} has an address that is not of the open internet") from None
    except TimeoutError:
        raise Transient(f"{host} took too long") from None
    except aiohttp.ClientPayloadError:
        raise Transient(f"{host} cut the file off") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Transient(f"{host} could not be asked: {type(error).__name__}") from None


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
    asked = answer.headers.get("Retry-After", "").strip()
    wait: timedelta | None = None
    if asked.isdecimal() and len(asked) < 9:
        wait = timedelta(seconds=int(asked))
    elif asked:
        try:
            until = parsedate_to_datetime(asked)
            wait = until - now() if until.tzinfo else None
        except ValueError:
            wait = None
    if wait is not None:
        wait = min(max(wait, timedelta(0)), LONGEST_WAIT)
    raise Transient(f"{host} answers {answer.status}", retry_after=wait)
