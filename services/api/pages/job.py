"""One job, for whoever is asked what became of it: how it stands, its files, where its time went, and
all that is on record of it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import Field

from services.api.answers import File, JobStory, SlotLine, TimelineEntry
from services.api.asked import KEY_PATTERN, Wish, form_of, job_id_of, uuid_of
from services.api.orders import Orders
from services.api.pages.drawing import Drawing, drawing
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.pages.words import WORDS
from services.api.problems import HAS_ENDED, STILL_OPEN, UNKNOWN_JOB, Refused
from services.api.reading import Reading
from shared.archived import BEHIND, laid_out, received_at
from shared.clock import utc_now
from shared.db import jobs, journal, parked, spared, spend, times
from shared.db.connection import Connection, Database
from shared.db.jobs import Job
from shared.db.journal import Kept
from shared.db.parked import OfJob
from shared.domain.beginning import digits_of
from shared.domain.cost import Bill
from shared.domain.slot import CLOSED
from shared.domain.spared import Spared
from shared.domain.times import JobTimes
from shared.domain.token import Scope
from shared.domain.trace import trace_id
from shared.domain.waterfall import waterfall
from shared.observability import redacted, redacted_header
from shared.recipes.standing import typical_of

# Of long lists so much stands open, and so much is there at all; the rest is told by the API.
AT_ONCE = 20
SLOTS_SHOWN = 200
PICTURES_AT_ONCE = 24
WEBHOOKS_SHOWN = 40
BODY_SHOWN = 16 * 1024  # characters of one webhook
TILES = 24  # places that are kept for what is still made
# Of a job that lives, where there is no script.
ASK_AGAIN_S = 5
SHOWN_AS = {"image": "image", "audio": "audio", "video": "video"}


@dataclass(frozen=True, slots=True)
class Key:
    """A form that is sent twice orders once."""

    key: Annotated[str, Field(pattern=KEY_PATTERN)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A file as it is shown: ``shown_as`` image, audio, video, or "" for a link. ``alt`` says what
    it is to who does not see it."""

    file: File
    shown_as: str
    name: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One fact of the timeline, or ``times`` of the same that follow each other. ``became`` is what
    hearing it did."""

    at: datetime
    words: str
    type: str
    source: str
    ordinal: int | None
    became: str
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One body as it came, without what opens something. ``body`` None: past its retention."""

    id: str
    at: datetime
    words: str
    asked: bool
    verdict: str
    ordinal: int | None
    headers: Sequence[tuple[str, str]]
    size: int | None
    body: str | None
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the page shows beside what the API tells of a job; None where nobody planned it yet.
    ``spared`` is what canceling it came to, once it has ended; None where nothing was.
    ``parked`` and ``webhooks`` are for operators."""

    job: Job | None
    times: JobTimes | None
    bill: Bill
    spared: Spared | None
    retries: Sequence[UUID]
    parked: OfJob | None
    webhooks: Sequence[Kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneJob:
    reading: Reading
    orders: Orders
    database: Database

    async def show(self, visit: Visit) -> Page | Elsewhere:
        named = visit.request.match_info["job_id"]
        digits = digits_of(named)
        if digits is not None and uuid_of(named) is None:
            return await self._begins_with(digits)
        job_id = job_id_of(visit.request)
        story = await self.reading.story(visit.asker, job_id)
        beside = await self._beside(job_id, operates=visit.may(Scope.OPERATE))
        lives = story.progress < 1
        pairs = _pairs(visit, story)
        in_pairs = {piece.file.key for pair in pairs for piece in pair}
        pieces = [
            _piece(visit, file, story)
            for file in story.artifacts
            if file.kind != "report" and file.key not in in_pairs
        ]
        return Page(
            "job.html",
            {
                "job": story,
                "beside": beside,
                "recipe": self.reading.recipes.get(story.recipe),
                "lives": lives,
                "ended": story.ended_at is not None,
                "pairs": pairs,
                "pieces": pieces[:PICTURES_AT_ONCE],
                "pieces_folded": pieces[PICTURES_AT_ONCE:],
                "tiles": _tiles(story),
                "drawing": None
                if beside.times is None
                else await asyncio.to_thread(_drawn, beside.times),
                "slots": story.slots[:AT_ONCE],
                "slots_folded": story.slots[AT_ONCE:SLOTS_SHOWN],
                "slots_more": max(story.n - SLOTS_SHOWN, 0),
                "timeline": _timeline(visit, story.timeline),
                "at_once": AT_ONCE,
                "webhooks_shown": WEBHOOKS_SHOWN,
                "webhooks": [_webhook(visit, kept) for kept in beside.webhooks],
                "trace": trace_id(beside.job.traceparent)
                if beside.job and beside.job.traceparent
                else None,
                "params": _pretty(story.params),
                "metadata": _pretty(story.metadata),
            },
            refresh_s=ASK_AGAIN_S if lives else None,
        )

    async def sure_to_cancel(self, visit: Visit) -> Page | Elsewhere:
        """What canceling would do, and the button that does it."""
        job_id = job_id_of(visit.request)
        story = await self.reading.story(visit.asker, job_id)
        if story.ended_at is not None:
            return Elsewhere(f"/jobs/{job_id}", said="said.had_ended")
        return Page("sure_cancel.html", {"job": story, "title": self._title(visit, story)})

    async def cancel(self, visit: Visit) -> Page | Elsewhere:
        job_id = job_id_of(visit.request)
        wish = form_of(Wish, visit.form)
        try:
            await self.orders.cancel(job_id, wish.reason)
        except Refused as refused:
            if refused.kind is not HAS_ENDED:
                raise
            return Elsewhere(f"/jobs/{job_id}", said="said.had_ended")
        return Elsewhere(f"/jobs/{job_id}", said="said.canceling")

    async def sure_to_retry(self, visit: Visit) -> Page | Elsewhere:
        """What ordering it once more would do, and the button that does it."""
        job_id = job_id_of(visit.request)
        story = await self.reading.story(visit.asker, job_id)
        if story.ended_at is None:
            return Elsewhere(f"/jobs/{job_id}", said="said.still_open")
        model = {"job": story, "title": self._title(visit, story), "key": uuid4().hex}
        return Page("sure_retry.html", model)

    async def retry(self, visit: Visit) -> Page | Elsewhere:
        job_id = job_id_of(visit.request)
        key = form_of(Key, visit.form).key
        try:
            placed = await self.orders.retry(visit.asker.name, key, job_id)
        except Refused as refused:
            if refused.kind is not STILL_OPEN:
                raise
            return Elsewhere(f"/jobs/{job_id}", said="said.still_open")
        return Elsewhere(f"/jobs/{placed.ordered.id}", said="said.ordered_again")

    async def _begins_with(self, digits: str) -> Elsewhere:
        """The page of the one job whose id begins so, as commands and lists write it."""
        async with self.database.connection() as db:
            found = await jobs.beginning_with(db, digits, limit=2)
        if len(found) != 1:
            raise Refused(UNKNOWN_JOB, "no job, or more than one, has an id that begins so")
        return Elsewhere(f"/jobs/{found[0]}")

    def _title(self, visit: Visit, story: JobStory) -> str:
        recipe = self.reading.recipes.get(story.recipe)
        return story.recipe if recipe is None else recipe.title[visit.tongue]

    async def _beside(self, job_id: UUID, *, operates: bool) -> Beside:
        async with self.database.connection() as db:
            job = await jobs.get(db, job_id)
            return Beside(
                job=job,
                times=await times.read(db, job_id),
                bill=await spend.bill_of_job(db, job_id),
                spared=await self._spared(db, job),
                retries=await jobs.retries(db, job_id),
                parked=await parked.of_job(db, job_id) if operates else None,
                webhooks=await journal.archive(
                    db, job_id, limit=WEBHOOKS_SHOWN + 1, at_most=BODY_SHOWN + BEHIND
                )
                if operates
                else (),
            )

    async def _spared(self, db: Connection, job: Job | None) -> Spared | None:
        if job is None or job.is_open or not job.canceled:
            return None
        typical = typical_of(self.reading.recipes.get(job.recipe))
        told = await spared.by_the_end_of(db, job.id, typical=typical, now=utc_now())
        return told if told.not_bought or told.stopped else None


def _drawn(known: JobTimes) -> Drawing | None:
    return drawing(waterfall(known), over=known.ended_at is not None)


def _pairs(visit: Visit, story: JobStory) -> list[tuple[Piece, Piece]]:
    """Pictures beside their quantised ones, best first."""
    by_url = {file.url: file for file in story.artifacts}
    return [
        (
            _piece(visit, by_url[one.original_url], story),
            _piece(visit, by_url[one.quantized_url], story),
        )
        for one in story.concepts or ()
    ]


def _piece(visit: Visit, file: File, story: JobStory) -> Piece:
    shown_as = SHOWN_AS.get(file.content_type.partition("/")[0], "")
    name = _name(visit, file, story)
    recipe = story.external_ref or str(story.id)[:8]
    return Piece(
        file=file,
        shown_as=shown_as,
        name=name,
        alt=visit.say("job.alt", name=name, job=recipe),
    )


def _name(visit: Visit, file: File, story: JobStory) -> str:
    if file.kind == "original":
        return visit.say("job.file.original")
    key = f"job.file.{file.kind}.{file.variant}"
    what = visit.say(key if key in WORDS else f"job.file.{file.kind}")
    several = sum(
        one.kind == file.kind and one.ordinal == file.ordinal and one.variant == file.variant
        for one in story.artifacts
    )
    place = []
    if file.ordinal is not None and story.n > 1:
        place.append(str(file.ordinal))
    if several > 1:
        place.append(str(file.index + 1))
    return f"{what} {'.'.join(place)}".strip()


def _tiles(story: JobStory) -> Sequence[SlotLine]:
    """The slots of which something may still come."""
    if story.ended_at is not None:
        return ()
    return [slot for slot in story.slots if slot.state not in CLOSED][:TILES]


def _timeline(visit: Visit, entries: Sequence[TimelineEntry]) -> list[Line]:
    lines: list[Line] = []
    for line in (_line(visit, entry) for entry in entries):
        if lines and replace(lines[-1], at=line.at, times=1) == line:
            lines[-1] = replace(lines[-1], times=lines[-1].times + 1)
        else:
            lines.append(line)
    return lines


def _line(visit: Visit, entry: TimelineEntry) -> Line:
    return Line(
        at=entry.at,
        words=entry.words[visit.tongue] if entry.words else _fact(visit, entry.type),
        type=entry.type,
        source=entry.source.removeprefix("darkroom/"),
        ordinal=entry.ordinal,
        became=_became(visit, entry.outcome) or "",
    )


def _fact(visit: Visit, fact_type: str) -> str:
    """What a fact says to people; of a later release its type."""
    key = f"fact.{fact_type}"
    return visit.say(key) if key in WORDS else fact_type


def _became(visit: Visit, outcome: str | None) -> str | None:
    key = f"became.{outcome}"
    return visit.say(key) if key in WORDS else outcome


def _webhook(visit: Visit, kept: Kept) -> Webhook:
    body, cut = (None, False) if kept.begins is None else laid_out(kept.begins, at_most=BODY_SHOWN)
    return Webhook(
        id=kept.event_id,
        at=received_at(kept.headers, kept.recorded_at),
        words=_fact(visit, kept.type),
        asked=kept.origin == "reconciler",
        verdict=_became(visit, kept.outcome) or visit.say("job.unheard"),
        ordinal=kept.ordinal,
        headers=[
            (name, redacted_header(name, value)) for name, value in sorted(kept.headers.items())
        ],
        size=kept.size,
        body=body,
        cut=cut,
    )


def _pretty(what: dict[str, Any]) -> str:
    return redacted(json.dumps(what, ensure_ascii=False, indent=2)) if what else ""
