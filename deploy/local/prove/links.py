"""Links in our hand: TCP proxies that fall silent, answer ill, or share work between replicas."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
METHODS = (b"PUT ", b"GET ", b"HEAD ", b"POST ", b"DELETE ")
ILL = 1 / 3  # of the requests that pass an ill link
TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
)
SLOW_S = 3.0
CONNECT_WITHIN_S = 5.0
# An answer that comes in pieces comes without such a pause.
AT_REST_S = 0.05
LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Place":
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise ValueError("a link leads to a host and a port")
        return cls(parts.hostname, parts.port)


@dataclass(frozen=True, slots=True)
class _Side:
    """The other side of a connection that goes through a link."""

    place: Place
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True, eq=False)
class _Passage:
    """One connection through a link. ``answered``: what passed last came from the other side."""

    there: _Side
    moved_at: float
    answered: bool = False

    def note(self, *, answered: bool) -> None:
        self.moved_at, self.answered = asyncio.get_running_loop().time(), answered

    @property
    def is_at_rest(self) -> bool:
        """Whether its last request is answered, and of the next one nothing has been passed on."""
        still = asyncio.get_running_loop().time() - self.moved_at
        return self.answered and still >= AT_REST_S


class Link:
    """Passes bytes between whoever connects and the first of its targets that takes the connection;
    each new connection begins with the next target, so that two replicas share the work."""

    def __init__(self, *, dice: random.Random) -> None:
        self._targets: tuple[Place, ...] = ()
        self._dice = dice
        self._turn = 0
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._ill = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._passages: set[_Passage] = set()
        self.port = 0
        self.spoiled = 0  # requests that an ill link has turned away, slowed or cut

    def lead_to(self, *urls: str) -> None:
        """Set where it leads, by host and port. Until then it turns everybody away."""
        self._targets = tuple(map(Place.of, urls))

    def fall_silent(self) -> None:
        """From now on nothing passes, on old connections and new ones, and no end is told."""
        self._speaks.clear()

    def speak(self) -> None:
        """The link is whole again. What was sent meanwhile comes late, and so do the ends of the
        connections that somebody gave up: the kernel had kept sending them again."""
        self._speaks.set()

    def sicken(self) -> None:
        """Answer, slow down or cut one HTTP request in three, before it reaches the other side."""
        self._ill = True

    def heal(self) -> None:
        self._ill = False

    async def lead_over(self) -> None:
        """Lead each connection to where it leads no more elsewhere, between two of its requests, as
        a balancer does that reads them: whoever sends sees nothing of it. Returns when all are.
        Bound it from outside."""
        while leaving := [one for one in self._passages if one.there.place not in self._targets]:
            for passage in leaving:
                side = await self._connect() if passage.is_at_rest else None
                if side is None:
                    continue
                # A request may have begun meanwhile, and must end where it began.
                over = passage.there if passage.is_at_rest else side
                if over is passage.there:
                    passage.there = side
                over.writer.close()
            await asyncio.sleep(LOOK_EVERY_S)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its begin to its end."""
        await self._speaks.wait()
        side = await self._connect()
        if side is None:
            writer.close()
            return
        passage = _Passage(side, asyncio.get_running_loop().time())
        pumps = [
            asyncio.create_task(self._forth(passage, reader, writer)),
            asyncio.create_task(self._back(passage, writer)),
        ]
        self._tasks.update(pumps)
        self._passages.add(passage)
        try:
            await asyncio.gather(*pumps)
        finally:
            self._passages.discard(passage)
            self._tasks.difference_update(pumps)
            for end in (writer, passage.there.writer):
                end.close()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self) -> _Side | None:
        first, self._turn = self._turn, self._turn + 1
        for step in range(len(self._targets)):
            target = self._targets[(first + step) % len(self._targets)]
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    ends = await asyncio.open_connection(target.host, target.port, limit=CHUNK)
                    return _Side(target, *ends)
        return None

    async def _forth(
        self, passage: _Passage, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        """Pass on what comes from the client; an ill link may answer it instead."""
        with suppress(OSError):  # one side is gone; the other is told by the close below
            while data := await reader.read(CHUNK):
                passage.note(answered=False)
                await self._speaks.wait()
                if await self._spoils(data, client):
                    break
                passage.there.writer.write(data)
                await passage.there.writer.drain()
        await self._speaks.wait()
        passage.there.writer.close()

    async def _back(self, passage: _Passage, client: asyncio.StreamWriter) -> None:
        """Pass on what comes from the other side, and from the one after it, if it is led over."""
        with suppress(OSError):
            side = None
            while side is not passage.there:
                side = passage.there
                while data := await side.reader.read(CHUNK):
                    passage.note(answered=True)
                    await self._speaks.wait()
                    client.write(data)
                    await client.drain()
        await self._speaks.wait()
        client.close()

    async def _spoils(self, data: bytes, answers: asyncio.StreamWriter) -> bool:
        """Whether a request begins with ``data`` and ends here."""
        if not self._ill or not data.startswith(METHODS) or self._dice.random() >= ILL:
            return False
        self.spoiled += 1
        what = self._dice.randrange(4)
        if what == 3:
            await asyncio.sleep(SLOW_S)
            return False
        if what < 2:
            answers.write(TURNED_AWAY[what])
            await answers.drain()
        answers.close()
        return True


@asynccontextmanager
async def link(*urls: str, dice: random.Random) -> AsyncIterator[Link]:
    """A link that listens on a free port of this machine until the end; ``urls`` is where it leads,
    where that is known already."""
    opened = Link(dice=dice)
    opened.lead_to(*urls)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(opened.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=CHUNK, backlog=1024)
    opened.port = server.sockets[0].getsockname()[1]
    try:
        yield opened
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await opened.close()


def through(url: str, port: int) -> str:
    """The same address by way of a link on this machine."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))
