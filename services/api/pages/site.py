"""Every page from its request to its answer: who looks, in which language, and what stands around."""

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.api.app import ApiApp
from services.api.asked import SHORT_BODY, read_bytes
from services.api.gate import NOBODY, OPEN, Asker, Gate
from services.api.pages import looks
from services.api.pages.origin import is_ours
from services.api.pages.visit import At, Elsewhere, Page, Visit
from services.api.pages.words import WORDS
from services.api.pages.words.said import TONGUES, Tongue, spoken
from services.api.problems import (
    BROKEN,
    FLAWED,
    FROM_ELSEWHERE,
    NO_TOKEN,
    NOT_ALLOWED,
    UNAVAILABLE,
    UNKNOWN_PATH,
    Kind,
    Refused,
)
from shared.clock import Clock
from shared.domain.slowest import told_span
from shared.errors import DatabaseUnavailable, Transient

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
NOT_THE_API = r"/{path:(?!v1(?:/|$)).*}"
# Of a request: who asks, once that is known.
LET_IN = web.RequestKey("darkroom_let_in", Asker)
SESSION, TONGUE = "darkroom_session", "darkroom_language"
A_YEAR_S = 31_536_000
SHORT_NUMBER = re.compile(r"[0-9]{1,9}")
ASK_AGAIN_S = 5
NAVIGATION = (
    ("/", "frame.overview"),
    ("/jobs", "frame.jobs"),
    ("/parked", "frame.parked"),
    ("/recipes", "frame.recipes"),
)
SENT_ELSEWHERE = Kind(403, "sent_elsewhere", "The form was not sent from here")
TROUBLE = {
    BROKEN.code: "trouble.ours",
    UNAVAILABLE.code: "trouble.away",
    SENT_ELSEWHERE.code: "trouble.elsewhere",
    NOT_ALLOWED.code: "trouble.not_allowed",
    FROM_ELSEWHERE.code: "trouble.from_elsewhere",
    UNKNOWN_PATH.code: "trouble.unknown_path",
    "unknown_job": "trouble.unknown_job",
    "gone": "trouble.gone",
    "too_many": "trouble.too_many",
}


