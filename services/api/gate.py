"""Who asks, and what they may: by token, or by being this very machine where there is no token."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from aiohttp import web

from services.api import tickets
from services.api.cors import allows
from services.api.near import why_not_near
from services.api.problems import FROM_ELSEWHERE, NO_TOKEN, NOT_ALLOWED, Refused
from shared.clock import Clock
from shared.db import tokens
from shared.db.connection import Database
from shared.db.tokens import Token
from shared.domain.token import SHAPE, Scope, kept
from shared.errors import DatabaseUnavailable, Transient

log = structlog.get_logger()

# A token that is revoked opens nothing any more after so long, on every instance.
BELIEVED_S = 2.0
# A token that we do not know may be a new one; so often at the most we look.
LOOKED_FOR_S = 0.25
# So often we look also where nobody asks: by what we know then, streams that are open go on.
LOOK_AGAIN_S = 10.0

WITHOUT_TOKENS = (
    "no token is set: only programs on this machine are served;"
    " `darkroom tokens create NAME --scope write` makes one"
)
OPEN = "API_OPEN is set: everybody who comes is served, without any token"

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="darkroom"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks: a token's name, or nobody's where none is needed. ``kept`` is what is stored of the
    token. ``until``, in Unix seconds, is when they are let in no longer; None: as long as the token
    opens."""

    name: str
    scope: Scope
    kept: bytes | None = None
    until: int | None = None


ANYBODY = Asker(name="", scope=Scope.OPERATE)
# Whom a page is shown to that tells nothing: nobody was let in for it.
NOBODY = Asker(name="", scope=Scope.READ)


