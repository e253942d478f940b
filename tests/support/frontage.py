"""What may stand in front of the ingress, or in the bucket's place, and is set up wrong."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

Headers = dict[str, str]


@asynccontextmanager
async def listening(
    handle: Callable[[web.Request], object], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server on a free port that answers everything with ``handle``; its address."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", handle)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def a_proxy(
    to: str,
    *,
    on_the_way: Callable[[Headers], Headers] = dict,
    on_the_way_back: Callable[[Headers], Headers] = dict,
    most_bytes: int | None = None,
) -> AsyncIterator[str]:
    """Hands requests on to ``to``, with the headers as told, up to so many bytes."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            if most_bytes is not None and len(body) > most_bytes:
                return web.Response(status=413, text="<html>Request Entity Too Large</html>")
            headers = on_the_way({k: v for k, v in request.headers.items() if k != "Host"})
            async with session.request(
                request.method,
                to + request.path_qs,
                data=body or None,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                kept = on_the_way_back(
                    {k: v for k, v in answer.headers.items() if k != "Content-Length"}
                )
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        async with listening(forward) as url:
            yield url


@dataclass(slots=True)
class Store:
    """An S3 that takes everybody at their word, in memory, and does some things otherwise."""

    refuses: frozenset[str] = frozenset()  # methods, and LIST
    knows_conditions: bool = True
    is_public: bool = False
    complaint: str = "AccessDenied"
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        key = request.path.removeprefix("/").partition("/")[2]
        signed = "Authorization" in request.headers or "X-Amz-Signature" in request.query
        what = "LIST" if "list-type" in request.query else request.method
        if what in self.refuses or not (signed or self.is_public):
            return self._error(403, self.complaint)
        if what == "LIST":
            return web.Response(
                text="<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
        if what == "PUT":
            if self.knows_conditions and "If-None-Match" in request.headers and key in self.objects:
                return self._error(412, "PreconditionFailed")
            meta = {k: v for k, v in request.headers.items() if k.lower().startswith("x-amz-meta-")}
            self.objects[key] = (await request.read(), meta)
            return web.Response(headers={"ETag": '"x"'})
        if what == "DELETE":
            self.objects.pop(key, None)
            return web.Response(status=204)
        if key and key not in self.objects:
            return self._error(404, "NoSuchKey")
        data, meta = self.objects.get(key, (b"", dict[str, str]()))
        return web.Response(body=data, headers=dict(meta))

    def _error(self, status: int, code: str) -> web.Response:
        return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>")
