"""The overview on a terminal: what an operator looks at first."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from services.cli.environment import settings
from services.cli.live import Tongue
from services.cli.overview_words import LABELS, LOOK, Labels
from services.cli.spans import span
from services.cli.telling import AsJson, run, wide_console, written
from shared.db.connection import open_database
from shared.domain.cost import Bill
from shared.domain.level import Level
from shared.domain.overview import (
    CONCERNS,
    RUNBOOK,
    WAITING_FOR,
    Backlog,
    Concern,
    Overview,
    RecipeMoney,
    as_data,
)
from shared.errors import DatabaseUnavailable
from shared.overview import Overviews
from shared.settings import BrokerSettings, DatabaseSettings, FilesLiveSettings, ZoneSettings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LATELY = "15m"
LONGEST = timedelta(days=1)
LOOK_EVERY_S = 2.0


class OverviewSettings(BrokerSettings, DatabaseSettings, FilesLiveSettings, ZoneSettings):
    """Whom it asks, and by whose midnight a day begins."""


def overview(
    since: Annotated[
        str, typer.Option(help="What counts as lately: 90s, 15m, 12h; a day at the most.")
    ] = LATELY,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every other second, until Ctrl-C.")
    ] = False,
    locale: Annotated[Tongue, typer.Option(help="The language of what is shown.")] = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """How everything stands: webhooks, jobs, backlog, losses, money of the day.

    What somebody should look at is named first. With --watch and --json a line for each look. It
    exits 0 whatever it tells; `doctor` and `audit` say by their codes whether something is wrong.
    """
    lately = span(since, "--since")
    if not timedelta(seconds=1) <= lately <= LONGEST:
        raise typer.BadParameter("1s to 1d", param_hint="--since")
    chosen = settings(OverviewSettings)
    if not watch:
        told = run(_once(chosen, lately))
        if as_json:
            typer.echo(written(as_data(told)))
        else:
            wide_console(140).print(_drawn(told, ZoneInfo(chosen.timezone), locale))
        return
    run(_watch(chosen, lately, locale, as_json=as_json))


@asynccontextmanager
async def _opened(chosen: OverviewSettings) -> AsyncIterator[Overviews]:
    from shared.messaging.levels import QueueLevels
    from shared.messaging.link import opened

    async with (
        open_database(chosen.database_url.get_secret_value(), name="overview") as database,
        opened(chosen.amqp_url.get_secret_value(), name="darkroom-overview") as link,
    ):
        yield Overviews(
            database=database,
            depths=QueueLevels(link),
            zone=ZoneInfo(chosen.timezone),
            files_live=chosen.files_live,
        )


async def _once(chosen: OverviewSettings, lately: timedelta) -> Overview:
    async with _opened(chosen) as overviews:
        return await overviews.read(lately=lately)


async def _watch(
    chosen: OverviewSettings, lately: timedelta, locale: Tongue, *, as_json: bool
) -> None:
    """Ends only by the keyboard, or where there is no first look. A database that is away later is
    said, and asked again."""
    console, zone = wide_console(140), ZoneInfo(chosen.timezone)
    draws = console.is_terminal and not as_json
    async with _opened(chosen) as overviews:
        told = await overviews.read(lately=lately)
        # On a terminal the same place is drawn over; what does not fit is cut, not scrolled.
        screen = Screen(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")
        with screen if draws else nullcontext():
            while True:
                began = time.monotonic()
                _tell(told, screen if draws else None, console, zone, locale, as_json=as_json)
                while True:
                    await asyncio.sleep(max(0.0, began + LOOK_EVERY_S - time.monotonic()))
                    try:
                        told = await overviews.read(lately=lately)
                        break
                    except DatabaseUnavailable:
                        began = time.monotonic()
                        if draws:
                            screen.update(_away(told, zone, locale), refresh=True)


def _tell(
    told: Overview,
    screen: Screen | None,
    console: "Console",
    zone: ZoneInfo,
    locale: Tongue,
    *,
    as_json: bool,
) -> None:
    if as_json:
        typer.echo(written(as_data(told)))
    elif screen is not None:
        screen.update(_drawn(told, zone, locale), refresh=True)
    else:
        console.print(_drawn(told, zone, locale))
        console.print()


def _away(told: Overview, zone: ZoneInfo, locale: Tongue) -> Group:
    return Group(Text(LABELS[locale].away, style="bold red"), _drawn(told, zone, locale))


def _drawn(told: Overview, zone: ZoneInfo, locale: Tongue) -> Group:
    say = LABELS[locale]
    parts: list[RenderableType] = [_head(told, zone, say)]
    parts += [_concern(one, locale) for one in told.concerns]
    if not told.concerns:
        parts.append(Text(say.well, style="green"))
    parts += [Text(), _numbers(told, zone, say)]
    parts += [Text(), _backlog(told, locale), Text(), _queues(told, say)]
    parts += [Text(), _money(told, say)]
    return Group(*parts)


def _concern(one: Concern, locale: Tongue) -> Text:
    """What is wrong, the command that shows it, and where it is written what to do."""
    next_step = f"`{LOOK[one]}`, " if one in LOOK else ""
    return Text.assemble(
        (f"! {CONCERNS[one][locale]}", "bold red"), f": {next_step}docs/runbook/{RUNBOOK[one]}.md"
    )


def _head(told: Overview, zone: ZoneInfo, say: Labels) -> Text:
    at = f"{told.at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
    return Text.assemble(
        (say.title, "bold"), f"  {at}, {say.lately.format(span=_span(told.seconds))}"
    )


def _numbers(told: Overview, zone: ZoneInfo, say: Labels) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    hooks, ended, losses = told.webhooks, told.ended, told.losses
    refused = ", ".join(f"{outcome} {count}" for outcome, count in sorted(hooks.refused.items()))
    last = "-" if hooks.last_at is None else f"{hooks.last_at.astimezone(zone):%H:%M:%S}"
    table.add_row(
        say.webhooks,
        say.webhooks_of.format(
            share=_share(hooks.share_taken),
            came=hooks.came,
            refused=hooks.refusals,
            unplaced=hooks.unplaced,
            asked=hooks.asked,
        )
        + (f" ({refused})" if refused else ""),
    )
    p95 = "-" if hooks.to_journal_p95 is None else f"{hooks.to_journal_p95 * 1000:.0f} ms"
    table.add_row("", say.last_webhook.format(at=last, p95=p95))
    table.add_row(
        say.jobs,
        say.jobs_of.format(
            share=_share(ended.share_completed),
            completed=ended.completed,
            failed=ended.failed,
            canceled=ended.canceled,
            open=_count(told.open_jobs),
            age=_span(told.open_jobs.seconds),
        ),
    )
    if told.slots:
        states = ", ".join(
            f"{say.states.get(one.state, one.state)} {_count(one.level)} ({_span(one.level.seconds)})"
            for one in told.slots
        )
        table.add_row(say.slots, states)
    first = say.no_loss if losses.first is None else say.loss.format(span=_span(losses.first))
    table.add_row(say.to_loss, first)
    account = told.account
    if account.paused_until is not None:
        until = f"{account.paused_until.astimezone(zone):%H:%M:%S}"
        table.add_row(say.account, say.paused.format(until=until, reason=account.reason or "-"))
    elif account.left:
        left = ", ".join(f"{kind} {share:.0%}" for kind, share in sorted(account.left.items()))
        table.add_row(say.account, say.left.format(left=left))
    return table


def _backlog(told: Overview, locale: Tongue) -> Table:
    say = LABELS[locale]
    table = Table(show_edge=False, pad_edge=False)
    table.add_column(say.backlog)
    table.add_column(say.waiting, justify="right")
    table.add_column(say.oldest, justify="right")
    for stage in Backlog:
        level = told.backlog[stage]
        style = "dim" if level.count == 0 else ""
        table.add_row(
            Text(WAITING_FOR[stage][locale], style=style),
            Text(_count(level), style=style),
            Text(_span(level.seconds) if level.count else "", style=style),
        )
    return table


def _queues(told: Overview, say: Labels) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column(say.queue)
    for column in (say.ready, say.consumers, say.oldest, say.parked, say.dead):
        table.add_column(column, justify="right")
    for queue in told.queues:
        waits = queue.waits
        style = "bold red" if queue.is_unheard else ""
        table.add_row(
            Text(queue.name, style=style),
            "?" if queue.ready is None else str(queue.ready),
            "?" if queue.consumers is None else str(queue.consumers),
            _span(waits.seconds) if waits and waits.count else "",
            _count(queue.parked),
            Text(_count(queue.dead), style="bold red" if queue.dead.count else ""),
        )
    return table


def _money(told: Overview, say: Labels) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column(say.money)
    for column in (say.purchases, say.paid, say.expected, say.cap):
        table.add_column(column, justify="right")
    for one in told.money.recipes:
        table.add_row(*_row(one, say))
    bill = told.money.bill
    table.add_row(
        Text(say.in_all, style="bold"),
        str(bill.paid + bill.open),
        _known(bill, bill.paid_micros, say),
        _known(bill, bill.open_micros, say),
        say.unknown.format(count=bill.unknown) if bill.unknown else "",
    )
    return table


def _row(one: RecipeMoney, say: Labels) -> tuple[str | Text, ...]:
    cap: str | Text = ""
    if one.cap is not None:
        used = f"{_dollars(one.cap.counted_micros)} / {_dollars(one.cap.cap_micros)}"
        cap = Text(f"{used}, {say.holds}", style="yellow") if one.cap.holds else used
    bill = one.bill
    return (
        one.recipe,
        str(bill.paid + bill.open),
        _known(bill, bill.paid_micros, say),
        _known(bill, bill.open_micros, say),
        cap,
    )


def _known(bill: Bill, micros: int, say: Labels) -> str:
    return say.nobody_knows if bill.micros is None else _dollars(micros)


def _dollars(micros: int) -> str:
    return f"${micros / 1e6:.4f}"


def _count(level: Level) -> str:
    return f"{level.count}+" if level.is_more else str(level.count)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _span(seconds: float) -> str:
    """As long as it is, in the two largest units."""
    sign, whole = ("-", -seconds) if seconds < 0 else ("", seconds)
    minutes, rest = divmod(round(whole), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days} d {hours} h"
    if hours:
        return f"{sign}{hours} h {minutes} min"
    return f"{sign}{minutes} min {rest} s" if minutes else f"{sign}{rest} s"
