"""Fetching files over real HTTP, from hosts that lie."""

import asyncio
import base64
import gzip
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult

from shared import guard
from shared.downloads import (
    Downloads,
    Gone,
    TooLarge,
    Unfetchable,
    open_downloads,
)
from shared.errors import Transient
from shared.guard import Forbidden
from shared.settings import DownloadSettings
from tests.support.file_host import FileHost, a_file_host
from tests.support.forbidden import forbidden_urls

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 8
LIMIT = 4 * 1024 * 1024


def opened(host: FileHost | None = None, **more: Any) -> AbstractAsyncContextManager[Downloads]:
    origin = host.origin if host else None
    settings = {"download_allowed_origin": origin, "download_max_bytes": LIMIT} | more
    return open_downloads(DownloadSettings(**settings))


@pytest_asyncio.fixture
async def host() -> AsyncIterator[FileHost]:
    async with a_file_host() as there:
        yield there


@pytest_asyncio.fixture
async def fetcher(host: FileHost) -> AsyncIterator[Downloads]:
    async with opened(host) as ready:
        yield ready


async def fetched(fetcher: Downloads, url: str) -> bytes:
    async with fetcher.fetch(url) as file:
        return file.file.read()


# ---- a good file


async def test_a_file_comes_with_its_size_its_sha256_and_its_real_type(
    fetcher: Downloads, host: FileHost
) -> None:
    url = host.serve("/a.jpg", PNG, "Content-Type: image/jpeg")

    async with fetcher.fetch(url) as got:
        assert got.file.read() == PNG
        assert (got.bytes, got.content_type) == (len(PNG), "image/png")
        assert got.sha256 == hashlib.sha256(PNG).hexdigest()


async def test_a_file_without_a_declared_length_is_taken(
    fetcher: Downloads, host: FileHost
) -> None:
    assert await fetched(fetcher, host.reply("/a", b"HTTP/1.1 200 OK\r\n\r\n", PNG)) == PNG


async def test_a_large_file_lies_on_the_disk_without_a_name_and_is_gone_afterwards(
    fetcher: Downloads, host: FileHost
) -> None:
    url = host.serve("/a", PNG[:32] + bytes(3 * 1024 * 1024))

    async with fetcher.fetch(url) as got:
        status = os.fstat(got.file.fileno())
        assert status.st_size == got.bytes
        assert status.st_nlink == 0  # no death of ours can leave it there

    assert got.file.closed


async def test_twenty_megabytes_never_lie_in_memory(host: FileHost) -> None:
    url = host.drip("/a", 20 * 16, PNG[:16] + bytes(64 * 1024 - 16))
    small = host.serve("/small", PNG)
    async with opened(host, download_max_bytes=64 * 1024 * 1024) as fetcher:
        await fetched(fetcher, small)
        before = psutil.Process().memory_info().rss

        async with fetcher.fetch(url) as got:
            after = psutil.Process().memory_info().rss

    assert got.bytes == 20 * 1024 * 1024
    assert after - before < 8 * 1024 * 1024


