"""Logging in by a token, and out."""

from dataclasses import dataclass
from datetime import timedelta

from services.api.gate import Gate
from services.api.pages.site import SESSION, place_of_ours
from services.api.pages.visit import Elsewhere, Page, Visit
from services.api.problems import NO_TOKEN, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    gate: Gate
    lifetime: timedelta

    async def show(self, visit: Visit) -> Page | Elsewhere:
        needless = await self.gate.warning() is not None
        return self._asking(visit, needless=needless)

    async def enter(self, visit: Visit) -> Page | Elsewhere:
        try:
            ticket = await self.gate.log_in(
                visit.form.get("token", "").strip(), lifetime=self.lifetime
            )
        except Refused as refused:
            if refused.kind is not NO_TOKEN:
                raise
            return self._asking(visit, wrong=True, status=403)
        there = place_of_ours(visit.form.get("next"))
        return Elsewhere(there, said="said.logged_in", cookies={SESSION: ticket})

    async def leave(self, _visit: Visit) -> Page | Elsewhere:
        return Elsewhere("/login", said="said.logged_out", cookies={SESSION: ""})

    def _asking(
        self, visit: Visit, *, wrong: bool = False, needless: bool = False, status: int = 200
    ) -> Page:
        there = visit.form.get("next") or visit.request.query.get("next")
        return Page(
            "login.html",
            {"next": place_of_ours(there), "wrong": wrong, "needless": needless},
            status,
        )
