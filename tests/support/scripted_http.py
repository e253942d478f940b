"""An HTTP server that answers exactly what a test scripts, byte for byte, and notes what it got."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class ScriptedServer:
    """``answers`` are sent in turn, one a request, and the connection is closed after each; an
    empty one closes it without a word, ``None`` stays silent. ``requests`` is what arrived."""

    url: str
    answers: list[bytes | None] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)


def answer(status: int, body: bytes | str, *headers: str) -> bytes:
    """A whole HTTP answer; ``headers`` are lines such as ``Retry-After: 5``."""
    data = body.encode() if isinstance(body, str) else body
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *headers)
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + data


@asynccontextmanager
async def scripted_server(*answers: bytes | None) -> AsyncIterator[ScriptedServer]:
    held: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.add(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ),
            0,
        )
        server.requests.append(head + await reader.readexactly(length))
        scripted = server.answers.pop(0)
        if scripted is None:
            return
        writer.write(scripted)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server = ScriptedServer(f"http://127.0.0.1:{port}", list(answers))
    try:
        yield server
    finally:
        listening.close()
        for writer in held:
            writer.transport.abort()
