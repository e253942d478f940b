"""Files that are nobody's output, beside the outputs: what a buyer's own order may point to."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from deploy.local.emulator.ledger import Ledger

MOST = 100
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PIECE = bytes(2**16)


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and how it is served."""

    data: bytes
    content_type: str
    status: int  # of the answer
    location: str  # where a redirect leads; empty: none
    delay_s: float  # of the wall, before the answer
    grows_to: int  # bytes: zeros follow until there are so many, and no length is told before


class Sources:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._by_name: dict[str, Source] = {}
        self.url = ""  # the origin, known once the port is bound

    def control_routes(self) -> list[web.RouteDef]:
        return [
            web.put("/_emulator/sources/{name}", self._put),
            web.delete("/_emulator/sources/{name}", self._delete),
        ]

    def file_routes(self) -> list[web.RouteDef]:
        return [web.get("/sources/{name}", self._serve)]

    async def _put(self, request: web.Request) -> web.Response:
        """The body is the file, its content type the file's; the query says how it is served."""
        name = request.match_info["name"]
        if not NAME.fullmatch(name):
            return _wrong("a name has up to 100 letters, digits, dots, dashes and underscores")
        if name not in self._by_name and len(self._by_name) >= MOST:
            return _wrong(f"there are {MOST} sources already")
        try:
            self._by_name[name] = _read(request.query, await request.read(), request.content_type)
        except ValueError as error:
            return _wrong(str(error))
        return web.json_response({"url": f"{self.url}/sources/{name}"}, status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        found = self._by_name.pop(request.match_info["name"], None)
        return web.Response(status=404 if found is None else 204)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        source = self._by_name.get(request.match_info["name"])
        self._ledger.write(
            "source_fetch",
            name=request.match_info["name"],
            status=404 if source is None else source.status,
            authorization_sent="Authorization" in request.headers,
        )
        if source is None:
            return web.Response(status=404)
        await asyncio.sleep(source.delay_s)
        headers = {"Content-Type": source.content_type}
        if source.location:
            headers["Location"] = source.location
        if not source.grows_to:
            return web.Response(status=source.status, body=source.data, headers=headers)
        response = web.StreamResponse(status=source.status, headers=headers)
        await response.prepare(request)
        await response.write(source.data)
        for at in range(len(source.data), source.grows_to, len(PIECE)):
            await response.write(PIECE[: source.grows_to - at])
        await response.write_eof()
        return response


def _read(how: Mapping[str, str], data: bytes, content_type: str) -> Source:
    """Raises ValueError for what cannot be served."""
    known = {"status", "location", "delay_s", "grows_to"}
    if unknown := sorted(how.keys() - known):
        raise ValueError(f"{unknown[0]} is unknown; there are {', '.join(sorted(known))}")
    location = how.get("location", "")
    status = int(how.get("status", 302 if location else 200))
    delay_s, grows_to = float(how.get("delay_s", 0)), int(how.get("grows_to", 0))
    if not 200 <= status <= 599:
        raise ValueError("status lies between 200 and 599")
    if not 0 <= delay_s <= 600:
        raise ValueError("delay_s lies between 0 and 600")
    if not 0 <= grows_to <= 2**40:
        raise ValueError("grows_to lies between 0 and 2 to the 40th")
    return Source(data, content_type, status, location, delay_s, grows_to)


def _wrong(why: str) -> web.Response:
    return web.json_response({"detail": why}, status=400)
