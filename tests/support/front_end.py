"""A front end: plain HTTP and server-sent events, with nothing of ours but the words on the wire."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Heard:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: Any  # of JSON what it says, of anything else the text

    @property
    def code(self) -> str:
        """Of a problem: its name."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        return str(self.body["code"])


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    id: str
    data: Any


class FrontEnd:
    """Calls one API, with a token or without."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._session = session
        self.url = url
        self._headers = dict(headers or {})

    def with_token(self, token: str) -> "FrontEnd":
        return self.with_headers(Authorization=f"Bearer {token}")

    def with_headers(self, **headers: str) -> "FrontEnd":
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return FrontEnd(self._session, self.url, {**self._headers, **more})

    async def get(self, path: str, **query: Any) -> Heard:
        return await self.ask("GET", path, params=query or None)

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Heard:
        more = {"Idempotency-Key": key} if key else {}
        return await self.ask("POST", path, json=body if body is not None else {}, headers=more)

    async def ask(self, method: str, path: str, **how: Any) -> Heard:
        headers = {**self._headers, **(how.pop("headers", None) or {})}
        async with self._session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **how
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type.endswith("json")
            body = json.loads(text) if is_json and text else text
            return Heard(answer.status, dict(answer.headers), body)

    @asynccontextmanager
    async def follow(
        self, path: str, *, last: str | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a job, as they come; they end where the server ends them."""
        headers = {**self._headers, **({"Last-Event-ID": last} if last else {})}
        async with self._session.get(
            self.url + path, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
        ) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            assert answer.content_type == "text/event-stream"
            yield _events(answer)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
            continue
        if "event" in fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
        fields = {}


@asynccontextmanager
async def a_front_end(url: str) -> AsyncIterator[FrontEnd]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield FrontEnd(session, url)
