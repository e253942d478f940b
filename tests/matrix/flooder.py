"""More webhooks than are taken, from a process of its own, over connections that are made anew when
they end. Prints one JSON line: how often which answer came, and the percentiles of all of them.

    python -m tests.matrix.flooder PORT SECRET WEBHOOKS CONNECTIONS PER_SECOND
"""

import asyncio
import json
import sys
from collections import Counter

from tests.benchmark.ingress.load import a_request
from tests.support.waiting import a_pause

ANSWER_WITHIN_S = 60.0


class Line:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> str:
        """The status of the answer, or what came instead of one."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._ask(request)
        except (TimeoutError, OSError, EOFError) as error:
            self._close()
            return type(error).__name__

    async def _ask(self, request: bytes) -> str:
        if self._open is None:
            self._open = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._open
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(
            (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.startswith(b"content-length")),
            0,
        )
        await reader.readexactly(length)
        if b"connection: close" in head:
            self._close()
        return head[9:12].decode()

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


async def flood(
    port: int, requests: list[bytes], connections: int, per_second: float
) -> dict[str, object]:
    """Each webhook at its time, if a connection is free then; the wait for one counts."""
    loop = asyncio.get_running_loop()
    answers: Counter[str] = Counter()
    took: list[float] = []
    began = loop.time()
    numbered = iter(enumerate(requests))

    async def keep_asking(line: Line) -> None:
        for number, request in numbered:
            due = began + number / per_second
            if (early := due - loop.time()) > 0:
                await a_pause(early)
            answers[await line.ask(request)] += 1
            took.append(loop.time() - due)

    await asyncio.gather(*(keep_asking(Line(port)) for _ in range(connections)))
    took.sort()
    return {
        "answers": answers,
        "p50_ms": round(took[len(took) // 2] * 1e3, 1),
        "p99_ms": round(took[min(len(took) - 1, int(0.99 * len(took)))] * 1e3, 1),
        "seconds": round(loop.time() - began, 1),
    }


def main() -> None:
    port, secret, webhooks, connections, per_second = sys.argv[1:]
    requests = [a_request(secret) for _ in range(int(webhooks))]
    print(json.dumps(asyncio.run(flood(int(port), requests, int(connections), float(per_second)))))


if __name__ == "__main__":
    main()
