"""Follow jobs as they go: a table on a terminal, one line per change anywhere else."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared.db import artifacts, jobs, predictions, slots
from shared.db.connection import Database, open_database
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.job import ENDED, JobState
from shared.errors import BrokerUnavailable
from shared.messaging.watch import watching
from shared.settings import BrokerSettings, DatabaseSettings

# News wakes the view; this is only how long it trusts silence.
LOOK_AGAIN_S = 1.0

COLOURS = {
    "pending": "grey62",
    "creating": "cyan",
    "in_doubt": "yellow",
    "submitted": "cyan",
    "queued": "cyan",
    "running": "blue",
    "succeeded": "magenta",
    "stored": "green",
    "completed": "green",
    "published": "green",
    "failed": "red",
    "canceled": "yellow",
}

MEANINGS = {
    "pending": "waits to be bought",
    "creating": "is being bought",
    "in_doubt": "was the purchase made? asking",
    "submitted": "waits at Replicate",
    "running": "runs at Replicate",
    "succeeded": "made; being fetched",
    "stored": "in our bucket",
    "failed": "failed",
    "canceled": "canceled",
}


class FollowSettings(BrokerSettings, DatabaseSettings):
    """What looking on needs; whoever needs more reads more."""


@dataclass(frozen=True, slots=True)
class View:
    """One job as it stands."""

    job: Job
    slots: Sequence[Slot]
    predictions: dict[int, PredictionRow]  # the latest purchase by ordinal
    files: int

    @property
    def over(self) -> bool:
        """Ended, and its report is in or given up (only a completed job gets one)."""
        waits = self.job.state is JobState.COMPLETED and self.job.report == "pending"
        return self.job.state in ENDED and not waits


async def look(database: Database, job_id: UUID) -> View | None:
    """Read one job with its slots, latest purchases and number of files."""
    async with database.connection() as tx:
        job = await jobs.get(tx, job_id)
        if job is None:
            return None
        return View(
            job=job,
            slots=await slots.of_job(tx, job_id),
            predictions={row.ordinal: row for row in await predictions.of_job(tx, job_id)},
            files=len(await artifacts.of_job(tx, job_id)),
        )


async def follow(
    chosen: FollowSettings, job_ids: Sequence[UUID], *, timeout: float | None = None
) -> bool:
    """Show ``job_ids`` until all are over; whether all completed with a report.

    ``timeout`` in seconds; None follows for ever.
    """
    console = Console()
    show = shown_as_table(console) if console.is_terminal else shown_as_lines(console)
    url = chosen.database_url.get_secret_value()
    views: dict[UUID, View] = {}
    with show:
        async with asyncio.timeout(timeout), open_database(url, name="cli") as database:
            async with _ticks(chosen) as ticks:
                async for _ in ticks:
                    for job_id in job_ids:
                        view = await look(database, job_id)
                        if view is not None:
                            views[job_id] = view
                    show.update(list(views.values()))
                    if len(views) == len(set(job_ids)) and all(v.over for v in views.values()):
                        break
    return all(
        v.job.state is JobState.COMPLETED and v.job.report == "published" for v in views.values()
    )


@contextlib.asynccontextmanager
async def _ticks(chosen: BrokerSettings) -> AsyncIterator[AsyncIterator[None]]:
    """A tick at once, then one whenever news passes, and at least every LOOK_AGAIN_S."""
    try:
        async with watching(
            chosen.amqp_url.get_secret_value(),
            hears=("job.*", "prediction.*", "slot.*", "artifacts.*", "report.*"),
            name="darkroom-cli-live",
        ) as watch:

            async def on_news() -> AsyncIterator[None]:
                yield
                while True:
                    await watch.next(timeout=LOOK_AGAIN_S)
                    yield

            yield on_news()
    except BrokerUnavailable:
        # Looking on works without the broker, only slower.
        async def on_time() -> AsyncIterator[None]:
            while True:
                yield
                await asyncio.sleep(LOOK_AGAIN_S)

        yield on_time()


class shown_as_table:  # noqa: N801 - used as a statement
    """A table that is drawn over, for terminals."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=12)

    def __enter__(self) -> "shown_as_table":
        self._live.__enter__()
        return self

    def __exit__(self, *about: object) -> None:
        self._live.__exit__(None, None, None)

    def update(self, views: Sequence[View]) -> None:
        self._live.update(Group(*(_drawn(view) for view in views)))


class shown_as_lines:  # noqa: N801 - used as a statement
    """One line per change, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()

    def __enter__(self) -> "shown_as_lines":
        return self

    def __exit__(self, *about: object) -> None:
        sys.stdout.flush()

    def update(self, views: Sequence[View]) -> None:
        for view in views:
            short = str(view.job.id)[:8]
            for slot in view.slots:
                self._tell(f"job {short}  picture {slot.ordinal}: {_of_slot(view, slot)}")
            self._tell(f"job {short}  {_of_job(view)}")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._console.print(line, highlight=False, soft_wrap=True)


def _drawn(view: View) -> Table:
    table = Table(
        title=_of_job(view),
        title_justify="left",
        title_style=COLOURS[view.job.state],
        show_edge=False,
        pad_edge=False,
    )
    for column in ("#", "state", "", "prediction", "seed", "try"):
        table.add_column(column, justify="right" if column in ("#", "seed", "try") else "left")
    for slot in view.slots:
        bought = view.predictions.get(slot.ordinal)
        table.add_row(
            str(slot.ordinal),
            Text(slot.state, style=COLOURS[slot.state]),
            slot.failure_detail or MEANINGS[slot.state],
            (bought.prediction_id or "") if bought else "",
            str(slot.seed if slot.seed is not None else ""),
            str(slot.attempt),
        )
    return table


def _of_slot(view: View, slot: Slot) -> str:
    bought = view.predictions.get(slot.ordinal)
    named = f" ({bought.prediction_id})" if bought and bought.prediction_id else ""
    return f"{slot.state}, {slot.failure_detail or MEANINGS[slot.state]}{named}"


def _of_job(view: View) -> str:
    job = view.job
    told = f"{job.recipe} is {job.state}"
    if job.n:  # an order that could not be planned has no slots
        told += f": {job.stored} of {job.n} stored"
    if job.failed:
        told += f", {job.failed} failed"
    if job.state is JobState.COMPLETED:
        told += f", report {job.report}"
    return f"{told} ({job.reason})" if job.reason else told
