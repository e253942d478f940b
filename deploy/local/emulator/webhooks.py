"""Signed deliveries: signed anew for every attempt, only the last word is tried again."""

import asyncio
import base64
import hashlib
import hmac
import io
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import aiohttp

from deploy.local.emulator.clock import Clock
from deploy.local.emulator.ledger import Ledger

log = logging.getLogger(__name__)

EVENTS = ("start", "output", "logs", "completed")
DEFAULT_EVENTS = ("output", "completed")


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def new_message_id() -> str:
    return "msg_" + secrets.token_hex(14)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Standard Webhooks: HMAC-SHA256 over id, time and the raw body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Deliveries:
    """Sends what it is told, a bounded number at once."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        *,
        secrets_: Sequence[str],
        concurrency: int,
        timeout_s: float,
        retry_after_s: Sequence[float],
        retry_redirects: bool,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._secrets = secrets_
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._retry_after_s = retry_after_s
        self._retry_redirects = retry_redirects
        self._places = asyncio.Semaphore(concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._underway: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Replicate-Emulator/1.0"},
        )

    async def close(self) -> None:
        for task in self._underway:
            task.cancel()
        await asyncio.gather(*self._underway, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    @property
    def underway(self) -> int:
        return len(self._underway)

    def spawn(self, delivery: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let a delivery run on its own; closing ends it."""
        task = asyncio.create_task(delivery)
        self._underway.add(task)
        task.add_done_callback(self._see_off)
        return task

    def _see_off(self, task: "asyncio.Task[None]") -> None:
        self._underway.discard(task)
        if not task.cancelled() and (crash := task.exception()) is not None:
            log.error("a delivery crashed", exc_info=crash)
            self._ledger.write("crash", error=repr(crash))

    async def once(self, url: str, body: bytes, *, event: str, prediction: str) -> None:
        """An intermediate webhook: tried once, whatever comes of it."""
        await self._attempt(
            url, body, new_message_id(), event=event, prediction=prediction, attempt=1, last=True
        )

    async def until_heard(self, url: str, body: bytes, *, message_id: str, prediction: str) -> None:
        """The terminal webhook: tried until a 2xx, the last time about a minute after the first.

        The waits count from the first attempt, in provider time.
        """
        began = self._clock.now()
        offsets = (0.0, *self._retry_after_s)
        for number, offset in enumerate(offsets, start=1):
            await self._clock.sleep(began + offset - self._clock.now())
            if await self._attempt(
                url,
                body,
                message_id,
                event="completed",
                prediction=prediction,
                attempt=number,
                last=number == len(offsets),
            ):
                return

    async def _attempt(
        self,
        url: str,
        body: bytes,
        message_id: str,
        *,
        event: str,
        prediction: str,
        attempt: int,
        last: bool,
    ) -> bool:
        """True if the receiver is done with it (a 2xx, or a redirect that is not tried again)."""
        session = self._session
        if session is None:
            raise RuntimeError("deliveries are not open")
        async with self._places:
            timestamp = self._clock.unix()
            headers = {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": " ".join(
                    sign(secret, message_id, timestamp, body) for secret in self._secrets
                ),
            }
            began = time.monotonic()
            status, error = 0, None
            try:
                async with session.post(
                    url,
                    data=io.BytesIO(body),
                    headers=headers,
                    allow_redirects=False,
                    timeout=self._timeout,
                ) as response:
                    status = response.status
            except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
                # ValueError: an address that was taken without a look and leads nowhere.
                error = type(failure).__name__
        heard = 200 <= status < 300 or (300 <= status < 400 and not self._retry_redirects)
        self._ledger.write(
            "delivery",
            prediction=prediction,
            event=event,
            webhook_id=message_id,
            attempt=attempt,
            last=last,
            status=status,
            error=error,
            heard=200 <= status < 300,
            ms=round((time.monotonic() - began) * 1000, 1),
            bytes=len(body),
            webhook=url,
            sensitive=["webhook"],
        )
        return heard
