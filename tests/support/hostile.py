"""Callers that mean harm, each on a line of its own, and one beside them who only wants an answer."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp

from tests.support.wire import a_line, answer_of, asked

ORDER = {"recipe": "sound-effect", "params": {"prompt": "rain"}}
JSON = "Content-Type: application/json"
PAUSE_S = 0.2
# Many and stubborn, and not more than a processor can turn away: how much one process bears is a
# question of its size.
AGAIN_S = 2.0


@dataclass(slots=True)
class Noted:
    """What became of them: by kind, how many were answered by which status, or cut off (0)."""

    answers: dict[str, Counter[int]] = field(default_factory=dict)

    def note(self, kind: str, status: int) -> None:
        self.answers.setdefault(kind, Counter())[status] += 1


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Harm = Callable[[Line, str, Callable[[int], None]], Awaitable[None]]


async def _silent(line: Line, _token: str, note: Callable[[int], None]) -> None:
    """Says nothing at all."""
    if not await line[0].read(1):
        note(0)


async def _slow_headers(line: Line, _token: str, note: Callable[[int], None]) -> None:
    reader, writer = line
    writer.write(b"GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    async with asyncio.TaskGroup() as group:
        saying = group.create_task(_drip(writer, b"X-A: b\r\n", 5 * PAUSE_S))
        with suppress(ConnectionError):
            await reader.read()
        saying.cancel()
    note(0)


async def _slow_body(line: Line, token: str, note: Callable[[int], None]) -> None:
    reader, writer = line
    head = (JSON, f"Authorization: Bearer {token}", "Content-Length: 1000")
    writer.write(asked("POST", "/v1/jobs", *head))
    async with asyncio.TaskGroup() as group:
        saying = group.create_task(_drip(writer, b" ", PAUSE_S))
        answered = await answer_of(reader)
        saying.cancel()
    note(answered.status)


async def _drip(writer: asyncio.StreamWriter, piece: bytes, pause_s: float) -> None:
    while True:
        writer.write(piece)
        await asyncio.sleep(pause_s)


async def _nonsense(line: Line, _token: str, note: Callable[[int], None]) -> None:
    reader, writer = line
    writer.write(b"\x16\x03\x01" + b"\xff" * 2000 + b"\r\n\r\n")
    note((await answer_of(reader)).status)


async def _guesses(line: Line, _token: str, note: Callable[[int], None]) -> None:
    reader, writer = line
    while True:
        word = "dk_" + (uuid4().hex * 2)[:43]
        writer.write(asked("GET", "/v1/jobs", f"Authorization: Bearer {word}", close=False))
        status = (await answer_of(reader)).status
        note(status)
        if not status:
            return


async def _greedy(line: Line, token: str, note: Callable[[int], None]) -> None:
    """Asks much, often, and all at once."""
    reader, writer = line
    one = asked("GET", "/v1/jobs?limit=200", f"Authorization: Bearer {token}", close=False)
    while True:
        writer.write(one * 10)
        for _ in range(10):
            status = (await answer_of(reader)).status
            note(status)
            if not status:
                return
        await asyncio.sleep(AGAIN_S)


async def _deaf(line: Line, token: str, _note: Callable[[int], None]) -> None:
    """Asks on and on, and reads nothing of what comes."""
    _, writer = line
    one = asked("GET", "/v1/openapi.json", f"Authorization: Bearer {token}", close=False)
    while not writer.is_closing():
        writer.write(one * 5)
        await writer.drain()  # until the other side takes no more


async def _large(line: Line, token: str, note: Callable[[int], None]) -> None:
    reader, writer = line
    head = (JSON, f"Authorization: Bearer {token}", "Transfer-Encoding: chunked")
    writer.write(asked("POST", "/v1/jobs", *head))
    with suppress(ConnectionError):
        for _ in range(20):
            writer.write(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
            await writer.drain()
    note((await answer_of(reader)).status)


KINDS: Mapping[str, Harm] = {
    "silent": _silent,
    "slow headers": _slow_headers,
    "slow body": _slow_body,
    "nonsense": _nonsense,
    "guesses": _guesses,
    "greedy": _greedy,
    "deaf": _deaf,
    "large": _large,
}


@asynccontextmanager
async def hostile(url: str, token: str, *, lines: int) -> AsyncIterator[Noted]:
    """So many lines until the block ends, of every kind; who is cut off comes again. They are a
    process of their own, so that who measures beside them measures the server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.hostile", url, str(lines)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    noted = Noted()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(token.encode() + b"\n")  # not for those who list processes
        assert await process.stdout.readline() == b"begun\n"
        reading = asyncio.create_task(_read(process.stdout, noted))
        yield noted
        process.stdin.write(b"enough\n")
        await asyncio.wait_for(reading, 60)  # to its last word
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _read(told: asyncio.StreamReader, noted: Noted) -> None:
    async for line in told:
        for kind, answers in json.loads(line).items():
            noted.answers[kind] = Counter({int(status): n for status, n in answers.items()})


async def _harm(url: str, token: str, lines: int) -> None:
    noted = Noted()

    async def one(kind: str) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                async with a_line(url) as line:
                    await KINDS[kind](line, token, lambda status: noted.note(kind, status))
            await asyncio.sleep(AGAIN_S)

    async def tell() -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            print(json.dumps(noted.answers), flush=True)

    names = list(KINDS)
    tasks = [asyncio.create_task(one(names[n % len(names)])) for n in range(lines)]
    print("begun", flush=True)
    tasks.append(asyncio.create_task(tell()))
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(noted.answers))


async def cut_off_after(url: str, kind: str, *, within: float) -> float:
    """How long a line of that kind is borne, in seconds. Raises TimeoutError."""
    began = time.monotonic()
    async with a_line(url) as line, asyncio.timeout(within):
        with suppress(ConnectionError):
            await KINDS[kind](line, "", lambda _status: None)
    return time.monotonic() - began


async def well_behaved(url: str, token: str, *, orders: int) -> tuple[list[float], Counter[int]]:
    """Orders, and looks at what was ordered, one after the other: how long each took, in seconds,
    and how they were answered."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as session:
        for _ in range(orders):
            began = time.perf_counter()
            async with session.post("/v1/jobs", json=ORDER) as answer:
                statuses[answer.status] += 1
                told = await answer.json(content_type=None)
            took.append(time.perf_counter() - began)
            began = time.perf_counter()
            async with session.get(told.get("url", "/v1/jobs")) as answer:
                statuses[answer.status] += 1
                await answer.read()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)
    return took, statuses


if __name__ == "__main__":
    asyncio.run(_harm(sys.argv[1], sys.stdin.readline().strip(), int(sys.argv[2])))
