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
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
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
        await self._passing.wait()
        if self.hangs_up:
            writer.write_eof()
            self.hung_up += 1
            with suppress(ConnectionError):
                while await reader.read(65536):
                    pass  # until the client gives it up, too
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there_writer}
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, OSError):
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
        """End every link at both ends; new ones pass as before."""
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        self._writers.clear()


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
        proxy.speak()
        server.close()
        await proxy.close()
