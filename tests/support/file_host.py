"""A host of files that misbehaves by the path that it is asked for, and notes every request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class FileHost:
    """Raw HTTP/1.1 on a socket: it can lie in ways that no server library would."""

    origin: str = ""
    port: int = 0
    connections: int = 0
    requests: list[str] = field(default_factory=list)  # each with its headers
    _replies: dict[str, Reply] = field(default_factory=dict)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def serve(self, path: str, data: bytes, *headers: str, status: str = "200 OK") -> str:
        """Serve ``data`` at ``path``; returns the address. Content-Length is right unless given."""
        length = () if any("length" in h.lower() for h in headers) else (f"{len(data)}",)
        lines = [f"HTTP/1.1 {status}", *(f"Content-Length: {n}" for n in length), *headers]
        return self.reply(
            path, "\r\n".join(lines).encode() + b"\r\nConnection: close\r\n\r\n", data
        )

    def reply(self, path: str, *parts: bytes) -> str:
        """Answer with exactly these bytes and close."""

        async def send(writer: asyncio.StreamWriter) -> None:
            for part in parts:
                writer.write(part)
                await writer.drain()

        self._replies[path] = send
        return f"{self.origin}{path}"

    def hang(self, path: str, *parts: bytes) -> str:
        """Answer with these bytes and then with silence."""

        async def send(writer: asyncio.StreamWriter) -> None:
            for part in parts:
                writer.write(part)
            await writer.drain()
            await self._released.wait()

        self._replies[path] = send
        return f"{self.origin}{path}"

    def drip(self, path: str, pieces: int, piece: bytes) -> str:
        """Declare everything, and send without end."""

        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(pieces):
                writer.write(piece)
                await writer.drain()

        self._replies[path] = send
        return f"{self.origin}{path}"

    def answer_with(self, path: str, reply: Reply) -> str:
        """Let ``reply`` answer at ``path``; returns the address."""
        self._replies[path] = reply
        return f"{self.origin}{path}"

    async def released(self) -> None:
        """Return when the host closes: for who answers with silence."""
        await self._released.wait()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            path = head.split(" ")[1]
            reply = self._replies.get(path)
            if reply is None:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            else:
                await reply(writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side went away, as some of these tests mean it to
        finally:
            writer.close()

    def release(self) -> None:
        self._released.set()


@asynccontextmanager
async def a_file_host() -> AsyncIterator[FileHost]:
    host = FileHost()
    server = await asyncio.start_server(host.answer, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    host.origin = f"http://127.0.0.1:{host.port}"
    try:
        yield host
    finally:
        host.release()
        server.close()
        await server.wait_closed()
