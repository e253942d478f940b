"""A buyer, and the emulated Replicate it buys from: what the emulator's own tests stand in."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from deploy.local.emulator import Emulator, Settings
from tests.support.photos import a_photo
from tests.support.waiting import eventually

TOKEN = "r8_" + "x" * 37
SDXL = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
RESTORE = "flux-kontext-apps/restore-image"
JSON = ("application/json", "application/problem+json")
ALL_EVENTS = ("start", "output", "logs", "completed")


@dataclass(frozen=True, slots=True)
class Heard:
    """One webhook as it arrived."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))

    @property
    def status(self) -> str:
        return str(self.body["status"])

    @property
    def is_last(self) -> bool:
        return "completed_at" in self.body


def last_word_is_in(heard: list[Heard]) -> bool:
    return any(one.is_last for one in heard)


@dataclass(slots=True)
class Buyer:
    """Serves a photo, and takes webhooks: with 200, or with `answers` while they last."""

    photo: bytes
    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def photo_url(self) -> str:
        return f"{self.url}/jobs/1/original/photo.jpg?X-Amz-Signature=very-secret"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/webhooks/replicate?slot=job.1.1.token"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=32 * 2**20)
        app.router.add_post("/webhooks/replicate", self._take)
        app.router.add_post("/elsewhere", self._take)
        app.router.add_get("/jobs/1/original/photo.jpg", self._serve)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        self.heard.append(Heard(request.path_qs, dict(request.headers), raw))
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": f"{self.url}/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)

    async def _serve(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.photo, content_type="image/jpeg")


@dataclass(frozen=True, slots=True)
class World:
    emulator: Emulator
    buyer: Buyer
    http: aiohttp.ClientSession  # signed in

    async def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, body (JSON, else text) and headers of one call."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(
            method, self.emulator.url + path, json=body, headers=sent
        ) as response:
            text = await response.text()
            kind = response.content_type
            read = json.loads(text) if text and kind in JSON else text
            return response.status, read, dict(response.headers)

    def order(
        self, *, events: Sequence[str] = ALL_EVENTS, version: str = SDXL, **given: Any
    ) -> dict[str, Any]:
        """The body of a create: a variation of the buyer's photo, unless told otherwise."""
        return {
            "version": version,
            "input": {"image": self.buyer.photo_url, "prompt": "a lake", "seed": 7} | given,
            "webhook": self.buyer.webhook_url,
            "webhook_events_filter": list(events),
        }

    async def buy(self, **given: Any) -> dict[str, Any]:
        """Create, and the answer."""
        status, body, _ = await self.ask("POST", "/v1/predictions", self.order(**given))
        assert status == 201, body
        return dict(body)

    async def get(self, prediction_id: str) -> dict[str, Any]:
        status, body, _ = await self.ask("GET", f"/v1/predictions/{prediction_id}")
        assert status == 200, body
        return dict(body)

    async def ended(self, prediction_id: str) -> dict[str, Any]:
        """The prediction once it has come to its end."""
        return await eventually(
            f"prediction {prediction_id} ends",
            lambda: self.get(prediction_id),
            holds=lambda seen: "completed_at" in seen,
        )

    async def bought(self, **given: Any) -> dict[str, Any]:
        """Create, and wait for the end."""
        return await self.ended((await self.buy(**given))["id"])

    async def heard(
        self,
        what: str,
        holds: Callable[[list[Heard]], bool] = last_word_is_in,
    ) -> list[Heard]:
        """The webhooks so far, once they are as wanted; by default, once the last word is in."""

        async def look() -> list[Heard]:
            return list(self.buyer.heard)

        return await eventually(what, look, holds=holds)

    async def written(self, kind: str, *, count: int = 1, **facts: Any) -> list[Mapping[str, Any]]:
        """Entries of the witness, once there are so many."""

        async def look() -> list[Mapping[str, Any]]:
            return self.emulator.ledger.entries(kind, **facts)

        return await eventually(
            f"{count} entries of {kind} {facts}", look, holds=lambda seen: len(seen) >= count
        )

    async def fetch(self, url: str) -> tuple[int, str, bytes]:
        """An output, without the token, as a stranger would. Status, content type, bytes."""
        async with aiohttp.ClientSession() as session:
            async with session.get(url, allow_redirects=False) as response:
                return response.status, response.content_type, await response.read()


@asynccontextmanager
async def a_world(*, photo: bytes | None = None, **settings: Any) -> AsyncIterator[World]:
    """An emulator whose runs take a fraction of a second, and a buyer whom it can reach."""
    buyer = Buyer(photo=a_photo(size=(96, 64)) if photo is None else photo)
    runner = web.AppRunner(buyer.app(), shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    buyer.url = f"http://{host}:{port}"
    quick = {"port": 0, "files_port": 0, "speed": 50.0, "run_s": 4.0}
    try:
        async with Emulator(Settings(**{**quick, **settings})) as emulator:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with aiohttp.ClientSession(headers=headers) as http:
                yield World(emulator, buyer, http)
    finally:
        await runner.cleanup()
