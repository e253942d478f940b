"""A link to a server that a test can cut at the worst moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Link:
    """Carries bytes both ways until told to lose the server's answers."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._losing_answer_to: bytes | None = None
        self._links: set[asyncio.Task[object]] = set()
        self.port = 0

    def lose_the_answer_to(self, words: bytes) -> None:
        """Carry ``words`` to the server, let it answer, and cut the link instead of telling."""
        self._losing_answer_to = words

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            await self._carry(reader, writer)
        except OSError:
            pass  # one side is gone; the other is told by the close
        finally:
            writer.close()
            self._links.discard(link)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        doomed = asyncio.Event()
        try:
            await asyncio.gather(
                self._to_server(reader, back, doomed), self._to_client(there, writer, doomed)
            )
        finally:
            back.close()

    async def _to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while data := await _read(reader):
            if self._losing_answer_to is not None and self._losing_answer_to in data:
                doomed.set()
            writer.write(data)
        writer.close()

    async def _to_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        while data := await _read(reader):
            if doomed.is_set():
                break
            writer.write(data)
        writer.close()

    async def close(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except ConnectionError:
        return b""


@asynccontextmanager
async def link_to(host: str, port: int) -> AsyncIterator[Link]:
    link = Link(host, port)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        await link.close()
