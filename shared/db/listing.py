"""Jobs by time, and the orders that are still to become one."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.db import jobs, journal, live
from shared.db.connection import Connection
from shared.db.jobs import Wanted
from shared.db.journal import Entry
from shared.db.live import JobNow
from shared.domain.cursor import Place
from shared.domain.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The latest first: a job as it stands, or an order that nobody has planned yet. ``goes_on``:
    the place behind which there is more; None: this was the last."""

    found: tuple[JobNow | Entry, ...]
    goes_on: Place | None


async def latest(tx: Connection, wanted: Wanted, *, limit: int) -> Listed:
    """Those of the jobs that are wanted, ``limit`` at the most."""
    found = await _found(tx, wanted, limit=limit + 1)
    return Listed(
        found=tuple(found[:limit]),
        goes_on=place_of(found[limit - 1]) if len(found) > limit else None,
    )


async def in_front(tx: Connection, wanted: Wanted, *, limit: int) -> Listed | None:
    """Those right in front of ``wanted.after``, ``limit`` of them; None: there are not more than so
    many, and the latest are the better answer."""
    found = await _found(tx, wanted, limit=limit + 1)
    if len(found) <= limit:
        return None
    return Listed(found=tuple(found[-limit:]), goes_on=place_of(found[-1]))


async def _found(tx: Connection, wanted: Wanted, *, limit: int) -> list[JobNow | Entry]:
    """``limit`` and more, the latest first."""
    orders = []
    if wanted.state in (None, JobState.PENDING):
        orders = await journal.orders_to_plan(
            tx,
            external_ref=wanted.external_ref,
            recipe=wanted.recipe,
            since=wanted.since,
            before=wanted.before,
            after=wanted.after,
            limit=limit,
        )
    # After the orders: one that is planned between the two looks is in both, not in neither, and its
    # row says more.
    planned = await live.of_jobs(tx, await jobs.page(tx, wanted, limit=limit))
    there = {now.job.id for now in planned}
    waiting = [order for order in orders if order.job_id not in there]
    all_of_them: list[JobNow | Entry] = [*planned, *waiting]
    return sorted(all_of_them, key=place_of, reverse=True)


def place_of(one: JobNow | Entry) -> tuple[datetime, UUID]:
    """Where it stands in the list."""
    if isinstance(one, JobNow):
        return one.job.created_at, one.job.id
    if one.job_id is None:
        raise LookupError(f"{one.event_id} is about no job")
    return one.recorded_at, one.job_id
