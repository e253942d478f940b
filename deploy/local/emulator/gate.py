"""What every request passes: the witness, the token, the rate limit."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from deploy.local.emulator import problems
from deploy.local.emulator.api import Refusal
from deploy.local.emulator.control import PREFIX
from deploy.local.emulator.ledger import Ledger
from deploy.local.emulator.limits import Bucket
from deploy.local.emulator.request_facts import FAULT, PREDICTION, TORN
from deploy.local.emulator.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


class Gate:
    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._tokens = {token.get_secret_value() for token in settings.tokens}
        per_minute = 6 if settings.low_credit else settings.creates_per_minute
        burst = 1 if settings.low_credit else settings.create_burst or per_minute
        self._creates = Bucket(per_minute=per_minute, burst=burst, now=time.monotonic)
        self._reads = Bucket(
            per_minute=settings.reads_per_minute,
            burst=settings.reads_per_minute,
            now=time.monotonic,
        )

    def middleware(self) -> Any:
        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(PREFIX):
                return await handler(request)
            began = time.monotonic()
            response = await self._answer(request, handler)
            self._ledger.write(
                "request",
                method=request.method,
                path=request.path,
                status=0 if TORN in request else response.status,
                ms=round((time.monotonic() - began) * 1000, 1),
                prediction=request.get(PREDICTION),
                fault=request.get(FAULT),
                user_agent=request.headers.get("User-Agent", "")[:100],
            )
            return response

        return gate

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._knows(request.headers.get("Authorization", "")):
            return problems.unauthenticated()
        creating = request.method == "POST" and request.path.endswith("/predictions")
        bucket = self._creates if creating else self._reads
        # Taken before anything is looked at: what is refused afterwards has counted.
        if (throttled := bucket.take()) is not None:
            return problems.throttled(
                throttled.retry_after,
                low_credit=self._settings.low_credit and creating,
                header=self._settings.retry_after_header,
            )
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = refusal.response
        except web.HTTPNotFound:
            response = problems.not_found()
        except web.HTTPMethodNotAllowed:
            response = problems.problem(405, "Method not allowed.")
        if not response.prepared:
            response.headers["ratelimit-remaining"] = str(bucket.remaining)
            response.headers["ratelimit-reset"] = str(bucket.reset)
        return response

    def _knows(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() not in {"bearer", "token"}:
            return False
        return token in self._tokens if self._tokens else token.startswith("r8_")
