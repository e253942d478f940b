"""A bucket that is ill: a link to the real one that spoils requests by their method and key."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from tests.support.waiting import a_pause


class Ill(StrEnum):
    """What becomes of a request that is spoiled."""

    ERROR_500 = "500"
    ERROR_503 = "503"
    CONFLICT_409 = "409"
    SLOW = "slow"  # held up, then passed on
    CUT = (
        "cut"  # passed on, and the answer is lost: the next try meets what the first one did (412)
    )


@dataclass(slots=True)
class IllBucket:
    """``spoils`` is asked about every PUT of a key with how often it came before; None: it passes."""

    url: str = ""
    spoils: Callable[[str, int], Ill | None] = lambda _key, _before: None
    slow_s: float = 1.0
    spoiled: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)  # of the real bucket, to PUTs
    _seen: Counter[str] = field(default_factory=Counter)
    _host: str = ""
    _port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        try:
            while await self._one(reader, writer, there_reader, there_writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one of the two is gone
        finally:
            for end in (writer, there_writer):
                end.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there_reader: asyncio.StreamReader,
        there_writer: asyncio.StreamWriter,
    ) -> bool:
        """One request and its answer; whether the connection lives on."""
        head = await reader.readuntil(b"\r\n\r\n")
        expects = b"100-continue" in head.lower()
        if expects:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = b"\r\n".join(
                line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:")
            )
        body = await reader.readexactly(_length(head))
        method, path = head.split(b" ", 2)[:2]
        what = self._ill(path.decode()) if method == b"PUT" else None
        if what is not None:
            self.spoiled[what] += 1
        if what in (Ill.ERROR_500, Ill.ERROR_503, Ill.CONFLICT_409):
            writer.write(_answer(what))
            await writer.drain()
            return True
        if what is Ill.SLOW:
            await a_pause(self.slow_s)
        there_writer.write(head + body)
        await there_writer.drain()
        answer = await there_reader.readuntil(b"\r\n\r\n")
        if method == b"PUT":
            self.answers[answer.split(b" ", 2)[1].decode()] += 1
        if what is Ill.CUT:
            return False
        writer.write(answer)
        if method != b"HEAD" and b" 204 " not in answer[:20] and b" 304 " not in answer[:20]:
            writer.write(await _rest(answer, there_reader))
        await writer.drain()
        return True

    def _ill(self, path: str) -> Ill | None:
        key = path.partition("?")[0]
        before = self._seen[key]
        self._seen[key] += 1
        return self.spoils(key, before)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


async def _rest(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if b"transfer-encoding: chunked" not in head.lower():
        return await reader.readexactly(_length(head))
    parts = []
    while True:
        size = await reader.readline()
        parts += [size, await reader.readexactly(int(size.strip(), 16) + 2)]
        if int(size.strip(), 16) == 0:
            return b"".join(parts)


def _answer(what: Ill) -> bytes:
    code, status = {
        Ill.ERROR_500: ("InternalError", "500 Internal Server Error"),
        Ill.ERROR_503: ("SlowDown", "503 Slow Down"),
        Ill.CONFLICT_409: ("ConditionalRequestConflict", "409 Conflict"),
    }[what]
    body = f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@asynccontextmanager
async def an_ill_bucket(s3_url: str) -> AsyncIterator[IllBucket]:
    """In front of the bucket at ``s3_url``; well until ``spoils`` is set."""
    there = urlsplit(s3_url)
    ill = IllBucket(_host=there.hostname or "", _port=there.port or 80)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(ill.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    ill.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield ill
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