class Site:
    """Serves pages. ``media`` is the origin that links to files have."""

    def __init__(
        self,
        api: ApiApp,
        *,
        gate: Gate,
        zone: str,
        tongue: Tongue,
        media: str,
        answer_s: float,
        body_s: float,
        session_s: float,
        now: Clock,
    ) -> None:
        self._api = api
        self._gate = gate
        self._zone = ZoneInfo(zone)
        self._tongue: Tongue = tongue
        self._answer_s = answer_s
        self._body_s = body_s
        self._session_s = session_s
        self._now = now
        self._policy = "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                *(f"{what}-src 'self' {media}" for what in ("img", "media")),
                "connect-src 'self'",
                *("base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"),
            )
        )
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "seconds": looks.seconds,
            "bytes": looks.size,
            "share": looks.share,
            "exactly": looks.exactly,
        }

    def routes(self, pages: Sequence[At]) -> list[web.RouteDef]:
        return [
            *map(self._route, pages),
            web.get("/static/{file}", self._static),
            web.get(NOT_THE_API, self._api.served("page.nowhere", self._nowhere, self._trouble)),
        ]

    def _route(self, page: At) -> web.RouteDef:
        async def respond(request: web.Request) -> web.StreamResponse:
            return await self._shown(page, request)

        handle = self._api.served(f"page.{page.name}", respond, self._trouble)
        return web.get(page.path, handle) if page.method == "GET" else web.post(page.path, handle)

    async def _shown(self, page: At, request: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(self._answer_s):
            if page.method != "GET" and not is_ours(request.headers):
                raise Refused(SENT_ELSEWHERE, "the form was sent from a page of somebody else")
            if page.scope is None:
                asker = await self._whoever(request)
            else:
                try:
                    asker = await self._gate.let_in_to_pages(request, request.cookies.get(SESSION))
                except Refused as refused:
                    if refused.kind is not NO_TOKEN:
                        raise
                    return self._gone_to(request, Elsewhere(_login_before(request)))
                request[LET_IN] = asker
                if not asker.scope.includes(page.scope):
                    raise Refused(NOT_ALLOWED, f"{page.scope} is needed here")
            self._api.check_pace(request, asker)
            form: Mapping[str, str] = {}
            if page.method != "GET" and not page.files:
                form = await self._form(request)
        # What a page does is bounded by the page: one that takes a file may take longer.
        visit = Visit(request=request, asker=asker, tongue=self._tongue_of(request), form=form)
        async with asyncio.timeout(None if page.files else self._answer_s):
            if page.method == "GET" and page.scope is not None:
                async with self._api.in_turn(request, asker):
                    told = await page.show(visit)
            else:
                told = await page.show(visit)
        if isinstance(told, Elsewhere):
            return self._gone_to(request, told)
        warning = None
        if page.scope is not None:
            with suppress(DatabaseUnavailable, Transient):  # what the page says is worth more
                warning = await self._gate.warning()
        # A long page takes a tenth of a second to write: orders and streams go on meanwhile.
        return await asyncio.to_thread(self._page, visit, told, warning)

    async def _form(self, request: web.Request) -> dict[str, str]:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refused(FLAWED, "a form is application/x-www-form-urlencoded")
        data = await read_bytes(request, seconds=self._body_s, at_most=SHORT_BODY)
        try:
            fields = parse_qsl(
                data.decode(), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=100
            )
        except ValueError:
            raise Refused(FLAWED, "the form cannot be read") from None
        if len(dict(fields)) != len(fields) or "\x00" in "".join(map("".join, fields)):
            raise Refused(FLAWED, "the form has a field twice, or one with a NUL in it")
        return dict(fields)

    def _page(self, visit: Visit, page: Page, warning: str | None) -> web.Response:
        request = visit.request
        says = visit.say
        text = self._environment.get_template(page.template).render(
            **page.model,
            say=says,
            tell=visit.tell,
            tongue=visit.tongue,
            tongues=TONGUES,
            asker=visit.asker,
            may=visit.may,
            navigation=NAVIGATION,
            path=request.path,
            in_language=lambda tongue: _with(request, lang=tongue),
            refresh_s=page.refresh_s,
            warning=None if not warning else "frame.open" if warning == OPEN else "frame.no_token",
            said=_said(visit),
            zone=self._zone.key,
            when=lambda at: looks.when(at, self._zone),
            clock=lambda at: looks.clock(at, self._zone),
            in_words=lambda length: looks.in_words(length, says),
            span=lambda length: told_span(length)[visit.tongue],
            ago=lambda at: looks.ago(at, self._now(), self._zone, says),
            usually=lambda value: looks.usually(value, says),
            dollars=lambda value: looks.dollars(value, says),
            static=static_url,
        )
        response = web.Response(
            status=page.status,
            body=text.encode(errors="replace"),
            content_type="text/html",
            charset="utf-8",
        )
        chosen = request.query.get("lang")
        if chosen in TONGUES:
            self._set(request, response, TONGUE, str(chosen), A_YEAR_S)
        response.headers.update(self._headers())
        return response

    def _trouble(self, request: web.Request, refused: Refused) -> web.StreamResponse:
        asker = request.get(LET_IN, NOBODY)
        visit = Visit(request=request, asker=asker, tongue=self._tongue_of(request))
        kind = refused.kind
        told = TROUBLE.get(kind.code)
        away = kind is UNAVAILABLE and request.method == "GET"
        model = {"told": visit.say(told) if told else refused.detail, "status": kind.status}
        page = Page("trouble.html", model, kind.status, ASK_AGAIN_S if away else None)
        response = self._page(visit, page, None)
        if kind.retry_after is not None:
            response.headers["Retry-After"] = str(kind.retry_after)
        if not request.content.is_eof():
            response.force_close()  # what is left of the body is not worth reading
        return response

    def _gone_to(self, request: web.Request, there: Elsewhere) -> web.Response:
        path = there.path
        if there.said is not None:
            count = {} if there.count is None else {"count": str(there.count)}
            joint = "&" if "?" in path else "?"
            path += joint + urlencode({"said": there.said} | count)
        response = web.Response(status=303, headers={"Location": path, **self._headers()})
        for name, value in there.cookies.items():
            self._set(request, response, name, value, int(self._session_s) if value else 0)
        return response

    def _set(
        self, request: web.Request, response: web.Response, name: str, value: str, seconds: int
    ) -> None:
        # Where a proxy ends the encryption, it says so; who lies about it harms their own cookie.
        secure = request.secure or request.headers.get("X-Forwarded-Proto", "") == "https"
        response.set_cookie(
            name, value, max_age=seconds, httponly=True, samesite="Lax", secure=secure, path="/"
        )

    def _headers(self) -> dict[str, str]:
        return {
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Content-Security-Policy": self._policy,
        }

    def _tongue_of(self, request: web.Request) -> Tongue:
        return spoken(
            request.query.get("lang"),
            request.cookies.get(TONGUE),
            request.headers.get("Accept-Language", ""),
            self._tongue,
        )

    async def _whoever(self, request: web.Request) -> Asker:
        """Who looks at what everybody may see: for what stands around it alone."""
        with suppress(Refused, DatabaseUnavailable, Transient):
            return await self._gate.let_in_to_pages(request, request.cookies.get(SESSION))
        return NOBODY

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(self._answer_s):
            request[LET_IN] = await self._whoever(request)
        return self._trouble(request, Refused(UNKNOWN_PATH, "there is no such page"))

    async def _static(self, request: web.Request) -> web.StreamResponse:
        found = _files().get(request.match_info["file"])
        if found is None:
            return await self._nowhere(request)
        body, kind, _ = found
        return web.Response(
            body=body,
            content_type=kind,
            charset="utf-8",
            headers={
                "Cache-Control": f"public, max-age={A_YEAR_S}, immutable",
                "X-Content-Type-Options": "nosniff",
            },
        )


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """What stands beside the pages by its name: its bytes, its type, and what names this version."""
    found = {}
    for path in sorted((HERE / "static").iterdir()):
        data = path.read_bytes()
        found[path.name] = data, TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:12]
    return found


def static_url(name: str) -> str:
    """Where a file is that stands beside the pages; another version has another address."""
    return f"/static/{name}?v={_files()[name][2]}"


def _login_before(request: web.Request) -> str:
    path = request.path_qs if request.method == "GET" else "/"
    return f"/login?{urlencode({'next': path})}"


def place_of_ours(path: str | None) -> str:
    """``path`` where it is one of ours, else the overview: nobody is sent to another site."""
    if path is None or not path.startswith("/") or path.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or any(ord(letter) < 0x21 for letter in path):
        return "/"
    return quote(parts.path) + (f"?{parts.query}" if parts.query else "")


def _said(visit: Visit) -> str | None:
    """What a page that led here did: one of our sentences, and a number in it at the most."""
    query = visit.request.query
    said, count = query.get("said", ""), query.get("count", "")
    if not said.startswith("said.") or said not in WORDS:
        return None
    return visit.say(said, count=int(count) if SHORT_NUMBER.fullmatch(count) else 0)


def _with(request: web.Request, **also: str) -> str:
    once = ("said", "count")
    query = {name: value for name, value in request.query.items() if name not in once} | also
    return f"{quote(request.path)}?{urlencode(query)}"
