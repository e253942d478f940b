"""HTTP by hand: bytes to a port, and what comes back, whole, until the other side closes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answered:
    """``status`` 0: nothing came. ``headers`` by their lower-case names. ``closed``: the other side
    has ended the line, as far as was looked."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bytes
    closed: bool = False

    @property
    def code(self) -> str:
        """The name of a problem; of anything else, all of it."""
        try:
            return str(self.problem["code"])
        except (ValueError, KeyError, TypeError):
            return self.whole.decode("latin-1")

    @property
    def problem(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@asynccontextmanager
async def a_line(
    url: str,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to where ``url`` listens."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        yield reader, writer
    finally:
        # Whoever does not read would be waited for.
        writer.transport.abort()


async def said(url: str, *pieces: bytes, within: float = 20.0, done: bool = False) -> Answered:
    """What is answered to these bytes, up to the end of the connection or of the first answer.

    ``done`` says that nothing more will be sent.
    """
    async with a_line(url) as (reader, writer), asyncio.timeout(within):
        with suppress(ConnectionError):  # it may be answered before all of it is sent
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        answered = await answer_of(reader)
        if answered.status != 400:
            return answered
        with suppress(ConnectionError):
            return replace(answered, closed=await reader.read() == b"")
        return replace(answered, closed=True)


async def answer_of(reader: asyncio.StreamReader) -> Answered:
    """The next answer on a line."""
    answered = await head_of(reader)
    try:
        body = await reader.readexactly(int(answered.headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        body = getattr(error, "partial", b"")
    return replace(answered, body=body, whole=answered.whole + body)


async def head_of(reader: asyncio.StreamReader) -> Answered:
    """The next answer on a line, as far as its body."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        rest = getattr(error, "partial", b"")
        return Answered(0, {}, b"", rest)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    return Answered(int(first.split()[1]), headers, b"", head)


def asked(
    method: str,
    path: str | bytes,
    *headers: str | bytes,
    body: bytes | None = None,
    close: bool = True,
) -> bytes:
    """A request, with a Host unless one of ``headers`` brings it; nothing is mended."""
    lines: list[bytes] = [
        method.encode() + b" " + (path.encode() if isinstance(path, str) else path) + b" HTTP/1.1"
    ]
    more = [one.encode() if isinstance(one, str) else one for one in headers]
    if not _has(more, b"host"):
        more.insert(0, b"Host: 127.0.0.1")
    if body is not None and not _has(more, b"content-length", b"transfer-encoding"):
        more.append(b"Content-Length: %d" % len(body))
    if close and not _has(more, b"connection"):
        more.append(b"Connection: close")
    return b"\r\n".join([*lines, *more, b"", body or b""])


def _has(lines: Iterable[bytes], *names: bytes) -> bool:
    return any(line.partition(b":")[0].strip().lower() in names for line in lines)
