"""Output files, on an origin of their own, open to whoever knows the address, for their hour."""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.local.emulator.faults import Chosen
from deploy.local.emulator.ledger import Ledger
from deploy.local.emulator.making import MadeFile

PAGE = b"<!doctype html><title>Not found</title><p>There was a picture here.</p>"


@dataclass(slots=True)
class Output:
    prediction: str
    name: str
    content_type: str
    path: Path
    faults: Chosen
    fetched: int = 0


class Outputs:
    """Keeps files on disk: thousands of pictures would not fit into memory."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self._directory = directory
        self._ledger = ledger
        self._by_token: dict[str, Output] = {}
        self.url = ""  # the origin, known once the port is bound

    async def keep(self, prediction: str, made: MadeFile, faults: Chosen) -> tuple[str, str]:
        """Store it; the token by which it is dropped again, and its address."""
        token = secrets.token_urlsafe(30)
        path = self._directory / f"{token}.bin"
        await asyncio.to_thread(path.write_bytes, made.data)
        self._by_token[token] = Output(prediction, made.name, made.content_type, path, faults)
        return token, f"{self.url}/outputs/{token}/{made.name}"

    def drop(self, token: str) -> None:
        output = self._by_token.pop(token, None)
        if output is not None:
            output.path.unlink(missing_ok=True)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/outputs/{token}/{name}", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        output = self._by_token.get(request.match_info["token"])
        if output is None or output.name != request.match_info["name"]:
            self._note(request, None, 404)
            return web.Response(status=404, body=PAGE, content_type="text/html")
        output.fetched += 1
        return await self._misbehaved(request, output) or self._whole(request, output)

    def _whole(self, request: web.Request, output: Output) -> web.StreamResponse:
        self._note(request, output, 200, bytes=output.path.stat().st_size)
        wrong = output.faults.get("wrong_content_type")
        kind = wrong["content_type"] if wrong else output.content_type
        return web.FileResponse(output.path, headers={"Content-Type": str(kind)})

    async def _misbehaved(self, request: web.Request, output: Output) -> web.StreamResponse | None:
        faults = output.faults
        response: web.StreamResponse | None = None
        if "truncated_file" in faults:
            response = await self._in_pieces(request, output, pieces=2, wait=0.0, torn=True)
        elif slow := faults.get("slow_file"):
            wait = float(slow["seconds"]) / 20
            response = await self._in_pieces(request, output, pieces=20, wait=wait, torn=False)
        elif "missing_file" in faults:
            response = web.Response(status=404, body=PAGE, content_type="text/html")
        elif (failing := faults.get("failing_file")) and output.fetched <= failing["fetches"]:
            response = web.Response(status=500, body=PAGE, content_type="text/html")
        elif redirect := faults.get("redirected_file"):
            response = web.Response(status=302, headers={"Location": str(redirect["location"])})
        elif "not_an_image" in faults:
            response = web.Response(body=PAGE, content_type=output.content_type)
        elif "short_file" in faults:
            data = await asyncio.to_thread(output.path.read_bytes)
            response = web.Response(body=data[: len(data) // 2], content_type=output.content_type)
        if isinstance(response, web.Response):
            self._note(request, output, response.status, fault=True)
        return response

    async def _in_pieces(
        self, request: web.Request, output: Output, *, pieces: int, wait: float, torn: bool
    ) -> web.StreamResponse:
        data = await asyncio.to_thread(output.path.read_bytes)
        self._note(request, output, 200, fault=True, bytes=len(data))
        response = web.StreamResponse(
            headers={"Content-Type": output.content_type, "Content-Length": str(len(data))}
        )
        await response.prepare(request)
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            await response.write(data[start : start + size])
            if torn:
                if request.transport is not None:
                    request.transport.close()
                return response
            await asyncio.sleep(wait)
        await response.write_eof()
        return response

    def _note(self, request: web.Request, output: Output | None, status: int, **more: Any) -> None:
        self._ledger.write(
            "file_fetch",
            prediction=None if output is None else output.prediction,
            name=request.match_info["name"],
            method=request.method,
            status=status,
            authorization_sent="Authorization" in request.headers,
            **more,
        )
