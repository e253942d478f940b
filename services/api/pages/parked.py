"""Messages that wait: what failed when, and an operator's word that brings them back or throws them
away."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import structlog
from pydantic import AwareDatetime, Field

from services.api.asked import PLAIN, form_of, query_of
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.pages.words import WORDS
from services.api.problems import FLAWED, GONE, UNKNOWN_PATH, Refused
from shared.archived import BEHIND, laid_out
from shared.clock import Clock
from shared.db import parked, server_clock
from shared.db.connection import Connection, Database
from shared.db.parked import ParkedMessage, Which
from shared.observability import redacted, redacted_header

log = structlog.get_logger()

SHOWN = 50
BODY_SHOWN = 32 * 1024  # characters of body and trace
OWN_WORDS = frozenset({"lang", "said", "count"})
WAITING, DEAD = "waiting", "dead"

Do = Callable[[Connection, Which], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichParked:
    """What a list is of; every filter that is given must fit. ``id`` is one message; ``until`` is
    when whoever does something looked at what it is done to: what is parked later is not meant."""

    state: Literal["waiting", "dead"] | None = None
    queue: Annotated[str, Field(max_length=200, pattern=PLAIN)] | None = None
    type: Annotated[str, Field(max_length=200, pattern=PLAIN)] | None = None
    reason: Annotated[str, Field(max_length=200, pattern=PLAIN)] | None = None
    job: UUID | None = None
    id: UUID | None = None
    until: AwareDatetime | None = None

    @property
    def meant(self) -> Which:
        return Which(
            dead=None if self.state is None else self.state == DEAD,
            queue=self.queue,
            type=self.type,
            reason=self.reason,
            job=self.job,
            named=None if self.id is None else [str(self.id)],
            until=self.until,
        )

    @property
    def fields(self) -> dict[str, str]:
        """As a query or a form has it."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}

    def path(self, page: str) -> str:
        return f"{page}?{urlencode(self.fields)}" if self.fields else page


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One message: what it says, and what became of it so far. ``job`` None: it is about none."""

    message: ParkedMessage
    words: str
    job: UUID | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parking:
    database: Database
    now: Clock

    async def show(self, visit: Visit) -> Page | Elsewhere:
        which = query_of(WhichParked, visit.request, beside=OWN_WORDS, blank=True)
        async with self.database.connection() as db:
            found = await parked.told(db, which.meant, limit=SHOWN, body_at_most=0)
            all_of_them = await parked.how_many(db, which.meant)
            counts = await parked.counts(db)
        return Page(
            "parked.html",
            {
                "which": which,
                "stories": [_story(visit, message) for message in found],
                "fit": all_of_them,
                "more": all_of_them - len(found),
                "counts": counts,
                "states": (DEAD, WAITING),
                "bring_back": which.path("/parked/replay"),
                "discard": which.path("/parked/discard"),
                "until": lambda at: (at - self.now()).total_seconds(),
            },
            refresh_s=10,
        )

    async def story(self, visit: Visit) -> Page | Elsewhere:
        """One message with all that is kept of it."""
        message_id = _id_of(visit)
        async with self.database.connection() as db:
            found = await parked.told(
                db,
                Which(named=[str(message_id)]),
                limit=1,
                body_at_most=BODY_SHOWN + BEHIND,
            )
            if not found:
                raise Refused(GONE, "it is not parked any more")
            [message] = found
            before = await parked.before(db, message)
        body, cut = laid_out(message.body, at_most=BODY_SHOWN)
        return Page(
            "parked_one.html",
            {
                "story": _story(visit, message),
                "before": before,
                "headers": [
                    (name, redacted_header(name, value))
                    for name, value in sorted(message.headers.items())
                ],
                "stack": redacted(message.trace or "")[:BODY_SHOWN],
                "body": body,
                "cut": cut,
                "until": lambda at: (at - self.now()).total_seconds(),
            },
        )

    async def sure_to_replay(self, visit: Visit) -> Page | Elsewhere:
        return await self._sure(visit, "replay")

    async def sure_to_discard(self, visit: Visit) -> Page | Elsewhere:
        return await self._sure(visit, "discard")

    async def replay(self, visit: Visit) -> Page | Elsewhere:
        return await self._done(visit, "replay", parked.bring_back)

    async def discard(self, visit: Visit) -> Page | Elsewhere:
        return await self._done(visit, "discard", parked.discard)

    async def _sure(self, visit: Visit, what: str) -> Page | Elsewhere:
        """How many it would be, and of what, before anything is done."""
        which = query_of(WhichParked, visit.request, beside=OWN_WORDS, blank=True)
        async with self.database.connection() as db:
            # What is parked from now on was not looked at.
            which = replace(which, until=await server_clock.read(db))
            kinds = await parked.kinds(db, which.meant)
        all_of_them = replace(which, until=None, id=None).path("/parked")
        if not kinds:
            return Elsewhere(all_of_them, said="said.none_fits")
        return Page(
            "sure_parked.html",
            {
                "what": what,
                "fields": which.fields,
                "kinds": [(kind, _fact(visit, kind.type), _line(kind.reason)) for kind in kinds],
                "count": sum(kind.count for kind in kinds),
                "back": all_of_them if which.id is None else f"/parked/{which.id}",
            },
        )

    async def _done(self, visit: Visit, what: str, do: Do) -> Page | Elsewhere:
        which = form_of(WhichParked, visit.form)
        if which.until is None:
            raise Refused(
                FLAWED, "until: is missing; the page that asks whether one is sure sets it"
            )
        async with self.database.transaction() as tx:
            count = await do(tx, which.meant)
        log.info(f"parked.{what}", by=visit.asker.name or None, count=count, **which.fields)
        back = replace(which, until=None, id=None).path("/parked")
        return Elsewhere(back, said=f"said.{what}" if count else "said.none_fits", count=count)


def _story(visit: Visit, message: ParkedMessage) -> Story:
    return Story(
        message=message,
        words=_fact(visit, message.type),
        job=_job_of(message.subject),
        reason=redacted(message.reason),
    )


def _fact(visit: Visit, fact_type: str) -> str:
    key = f"fact.{fact_type}"
    return visit.say(key) if key in WORDS else fact_type


def _line(text: str) -> str:
    return redacted(text).replace("\n", " ")[:300]


def _job_of(subject: str | None) -> UUID | None:
    try:
        return UUID(subject) if subject else None
    except ValueError:
        return None  # another team's subject is its own affair


def _id_of(visit: Visit) -> UUID:
    try:
        return UUID(visit.request.match_info["message_id"])
    except ValueError:
        raise Refused(UNKNOWN_PATH, "the path names no message: its id is a uuid") from None
