"""Load for an ingress, from a process of its own: signed webhooks over keep-alive connections.

Every webhook is signed before the clock starts, and the client is a bare protocol, so that what is
measured is the other side. Prints one JSON line: answers per second, percentiles in milliseconds,
and every status that came back.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import cast
from uuid import uuid4

from shared.clock import utc_now
from shared.signatures import sign

LOGS = "".join(f"{step:3d}%|{'#' * (step // 10):10s}| {step}/100 it\n" for step in range(0, 101, 5))


def a_webhook(secret: str) -> tuple[bytes, str, str, str]:
    """Body, id, timestamp and signature of a finished picture, about as large as real ones are."""
    prediction, job, now = uuid4().hex[:26], uuid4(), utc_now()
    body = json.dumps(
        {
            "completed_at": now.isoformat(),
            "created_at": now.isoformat(),
            "data_removed": False,
            "error": None,
            "id": prediction,
            "input": {"prompt": "a red kettle", "seed": 17, "num_outputs": 1},
            "logs": LOGS,
            "metrics": {"image_count": 1, "predict_time": 5.247161016},
            "model": "black-forest-labs/flux-kontext-pro",
            "output": [f"https://replicate.delivery/xezq/{uuid4().hex}/out-0.png"],
            "started_at": now.isoformat(),
            "status": "succeeded",
            "urls": {"get": f"https://api.replicate.com/v1/predictions/{prediction}"},
            "version": "hidden",
            "webhook": f"https://example.com/webhooks/replicate?slot={job}.1.1.{'t' * 22}",
            "webhook_events_filter": ["start", "completed"],
        },
        separators=(",", ":"),
    ).encode()
    webhook_id = f"msg_{uuid4().hex}"
    signature = sign(secret, webhook_id=webhook_id, timestamp=now, body=body)
    return body, webhook_id, str(int(now.timestamp())), signature


def a_request(secret: str) -> bytes:
    body, webhook_id, timestamp, signature = a_webhook(secret)
    return (
        f"POST /webhooks/replicate?slot={uuid4()}.1.1.{'t' * 22} HTTP/1.1\r\n"
        "Host: ingress.example\r\nContent-Type: application/json\r\nUser-Agent: load\r\n"
        f"webhook-id: {webhook_id}\r\nwebhook-timestamp: {timestamp}\r\n"
        f"webhook-signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Client(asyncio.Protocol):
    """One connection with one request under way at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from neither

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._received[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._received) >= end + 4 + length:
            answer, self._answer = self._answer, None
            self._received.clear()
            answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed without an answer"))

    async def ask(self, request: bytes) -> int:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


async def connect(port: int, count: int) -> list[Client]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(count)]


async def closed_loop(port: int, requests: list[bytes], connections: int) -> dict[str, object]:
    """Each connection sends its next webhook when the last one is answered."""
    clients = await connect(port, connections)
    statuses: Counter[int] = Counter()
    took: list[float] = []
    waiting: Iterator[bytes] = iter(requests)

    async def keep_asking(client: Client) -> None:
        for request in waiting:
            begun = time.perf_counter()
            statuses[await client.ask(request)] += 1
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(keep_asking(client) for client in clients))
    return _summary(took, statuses, time.perf_counter() - begun)


async def open_loop(
    port: int, requests: list[bytes], connections: int, per_second: float
) -> dict[str, object]:
    """Webhooks come at their times, answered or not; the wait for a free connection counts."""
    clients = await connect(port, connections)
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)
    statuses: Counter[int] = Counter()
    took: list[float] = []
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    async def send(request: bytes, due: float) -> None:
        client = await free.get()
        statuses[await client.ask(request)] += 1
        free.put_nowait(client)
        took.append(loop.time() - due)
        if len(took) == len(requests):
            done.set()

    under_way: set[asyncio.Task[None]] = set()

    def start(request: bytes, due: float) -> None:
        task = loop.create_task(send(request, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    begun = loop.time()
    for number, request in enumerate(requests):
        due = begun + number / per_second
        loop.call_at(due, start, request, due)
    await asyncio.wait_for(done.wait(), timeout=len(requests) / per_second + 60)
    return _summary(took, statuses, loop.time() - begun)


def _summary(took: list[float], statuses: Counter[int], seconds: float) -> dict[str, object]:
    took.sort()

    def percentile(share: float) -> float:
        return round(took[min(len(took) - 1, int(share * len(took)))] * 1e3, 2)

    return {
        "answers": len(took),
        "accepted_per_second": sum(n for code, n in statuses.items() if code // 100 == 2) / seconds,
        "p50_ms": percentile(0.50),
        "p99_ms": percentile(0.99),
        "max_ms": percentile(1.0),
        "statuses": {str(code): n for code, n in statuses.items()},
    }


def main() -> None:
    reading = argparse.ArgumentParser()
    reading.add_argument("--port", type=int, required=True)
    reading.add_argument("--secret", required=True)
    reading.add_argument("--webhooks", type=int, required=True)
    reading.add_argument("--connections", type=int, required=True)
    reading.add_argument("--per-second", type=float, default=0.0, help="0: as fast as answered")
    asked = reading.parse_args()
    requests = [a_request(asked.secret) for _ in range(asked.webhooks)]
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(
            open_loop(asked.port, requests, asked.connections, asked.per_second)
            if asked.per_second
            else closed_loop(asked.port, requests, asked.connections)
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
