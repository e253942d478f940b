"""A TCP proxy that can fall silent: the link stays open, and nothing passes any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Passes bytes between a client and ``(host, port)`` until it is told to be silent."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._passing = asyncio.Event()
        self._passing.set()
        self._links: set[asyncio.Task[object]] = set()
        self.port = 0
        self.hangs_up = False  # ends each new link at once, as a balancer with nobody behind it
        self.hung_up = 0

    def fall_silent(self) -> None:
        """From now on nothing passes, on old links and new ones; no end of any link is told."""
        self._passing.clear()

    def speak(self) -> None:
        """New links pass again. What was silent stays lost, as after a partition that outlived
        the peers' patience."""
        self._passing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        try:
            await self._passing.wait()
            if self.hangs_up:
                writer.write_eof()
                self.hung_up += 1
                while await reader.read(65536):
                    pass  # until the client gives it up, too
            else:
                await self._carry(reader, writer)
        except OSError:
            pass  # one side is gone; the other is told by the close
        finally:
            writer.close()
            self._links.discard(link)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        finally:
            there_writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if not self._passing.is_set():
                    # This link is dead for ever: not a byte, not an end.
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()
        sink.close()

    async def cut(self) -> None:
        """End every link at both ends, and let no new one through."""
        self._passing.clear()
        await self.close()

    async def close(self) -> None:
        """End every link at both ends, those that wait in silence too; new ones pass as before."""
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy in front of ``url``'s host and port, and the URL that leads through it."""
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5672)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    through = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}"))
    try:
        yield proxy, through
    finally:
        server.close()
        await proxy.close()
