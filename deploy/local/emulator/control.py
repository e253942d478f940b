"""What tests and the demo steer by, beside the API: faults, the clock, the witness."""

import json
from typing import Any

from aiohttp import web

from deploy.local.emulator.clock import Clock
from deploy.local.emulator.faults import FAULTS, Faults, UnknownFault
from deploy.local.emulator.ledger import Ledger

PREFIX = "/_emulator/"


class Control:
    def __init__(self, clock: Clock, ledger: Ledger, faults: Faults) -> None:
        self._clock = clock
        self._ledger = ledger
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_emulator/health", self._health),
            web.get("/_emulator/ledger", self._entries),
            web.get("/_emulator/faults", self._rules),
            web.post("/_emulator/faults", self._add),
            web.delete("/_emulator/faults", self._clear),
            web.delete("/_emulator/faults/{id}", self._remove),
            web.post("/_emulator/clock", self._move),
        ]

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _entries(self, request: web.Request) -> web.Response:
        """`after` is the last number seen; `kind` narrows; one JSON entry a line."""
        after = request.query.get("after", "0")
        if not after.isdigit():
            return _wrong("after is the number of an entry")
        entries = self._ledger.entries(request.query.get("kind"), after=int(after))
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        return web.Response(text=lines, content_type="application/x-ndjson")

    async def _rules(self, _request: web.Request) -> web.Response:
        known = {
            name: {"does": fault.does, "options": dict(fault.options)}
            for name, fault in FAULTS.items()
        }
        return web.json_response({"rules": self._faults.listing(), "known": known})

    async def _add(self, request: web.Request) -> web.Response:
        body = await _object(request)
        if body is None:
            return _wrong("a rule is a JSON object")
        try:
            rule = self._faults.add_described(body)
        except UnknownFault as error:
            return _wrong(str(error))
        self._ledger.write("fault_rule", rule=rule.described())
        return web.json_response(rule.described(), status=201)

    async def _clear(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)

    async def _remove(self, request: web.Request) -> web.Response:
        rule = request.match_info["id"]
        removed = rule.isdigit() and self._faults.remove(int(rule))
        return web.Response(status=204 if removed else 404)

    async def _move(self, request: web.Request) -> web.Response:
        body = await _object(request)
        advance, speed = (body or {}).get("advance_s", 0), (body or {}).get("speed", None)
        if not isinstance(advance, int | float) or advance < 0:
            return _wrong("advance_s is a number of provider seconds, not below 0")
        if speed is not None and not (isinstance(speed, int | float) and 0 < speed <= 10_000):
            return _wrong("speed is a number above 0, at most 10000")
        if speed is not None:
            self._clock.run_at(speed)
        self._clock.advance(advance)
        self._ledger.write("clock", advance_s=advance, speed=self._clock.speed)
        return web.json_response({"t": self._clock.now(), "speed": self._clock.speed})


async def _object(request: web.Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _wrong(why: str) -> web.Response:
    return web.json_response({"detail": why}, status=400)
