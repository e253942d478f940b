"""Jobs as they stand, read for answers and for events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.api.answers import JobLine, JobPage, JobStory, Standing
from services.api.gate import Asker, Gate
from services.api.links import Links
from services.api.problems import GONE, UNKNOWN_JOB, Refused
from services.api.view import (
    MOMENTS_SHOWN,
    Belongings,
    line,
    line_of_order,
    of_job,
    of_order,
    seen,
    shown_files,
    story,
    story_of_order,
)
from shared.db import artifacts, jobs, journal, listing, live, predictions, retention, spend
from shared.db.connection import Connection, Database
from shared.db.jobs import Wanted
from shared.db.listing import Listed, place_of
from shared.db.live import JobNow
from shared.domain import cursor
from shared.domain.beginning import digits_of
from shared.domain.cost import Bill
from shared.recipes.recipe import Recipe

# Of what somebody looks for by a word.
MOST_FOUND = 20


@dataclass(frozen=True, slots=True)
class Known:
    """How a job stands, and whether that is its last word."""

    standing: Standing
    over: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs that a word may mean; ``by_ref``: it is the publisher's own id of all of them."""

    jobs: tuple[UUID, ...]
    by_ref: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Reads; an order that nobody has planned yet is a job too."""

    database: Database
    recipes: Mapping[str, Recipe]
    links: Links
    gate: Gate

    async def story(self, asker: Asker, job_id: UUID) -> JobStory:
        """One job with all that belongs to it. Raises Refused where there is none."""
        ticket = self.gate.ticket(asker, job_id)
        async with self.database.connection() as db:
            now = await live.read(db, job_id)
            moments = await journal.timeline(db, job_id, limit=MOMENTS_SHOWN + 1)
            if now is None:
                order = await journal.order_of(db, job_id)
                if order is None or await retention.is_buried(db, job_id):
                    raise await _not_there(db, job_id)
                return story_of_order(order, moments, ticket=ticket)
            beside = Belongings(
                files=await artifacts.of_job(db, job_id),
                moments=moments,
                spend=await spend.of_job(db, job_id),
            )
        files = shown_files(beside)
        links, expire_at = await self.links.to([file.key for file in files])
        return story(seen(now, self.recipes), beside, links, expire_at=expire_at, ticket=ticket)

    async def page(self, wanted: Wanted, *, limit: int) -> JobPage:
        """The latest jobs that are wanted, and orders that are still to become one."""
        async with self.database.connection() as db:
            return self._page(await listing.latest(db, wanted, limit=limit))

    async def page_before(self, wanted: Wanted, *, limit: int) -> JobPage | None:
        """The page right in front of ``wanted.after``; None: there are not as many, so that it is the
        first."""
        async with self.database.connection() as db:
            listed = await listing.in_front(db, wanted, limit=limit)
        return None if listed is None else self._page(listed)

    async def bills(self, found: Sequence[JobLine]) -> dict[UUID, Bill]:
        """What was bought for them so far."""
        async with self.database.connection() as db:
            return await spend.of_jobs(db, [job.id for job in found if job.n])

    async def found(self, word: str) -> Found:
        """The jobs that somebody means by a word: by id, by how it begins, by the publisher's own id
        or by the id of one of its predictions. The latest first; a few of many."""
        digits = digits_of(word)
        async with self.database.connection() as db:
            if digits is not None:
                by_id = await jobs.beginning_with(db, digits, limit=MOST_FOUND)
                if by_id:
                    return Found(tuple(by_id))
            listed = await listing.latest(db, Wanted(external_ref=word), limit=MOST_FOUND)
            bought = None if listed.found else await predictions.by_prediction_id(db, word)
        if bought is not None:
            return Found((bought.job_id,))
        return Found(tuple(place_of(one)[1] for one in listed.found), by_ref=True)

    def _page(self, listed: Listed) -> JobPage:
        return JobPage(
            jobs=tuple(
                line(seen(one, self.recipes)) if isinstance(one, JobNow) else line_of_order(one)
                for one in listed.found
            ),
            next=None if listed.goes_on is None else cursor.written(listed.goes_on),
        )

    async def standings(self, job_ids: Sequence[UUID]) -> dict[UUID, Known]:
        """How those of the jobs stand that are known here."""
        async with self.database.connection() as db:
            known = {}
            for now in await live.several(db, job_ids):
                told = seen(now, self.recipes)
                known[now.job.id] = Known(of_job(told), told.live.over)
            for job_id in job_ids:
                if job_id in known or await retention.is_buried(db, job_id):
                    continue
                if order := await journal.order_of(db, job_id):
                    known[job_id] = Known(of_order(order), over=False)
        return known

    async def why_unknown(self, job_id: UUID) -> Refused:
        """What is said of a job that is not here."""
        async with self.database.connection() as db:
            return await _not_there(db, job_id)


async def _not_there(db: Connection, job_id: UUID) -> Refused:
    if await retention.is_buried(db, job_id):
        return Refused(GONE, f"job {job_id} was deleted after its retention")
    return Refused(UNKNOWN_JOB, f"no job {job_id} is known here")