async def test_nothing_of_ours_is_told_to_the_host(
    fetcher: Downloads, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_secret")
    url = host.serve("/a", PNG, "Set-Cookie: who=you; Path=/")

    await fetched(fetcher, url)
    await fetched(fetcher, url)

    for request in host.requests:
        sent = request.lower()
        assert "authorization" not in sent
        assert "cookie" not in sent
        assert "r8_secret" not in sent
        assert "accept-encoding: identity" in sent


async def test_a_proxy_of_the_environment_is_not_used(
    fetcher: Downloads, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_file_host() as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.setenv("all_proxy", proxy.origin)

        assert await fetched(fetcher, host.serve("/a", PNG)) == PNG
        assert proxy.connections == 0


# ---- hosts that lie


async def test_a_file_cut_off_is_tried_again(fetcher: Downloads, host: FileHost) -> None:
    url = host.serve("/a", PNG, f"Content-Length: {len(PNG) + 100}")

    with pytest.raises(Transient, match="cut the file off"):
        await fetched(fetcher, url)


async def test_a_chunked_file_cut_off_is_tried_again(fetcher: Downloads, host: FileHost) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    with pytest.raises(Transient):
        await fetched(fetcher, host.reply("/a", head, b"800\r\n" + PNG[:0x800]))


async def test_no_more_is_taken_than_a_host_says_that_there_is(
    fetcher: Downloads, host: FileHost
) -> None:
    url = host.serve("/a", PNG, "Content-Length: 100")

    # The client may also notice, and refuse the answer as a whole.
    with suppress(Transient):
        assert await fetched(fetcher, url) == PNG[:100]


async def test_a_file_that_says_it_is_too_large_is_not_read(
    fetcher: Downloads, host: FileHost
) -> None:
    with pytest.raises(TooLarge):
        await fetched(
            fetcher, host.hang("/a", b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n")
        )


async def test_a_file_without_end_is_left_at_the_limit(fetcher: Downloads, host: FileHost) -> None:
    with pytest.raises(TooLarge):
        await fetched(fetcher, host.drip("/a", 100_000, bytes(64 * 1024)))


async def test_a_compressed_file_is_not_unpacked(fetcher: Downloads, host: FileHost) -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))

    with pytest.raises(Unfetchable, match="gzip"):
        await fetched(fetcher, host.serve("/a", bomb, "Content-Encoding: gzip"))


async def test_an_empty_file_is_no_file(fetcher: Downloads, host: FileHost) -> None:
    with pytest.raises(Unfetchable, match="empty"):
        await fetched(fetcher, host.serve("/a", b""))


async def test_what_is_not_http_is_tried_again(fetcher: Downloads, host: FileHost) -> None:
    with pytest.raises(Transient):
        await fetched(fetcher, host.reply("/a", b"SSH-2.0-OpenSSH_9.2\r\n" * 3))


async def test_a_host_that_falls_silent_is_left(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SILENCE_S", 0.2)
    url = host.hang("/a", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"half")
    async with opened(host) as fetcher:
        with pytest.raises(Transient, match="too long"):
            await fetched(fetcher, url)


async def test_a_host_that_drips_is_left_when_the_time_is_up(host: FileHost) -> None:
    url = host.hang("/a", b"HTTP/1.1 200 OK\r\n")
    async with opened(host, download_within_seconds=0.3) as fetcher:
        with pytest.raises(Transient, match="too long"):
            await fetched(fetcher, url)


async def test_a_host_that_is_down_is_tried_again(host: FileHost, unused_tcp_port: int) -> None:
    nobody = f"http://127.0.0.1:{unused_tcp_port}"
    async with opened(download_allowed_origin=nobody) as fetcher:
        with pytest.raises(Transient):
            await fetched(fetcher, f"{nobody}/a")


# ---- what an answer means


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_a_file_that_is_gone_is_gone(fetcher: Downloads, host: FileHost, status: str) -> None:
    with pytest.raises(Gone):
        await fetched(fetcher, host.serve("/a", b"<p>no</p>", status=status))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
async def test_a_redirect_is_not_followed(fetcher: Downloads, host: FileHost, status: str) -> None:
    async with a_file_host() as canary:
        there = canary.serve("/b", PNG)

        with pytest.raises(Forbidden):
            await fetched(fetcher, host.serve("/a", b"", f"Location: {there}", status=status))

        assert canary.connections == 0


@pytest.mark.parametrize("status", ["403 Forbidden", "408 Slow", "429 Many", "500 Oh", "503 Away"])
async def test_a_bad_day_of_the_host_is_waited_for(
    fetcher: Downloads, host: FileHost, status: str
) -> None:
    with pytest.raises(Transient) as wait:
        await fetched(fetcher, host.serve("/a", b"", "Retry-After: 7", status=status))

    assert wait.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("86400", timedelta(minutes=10)),
        ("-5", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(0)),
        ("Wed, 21 Oct 2199 07:28:00 GMT", timedelta(minutes=10)),
    ],
)
async def test_the_wait_that_a_host_asks_for_is_bounded(
    fetcher: Downloads, host: FileHost, asked: str, waited: timedelta | None
) -> None:
    with pytest.raises(Transient) as wait:
        await fetched(fetcher, host.serve("/a", b"", f"Retry-After: {asked}", status="429 Many"))

    assert wait.value.retry_after == waited