class Gate:
    """Lets in by what the table of tokens said a moment ago."""

    def __init__(
        self,
        database: Database,
        *,
        opened: bool,
        origins: Collection[str],
        now: Clock,
        link_lifetime: timedelta,
    ) -> None:
        self._database = database
        self._opened = opened
        self._origins = origins
        self._now = now
        self._lifetime = link_lifetime
        self._known: dict[bytes, Token] = {}
        self._by_name: dict[str, Token] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._noting: set[asyncio.Task[None]] = set()
        self._noted: dict[str, float] = {}

    async def warning(self) -> str | None:
        """What people must know about who is let in; None: only tokens open. Raises
        DatabaseUnavailable."""
        if self._opened:
            return OPEN
        await self._refresh(BELIEVED_S)
        return None if self._known else WITHOUT_TOKENS

    async def worker(self, stop: asyncio.Event) -> None:
        """Know of tokens what was true a moment ago, and say in the log whenever strangers, or only
        this machine, begin to be let in; until we are stopped."""
        told = None
        while not stop.is_set():
            with suppress(DatabaseUnavailable, Transient):
                warning = await self.warning()
                if warning is not None and warning != told:
                    log.warning("api.unguarded", warning=warning)
                told = warning
                await self._refresh(BELIEVED_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await stop.wait()

    def still_lets_in(self, asker: Asker) -> bool:
        """Whether somebody who was let in would be now, by what is known of tokens: nobody is asked,
        so that a thousand streams cost nothing. While the database is away what was known stands;
        nothing new is told meanwhile either."""
        if asker.until is not None and self._now().timestamp() >= asker.until:
            return False
        if asker.kept is None:
            return self._opened or not self._known
        token = self._known.get(asker.kept)
        return token is not None and token.revoked_at is None

    async def let_in(self, request: web.Request, wanted: Scope) -> Asker:
        """Raises Refused where the request has no token that opens ``wanted``, and
        DatabaseUnavailable where nobody can tell."""
        asker = await self._asker(request)
        if not asker.scope.includes(wanted):
            raise Refused(
                NOT_ALLOWED, f"this token opens {asker.scope}, and {wanted} is needed here"
            )
        return asker

    async def let_in_to_events(self, request: web.Request, job_id: UUID) -> Asker:
        """The same for one job's events, which a ticket opens too."""
        ticket = request.query.get(tickets.PARAMETER)
        if ticket is None:
            return await self.let_in(request, Scope.READ)
        by_api = await self._behind(ticket, tickets.events_of(job_id))
        if by_api is not None:
            return replace(by_api, scope=Scope.READ, until=None)
        by_page = await self._behind(ticket, tickets.visit_of(job_id))
        if by_page is not None:
            return replace(by_page, scope=Scope.READ)
        raise Refused(NO_TOKEN, "the ticket opens nothing here, or no longer", headers=CHALLENGE)

    async def let_in_to_pages(self, request: web.Request, ticket: str | None) -> Asker:
        """Who looks at pages, by the ticket that ``log_in`` gave them. Raises Refused (NO_TOKEN where
        logging in would help) and DatabaseUnavailable."""
        asker = None if ticket is None else await self._behind(ticket, tickets.PAGES)
        if asker is not None:
            return asker
        return await self._without_a_token(request)

    async def log_in(self, word: str, *, lifetime: timedelta) -> str:
        """A ticket that opens the pages to whoever has the token ``word``. Raises Refused."""
        asker = await self._by_word(word)
        if asker.kept is None:
            raise RuntimeError("a token is known by what is kept of it")
        return tickets.made(
            asker.name, asker.kept, tickets.PAGES, now=self._now(), lifetime=lifetime
        )

    def ticket(self, asker: Asker, job_id: UUID) -> str | None:
        """A ticket for the events of a job; None: whoever asks needs none."""
        if asker.kept is None:
            return None
        what, now, lifetime = tickets.events_of(job_id), self._now(), self._lifetime
        if asker.until is not None:
            what = tickets.visit_of(job_id)
            lifetime = min(lifetime, timedelta(seconds=asker.until - now.timestamp()))
        return tickets.made(asker.name, asker.kept, what, now=now, lifetime=lifetime)

    async def _behind(self, ticket: str, what: str) -> Asker | None:
        """Whoever the ticket was made for, until its end, where it opens ``what``."""
        await self._refresh(BELIEVED_S)
        claim = tickets.read(ticket)
        token = self._by_name.get(claim.name) if claim else None
        if claim is None or token is None or token.revoked_at is not None:
            return None
        if not tickets.opens(claim, token.sha256, what, now=self._now()):
            return None
        return Asker(name=token.name, scope=token.scope, kept=token.sha256, until=claim.until)

    async def _asker(self, request: web.Request) -> Asker:
        given = request.headers.getall("Authorization", [])
        if len(given) > 1:
            # Somebody on the way may have looked at another one than we would.
            raise Refused(NO_TOKEN, "send one Authorization header", headers=CHALLENGE)
        scheme, _, word = "".join(given).partition(" ")
        word = word.strip()
        if word and scheme.lower() == "bearer":
            return await self._by_word(word)
        return await self._without_a_token(request)

    async def _without_a_token(self, request: web.Request) -> Asker:
        if self._opened:
            if _is_of_another_site(request, self._origins):
                raise Refused(FROM_ELSEWHERE, "the request comes from a page of somebody else")
            return ANYBODY
        await self._refresh(BELIEVED_S)
        if self._known:
            raise Refused(NO_TOKEN, "send it as Authorization: Bearer dk_…", headers=CHALLENGE)
        peer = request.transport.get_extra_info("peername") if request.transport else None
        why = why_not_near(peer[0] if peer else None, request.headers, self._origins)
        if why is not None:
            raise Refused(FROM_ELSEWHERE, f"{why}, and no token is set here")
        return ANYBODY

    async def _by_word(self, word: str) -> Asker:
        if SHAPE.fullmatch(word) is None:
            raise Refused(NO_TOKEN, "that is no token of ours", headers=CHALLENGE)
        hashed = kept(word)
        await self._refresh(BELIEVED_S)
        if hashed not in self._known:
            # It may be newer than what we know. Whoever guesses waits as well.
            age = asyncio.get_running_loop().time() - self._read_at
            await asyncio.sleep(max(0.0, LOOKED_FOR_S - age))
            await self._refresh(LOOKED_FOR_S)
        token = self._known.get(hashed)
        if token is None or token.revoked_at is not None:
            raise Refused(NO_TOKEN, "this token opens nothing here", headers=CHALLENGE)
        self._note_use(token.name)
        return Asker(name=token.name, scope=token.scope, kept=token.sha256)

    async def _refresh(self, older_than_s: float) -> None:
        if self._is_fresh(older_than_s):
            return
        async with self._reading:
            if self._is_fresh(older_than_s):
                return  # somebody else read it while we waited
            began = asyncio.get_running_loop().time()
            async with self._database.connection() as db:
                found = await tokens.listing(db)
            self._known = {token.sha256: token for token in found}
            self._by_name = {token.name: token for token in found}
            self._read_at = began

    def _is_fresh(self, older_than_s: float) -> bool:
        return asyncio.get_running_loop().time() - self._read_at < older_than_s

    def _note_use(self, name: str) -> None:
        """Have the use of a token noted, now and then, without anybody waiting for it."""
        now = asyncio.get_running_loop().time()
        if now - self._noted.get(name, float("-inf")) < 600:
            return
        self._noted[name] = now
        noting = asyncio.create_task(self._note(name))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)

    async def _note(self, name: str) -> None:
        try:
            async with self._database.connection() as db:
                await tokens.note_use(db, name)
        except (DatabaseUnavailable, Transient) as error:
            log.info("token.use_not_noted", reason=str(error))


def _is_of_another_site(request: web.Request, allowed: Collection[str]) -> bool:
    """Whether somebody else's page would act here by the browser of one who only visits it: some
    requests browsers send for any page without asking first."""
    acts = request.method not in ("GET", "HEAD")
    elsewhere = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    return acts and elsewhere and not allows(request.headers.get("Origin"), allowed)
