"""The latest jobs, and those that fit a filter."""

from dataclasses import dataclass
from urllib.parse import urlencode

from services.api.asked import WhichJobs, query_of
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.reading import Reading
from shared.db.jobs import Wanted
from shared.domain import cursor
from shared.domain.job import JobState

OWN_WORDS = frozenset({"lang", "said"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    reading: Reading

    async def show(self, visit: Visit) -> Page | Elsewhere:
        which = query_of(WhichJobs, visit.request, beside=OWN_WORDS, blank=True)
        page = await self.reading.page(
            Wanted(
                state=which.state,
                recipe=which.recipe,
                external_ref=which.external_ref,
                since=which.since,
                before=None if which.cursor is None else cursor.read(which.cursor),
            ),
            limit=which.limit,
        )
        filters = {
            name: value
            for name, value in visit.request.query.items()
            if value and name not in OWN_WORDS and name != "cursor"
        }
        return Page(
            "jobs.html",
            {
                "jobs": page.jobs,
                "which": which,
                "states": tuple(JobState),
                "recipes": self.reading.recipes,
                "older": page.next and f"/jobs?{urlencode(filters | {'cursor': page.next})}",
            },
            refresh_s=10,
        )