@pytest.mark.parametrize("status", ["204 Nothing", "206 Part", "400 Bad", "405 No", "451 Law"])
async def test_any_other_answer_is_no_file(fetcher: Downloads, host: FileHost, status: str) -> None:
    with pytest.raises(Unfetchable):
        await fetched(fetcher, host.serve("/a", b"", status=status))


# ---- nothing forbidden is ever connected to


class Misled(AbstractResolver):
    """Every name resolves to ``addresses``, on the port of a canary."""

    def __init__(self, port: int, *addresses: str) -> None:
        self._port = port
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self._port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        return


@pytest_asyncio.fixture
async def canary() -> AsyncIterator[FileHost]:
    """Listens on both loopbacks, on one port."""
    host = FileHost()
    first = await asyncio.start_server(host.answer, "127.0.0.1", 0)
    host.port = first.sockets[0].getsockname()[1]
    servers = [first]
    if socket.has_dualstack_ipv6():
        servers.append(await asyncio.start_server(host.answer, "::1", host.port))
    yield host
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_none_of_the_forbidden_addresses_is_ever_connected_to(canary: FileHost) -> None:
    misled = Misled(canary.port, "127.0.0.1")
    urls = forbidden_urls(canary.port)
    async with open_downloads(DownloadSettings(), resolver=misled) as fetcher:
        for url in urls:
            with pytest.raises(Forbidden):
                await fetched(fetcher, url)

    assert len(urls) >= 200
    assert canary.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("127.0.0.1", "::1"),
        ("127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1"),
        ("169.254.169.254",),
        ("64:ff9b::7f00:1",),
        ("0.0.0.0",),
    ],
)
async def test_a_trusted_name_with_an_address_inside_is_not_connected_to(
    canary: FileHost, addresses: tuple[str, ...]
) -> None:
    misled = Misled(canary.port, *addresses)
    async with open_downloads(DownloadSettings(), resolver=misled) as fetcher:
        with pytest.raises(Forbidden, match="open internet"):
            await fetched(fetcher, "https://replicate.delivery/a.png")

    assert canary.connections == 0


async def test_the_canary_hears_who_is_not_guarded(canary: FileHost) -> None:
    misled = Misled(canary.port, "127.0.0.1")
    connector = aiohttp.TCPConnector(resolver=misled)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get("http://replicate.delivery/a.png") as answer:
            assert answer.status == 404

    assert canary.connections == 1


async def test_the_default_is_closed_also_for_this_machine(host: FileHost) -> None:
    async with opened() as fetcher:
        with pytest.raises(Forbidden):
            await fetched(fetcher, host.serve("/a", PNG))

    assert host.connections == 0


# ---- files inside their addresses


def as_data(data: bytes, label: str = "image/png;base64") -> str:
    return f"data:{label},{base64.b64encode(data).decode()}"


async def test_a_file_inside_its_address_is_unpacked(fetcher: Downloads) -> None:
    assert await fetched(fetcher, as_data(PNG)) == PNG
    assert await fetched(fetcher, as_data(PNG).replace("data:", "DATA:")) == PNG
    assert await fetched(fetcher, "data:,a%20text") == b"a text"


async def test_its_label_is_not_believed(fetcher: Downloads) -> None:
    async with fetcher.fetch(as_data(b"<svg onload=alert(1)>")) as got:
        assert got.content_type is None


@pytest.mark.parametrize("url", ["data:", "data:image/png;base64", "data:;base64,!!!!", "data:,"])
async def test_an_address_that_holds_no_file_is_none(fetcher: Downloads, url: str) -> None:
    with pytest.raises(Unfetchable):
        await fetched(fetcher, url)


async def test_a_file_inside_its_address_is_no_larger_than_any_other(fetcher: Downloads) -> None:
    with pytest.raises(TooLarge):
        await fetched(fetcher, as_data(bytes(LIMIT + 1)))
