"""Follow jobs as they go: bars on a terminal, one line per change anywhere else."""

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self
from uuid import UUID

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.cli.exit_codes import ExitCode
from services.cli.telling import one_line, written
from shared.db import live
from shared.db.connection import Database, open_database
from shared.db.jobs import Job
from shared.db.live import JobNow, SlotNow
from shared.domain.job import JobState
from shared.domain.live import Live, LiveSlot
from shared.errors import BrokerUnavailable
from shared.recipes import RECIPES
from shared.recipes.standing import standing
from shared.settings import BrokerSettings, DatabaseSettings

# News wakes the view; this is only how long it trusts silence.
LOOK_AGAIN_S = 1.0
# An order is planned within a second or so; who waits this long is told that nobody does it.
UNKNOWN_FOR_S = 10.0
SLOTS_DRAWN = 12  # of one job; a terminal has no more room for five of them
BAR = 24  # characters

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
    "failed": "red",
    "canceled": "yellow",
}

_RECIPES = {recipe.name: recipe for recipe in RECIPES}
_PERCENT = re.compile(r" ?\((\d+) ?%\)")


class Tongue(StrEnum):
    """The languages that we speak."""

    EN = "en"
    KO = "ko"


class FollowSettings(BrokerSettings, DatabaseSettings):
    """What looking on needs; whoever needs more reads more."""


@dataclass(frozen=True, slots=True)
class View:
    """One job as it stands."""

    job: Job
    slots: Sequence[SlotNow]
    live: Live

    @property
    def succeeded(self) -> bool:
        return self.job.state is JobState.COMPLETED and self.live.report == "published"


def seen(now: JobNow) -> View:
    """The rows, and what they mean for people."""
    told = standing(_RECIPES, now.job, now.slots, now.bought, held_until=now.held_until)
    return View(now.job, now.slots, told)


def live_fields(view: Live) -> dict[str, Any]:
    """The live fields as every answer of ours names them."""
    return {
        "state": view.state,
        "sentence": dict(view.sentence),
        "progress": view.progress,
        "replicate_status": view.replicate_status,
        "last_webhook_received": view.last_webhook_received,
        "report": view.report,
        "stored": view.stored,
        "n": view.n,
        "waits_for": view.waits_for,
        "held_until": view.held_until,
        "notes": [dict(note) for note in view.notes],
    }


class Shown(Protocol):
    """A way to show jobs as they go."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *about: object) -> None: ...
    def update(self, views: Sequence[View]) -> None: ...


async def follow(
    chosen: FollowSettings,
    job_ids: Sequence[UUID],
    *,
    show: Shown | None = None,
    timeout: float | None = None,
    unknown: Callable[[], None] | None = None,
) -> dict[UUID, View]:
    """Show ``job_ids`` until all are over, or ``timeout`` seconds are; how they stood at last.

    ``unknown`` is called once if none of them is known after UNKNOWN_FOR_S.
    """
    url = chosen.database_url.get_secret_value()
    views: dict[UUID, View] = {}
    began = time.monotonic()
    with show or shown(Tongue.EN) as screen, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout), open_database(url, name="cli") as database:
            async with _ticks(chosen) as ticks:
                async for _ in ticks:
                    views |= await _look(database, job_ids)
                    screen.update([views[job_id] for job_id in job_ids if job_id in views])
                    if unknown and not views and time.monotonic() - began >= UNKNOWN_FOR_S:
                        unknown()
                        unknown = None
                    if len(views) == len(set(job_ids)) and all(v.live.over for v in views.values()):
                        break
    return views


async def _look(database: Database, job_ids: Sequence[UUID]) -> dict[UUID, View]:
    async with database.connection() as tx:
        return {now.job.id: seen(now) for now in await live.several(tx, job_ids)}


@contextlib.asynccontextmanager
async def _ticks(chosen: BrokerSettings) -> AsyncIterator[AsyncIterator[None]]:
    """A tick at once, then one whenever news passes, and at least every LOOK_AGAIN_S."""
    from shared.messaging.watch import watching

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


def shown(tongue: Tongue, console: Console | None = None) -> Shown:
    """Bars that are drawn over on a terminal, lines that stay anywhere else."""
    console = console or Console()
    return Bars(console, tongue) if console.is_terminal else Lines(console, tongue)


class Bars:
    """Every job with a bar for each of its slots."""

    def __init__(self, console: Console, tongue: Tongue) -> None:
        self._screen = Screen(console=console, refresh_per_second=12)
        self._tongue = tongue

    def __enter__(self) -> Self:
        self._screen.__enter__()
        return self

    def __exit__(self, *about: object) -> None:
        self._screen.__exit__(None, None, None)

    def update(self, views: Sequence[View]) -> None:
        self._screen.update(Group(*(_drawn(view, self._tongue) for view in views)))


class Lines:
    """One line per change, with the seconds since the first look, for logs."""

    def __init__(self, console: Console, tongue: Tongue) -> None:
        self._console = console
        self._tongue = tongue
        self._told: set[str] = set()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        sys.stdout.flush()

    def update(self, views: Sequence[View]) -> None:
        for view in views:
            named = f"{view.job.recipe:<16} {str(view.job.id)[:8]}"
            if len(view.slots) > 1:
                for slot in view.live.slots:
                    bought = f" ({slot.prediction_id})" if slot.prediction_id else ""
                    self._tell(f"{named}  #{slot.ordinal}: {slot.words[self._tongue]}", bought)
            self._tell(f"{named}  {view.live.sentence[self._tongue]}")

    def _tell(self, line: str, detail: str = "") -> None:
        # A percent more is no news for a log; a quarter is.
        news = _PERCENT.sub(lambda percent: "¼" * (int(percent[1]) // 25), line)
        if news in self._told:
            return
        self._told.add(news)
        since = time.monotonic() - self._began
        self._console.print(
            f"{since:6.1f} s  {line}{detail}", highlight=False, markup=False, soft_wrap=True
        )


class Unseen:
    """Shows nothing: for who only waits."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None: ...
    def update(self, views: Sequence[View]) -> None: ...


