"""What was refused is told on for a look: some of it, a little of each, and never in the way of the
next webhook. Nobody waits for it, and what cannot be told is dropped and counted."""

import asyncio
from collections import deque
from uuid import uuid4

import structlog
from aiohttp import web
from prometheus_client import Counter

from services.ingress.answers import BAD_SIGNATURE, CLOCK, MALFORMED, STALE, Refused
from services.ingress.publish import Publish
from shared.clock import Clock
from shared.domain.refusal import (
    BODY_KEPT,
    WEBHOOK_REFUSED,
    RefusedWebhook,
    to_json,
    worth_keeping,
)
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, Permanent, Unroutable
from shared.throttle import Throttle

log = structlog.get_logger()

# What says something about a sender that may be Replicate: a wrong key, a wrong clock, a new shape.
OF_INTEREST = (MALFORMED, BAD_SIGNATURE, STALE, CLOCK)

WAITING_AT_MOST = 32
PER_SECOND = 5.0

TOLD = Counter(
    "darkroom_refused_webhooks_total", "Refused webhooks by whether they were kept.", ["what"]
)
_KEPT, _DROPPED = TOLD.labels("kept"), TOLD.labels("dropped")


class Refusals:
    """Holds a few refused webhooks until its worker has told them."""

    def __init__(self, publish: Publish, *, now: Clock, per_second: float = PER_SECOND) -> None:
        self._publish = publish
        self._now = now
        # One bucket for all: whoever floods us must not make us a flood of our own.
        self._throttle = Throttle(per_second)
        self._waiting: deque[RefusedWebhook] = deque()
        self._some = asyncio.Event()

    def keep(self, request: web.Request, refusal: Refused) -> None:
        """Remember a refused webhook, if it is of interest and there is room. Never waits."""
        if refusal.fault not in OF_INTEREST:
            return
        elapsed = asyncio.get_running_loop().time()
        if len(self._waiting) >= WAITING_AT_MOST or not self._throttle.takes("", now=elapsed):
            _DROPPED.inc()
            return
        body = refusal.body
        if body is None and request.content.is_eof() and request.content.exception() is None:
            body = request.content.read_nowait()  # it came together with its headers
        self._waiting.append(
            RefusedWebhook(
                id=uuid4(),
                received_at=self._now(),
                outcome=refusal.fault.outcome,
                status=refusal.fault.status,
                reason=refusal.detail,
                sender=request.remote,
                query=request.query_string,
                headers=worth_keeping(request.headers.items()),
                body=None if body is None else body[:BODY_KEPT],
                body_bytes=request.content_length if body is None else len(body),
            )
        )
        self._some.set()

    async def worker(self, stop: asyncio.Event) -> None:
        """Tell what waits, one after the other, until we are stopped."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                while self._waiting:
                    await self._tell(self._waiting.popleft())
                self._some.clear()
                some = asyncio.create_task(self._some.wait())
                try:
                    await asyncio.wait({some, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    some.cancel()
        finally:
            stopping.cancel()

    async def _tell(self, refused: RefusedWebhook) -> None:
        fact = Envelope(
            id=str(refused.id),
            type=WEBHOOK_REFUSED,
            source="darkroom/ingress",
            time=refused.received_at,
            body=to_json(refused),
        )
        try:
            await self._publish(fact)
        except (BrokerUnavailable, Unroutable, Permanent) as error:
            _DROPPED.inc()
            log.warning("refusal.not_kept", outcome=refused.outcome, reason=str(error))
        else:
            _KEPT.inc()
