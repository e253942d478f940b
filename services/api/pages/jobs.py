"""The latest jobs, and those that fit a filter."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from services.api.answers import JobLine, JobPage
from services.api.asked import WhichJobs, query_of
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.problems import FLAWED, Refused
from services.api.reading import Found, Reading
from shared.db.jobs import Wanted
from shared.domain import cursor
from shared.domain.job import JobState

OWN_WORDS = frozenset({"lang", "said"})
# What leads elsewhere, or only says where in the list we are.
NOT_FILTERS = OWN_WORDS | {"cursor", "newer", "find"}
LONGEST_WORD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    reading: Reading

    async def show(self, visit: Visit) -> Page | Elsewhere:
        query = visit.request.query
        which = query_of(WhichJobs, visit.request, beside=OWN_WORDS | {"newer", "find"}, blank=True)
        word = query.get("find", "").strip()
        missed = None
        if word:
            found = await self._found(word)
            if len(found.jobs) == 1:
                return Elsewhere(f"/jobs/{found.jobs[0]}")
            if found.jobs and found.by_ref:
                return Elsewhere(_link({"external_ref": word}))
            missed = "jobs.find.several" if found.jobs else "jobs.find.missed"
        filters = {
            name: value for name, value in query.items() if value and name not in NOT_FILTERS
        }
        page, is_first = await self._page(which, query.get("newer", ""))
        newer = None
        if not is_first and page.jobs:
            first = page.jobs[0]
            newer = filters | {"newer": cursor.written((first.created_at, first.id))}
        return Page(
            "jobs.html",
            {
                "jobs": page.jobs,
                "which": which,
                "states": tuple(JobState),
                "recipes": self.reading.recipes,
                "filtered": bool(filters),
                "word": word,
                "missed": missed,
                "bills": await self.reading.bills(page.jobs),
                "took": {job.id: took(job) for job in page.jobs},
                "latest": None if is_first else _link(filters),
                "newer": newer and _link(newer),
                "older": page.next and _link(filters | {"cursor": page.next}),
            },
            refresh_s=10,
        )

    async def _found(self, word: str) -> Found:
        if len(word) > LONGEST_WORD or "\0" in word:
            raise Refused(FLAWED, f"find: may have {LONGEST_WORD} characters at most")
        return await self.reading.found(word)

    async def _page(self, which: WhichJobs, newer: str) -> tuple[JobPage, bool]:
        """The page that is asked for, and whether it is the first."""
        wanted = Wanted(
            state=which.state,
            recipe=which.recipe,
            external_ref=which.external_ref,
            since=which.since,
        )
        if newer:
            try:
                after = cursor.read(newer)
            except ValueError as error:
                raise Refused(FLAWED, f"newer: {error}") from None
            page = await self.reading.page_before(replace(wanted, after=after), limit=which.limit)
            if page is not None:
                return page, False
        elif which.cursor:
            behind = replace(wanted, before=cursor.read(which.cursor))
            return await self.reading.page(behind, limit=which.limit), False
        return await self.reading.page(wanted, limit=which.limit), True


def took(job: JobLine) -> float | None:
    """Seconds from the order to the end; None: it has not ended."""
    return None if job.ended_at is None else (job.ended_at - job.created_at).total_seconds()


def _link(query: Mapping[str, str]) -> str:
    return f"/jobs?{urlencode(query)}" if query else "/jobs"