class JsonLines:
    """One JSON object per change, for programs."""

    def __init__(self) -> None:
        self._told: dict[UUID, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        sys.stdout.flush()

    def update(self, views: Sequence[View]) -> None:
        for view in views:
            line = written({"job_id": view.job.id, **live_fields(view.live)})
            if self._told.get(view.job.id) != line:
                self._told[view.job.id] = line
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


def _drawn(view: View, tongue: Tongue) -> Group:
    colour = COLOURS[view.job.state]
    head = Table.grid(padding=(0, 1, 0, 0))
    head.add_row(
        Text("●", style=colour),
        Text(view.job.recipe, style="bold"),
        Text(str(view.job.id)[:8], style="dim"),
        Text(view.live.sentence[tongue], style=colour),
    )
    notes = [Text(f"  {note[tongue]}", style="dim") for note in view.live.notes]
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in (5, BAR, None, None, None):
        table.add_column(min_width=width, no_wrap=width is not None)
    details = {slot.ordinal: slot for slot in view.slots}
    for slot in view.live.slots[:SLOTS_DRAWN]:
        table.add_row(*_row(slot, details[slot.ordinal], tongue))
    more = len(view.live.slots) - SLOTS_DRAWN
    rest = [Text(f"  … {more} more", style="dim")] if more > 0 else []
    return Group(head, *notes, table, *rest)


def _row(slot: LiveSlot, detail: SlotNow, tongue: Tongue) -> tuple[ProgressBar | Text, ...]:
    colour = COLOURS[slot.state]
    words = Text(slot.words[tongue], style=colour, no_wrap=True, overflow="ellipsis")
    if detail.failure_detail:
        words.append(f": {one_line(detail.failure_detail)}", style="dim")
    tries = f"try {slot.attempt}" if slot.attempt > 1 else ""
    return (
        Text(f"{slot.ordinal:>5}"),
        ProgressBar(
            total=1,
            completed=slot.progress,
            width=BAR,
            complete_style=colour,
            finished_style=colour,
        ),
        words,
        Text(slot.prediction_id or "", style="dim", no_wrap=True, overflow="ellipsis"),
        Text(tries, style="yellow", no_wrap=True),
    )


def how_it_ended(view: View) -> ExitCode:
    """The exit code of who has followed a job to its end."""
    if view.succeeded:
        return ExitCode.DONE
    return ExitCode.CANCELED if view.job.state is JobState.CANCELED else ExitCode.FOUND
