"""How the installation stands, for whoever looks after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.api.asked import Lately, query_of
from services.api.pages.jobs import OWN_WORDS
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.pages.words import WORDS
from services.api.reading import Reading
from shared.db.jobs import Wanted
from shared.domain.overview import (
    CONCERNS,
    RUNBOOK,
    WAITING_FOR,
    Backlog,
    Concern,
    Overview,
    RecipeMoney,
)
from shared.overview import Overviews

# Of these files, money or jobs are about to be lost; the others can wait for the morning.
NOW = frozenset(
    {
        Concern.LOST,
        Concern.LOSS,
        Concern.PAUSED,
        Concern.UNHEARD,
        Concern.BROKER,
        Concern.ASKED,
        Concern.SAYING,
    }
)
SPANS = (900, 3600, 86_400)  # seconds
REFRESH_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """``runbook`` is where the runbook can be read; None: in the repository only."""

    overviews: Overviews
    reading: Reading
    runbook: str | None

    async def show(self, visit: Visit) -> Page | Elsewhere:
        lately = query_of(Lately, visit.request, beside=OWN_WORDS)
        told = await self.overviews.read(lately=timedelta(seconds=lately.seconds))
        concerns = told.concerns
        return Page(
            "overview.html",
            {
                "told": told,
                "concerns": concerns,
                "words": CONCERNS,
                "runbook": {one: self._page_of(one) for one in concerns},
                "urgent": any(one in NOW for one in concerns),
                "waiting_for": WAITING_FOR,
                "places": PLACES,
                "recipes": self.reading.recipes,
                "spans": SPANS,
                "used": {one.recipe: used(one) for one in told.money.recipes},
                "asked_share": asked_share(told),
                "knows": WORDS.__contains__,
                "is_new": not concerns and await self._is_new(told),
            },
            refresh_s=REFRESH_S,
        )

    def _page_of(self, concern: Concern) -> tuple[str, str | None]:
        """The name of its page, and where that is."""
        name = RUNBOOK[concern]
        return name, None if self.runbook is None else f"{self.runbook}/{name}.md"

    async def _is_new(self, told: Overview) -> bool:
        """Whether nothing was ever ordered here. Asked only where nothing else tells."""
        if told.webhooks.last_at or told.open_jobs.count or told.money.recipes:
            return False
        if told.ended.share_completed is not None or told.backlog[Backlog.PLAN].count:
            return False
        return not (await self.reading.page(Wanted(), limit=1)).jobs


# Where the jobs are that wait at a stage, where a list of ours shows them.
PLACES: Mapping[Backlog, str] = {
    Backlog.PLAN: "/jobs?state=pending",
    Backlog.BUY: "/jobs?state=pending",
}


def asked_share(told: Overview) -> float | None:
    """The share of the news that only a question at the provider brought; None: there was none."""
    news = told.webhooks.taken + told.webhooks.asked
    return told.webhooks.asked / news if news else None


def used(one: RecipeMoney) -> float | None:
    """How much of its cap a recipe has used up today, of 1; None: it has none."""
    if one.cap is None:
        return None
    if one.cap.cap_micros == 0:
        return 1.0
    return min(1.0, one.cap.counted_micros / one.cap.cap_micros)
