"""Why a job waits, and which command tells more of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from services.cli.job_words import Labels
from services.cli.live import View
from shared.db import parked, rate_limit
from shared.db.connection import Connection
from shared.db.parked import OfJob
from shared.db.rate_limit import Pause
from shared.domain.slot import SlotState
from shared.observability import redacted


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """``parked`` are the messages about the job; ``paused`` is where the account may buy nothing for
    now, and the job has something to buy."""

    parked: OfJob
    paused: Pause | None

    @property
    def data(self) -> Mapping[str, Any]:
        pause = self.paused and {"until": self.paused.until, "reason": redacted(self.paused.reason)}
        return {"parked": asdict(self.parked), "buying_paused": pause}


async def look(tx: Connection, view: View) -> Waits:
    to_buy = view.job.is_open and any(slot.state is SlotState.PENDING for slot in view.slots)
    return Waits(
        parked=await parked.of_job(tx, view.job.id),
        paused=await rate_limit.paused(tx, rate_limit.CREATES) if to_buy else None,
    )


def told(view: View, waits: Waits, say: Labels) -> list[str]:
    """A line for each reason; none where nothing but its own time holds it up."""
    lines = []
    if until := view.live.held_until:
        lines.append(say.held.format(until=f"{until:%Y-%m-%d %H:%M:%S}Z", recipe=view.job.recipe))
    if pause := waits.paused:
        lines.append(
            say.paused.format(until=f"{pause.until:%H:%M:%S}Z", reason=redacted(pause.reason))
        )
    return lines + told_parked(waits.parked, view.job.id, say)


def told_parked(about_it: OfJob, job_id: UUID, say: Labels) -> list[str]:
    lines = []
    if about_it.dead:
        lines.append(say.parked_dead.format(count=about_it.dead, job=job_id))
    if about_it.waiting:
        lines.append(say.parked_waiting.format(count=about_it.waiting, job=job_id))
    return lines
