"""What was bought, what became of it and what it cost; held against the provider's own list."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from services.cli.environment import settings
from services.cli.exit_codes import ExitCode
from services.cli.spans import span
from services.cli.telling import AsJson, Progress, document, fail, run
from shared.clock import utc_now
from shared.db import caps, spend
from shared.db.caps import Cap
from shared.db.connection import Database, open_database
from shared.db.spend import BOUGHT, WASTED, By, Cost, Fate, Spend
from shared.domain.cap import Day, days_since
from shared.domain.level import COUNTED
from shared.domain.prediction import TERMINAL, Prediction, Status
from shared.domain.slot_ref import slot_ref_of_url
from shared.errors import Permanent
from shared.settings import DatabaseSettings, ReplicateSettings, ZoneSettings

if TYPE_CHECKING:
    from shared.replicate_api import Replicate

# The reconciler may use four fifths of the account's reads; this is well inside of what is left.
REST_BETWEEN_PAGES_S = 0.15
SHOWN = 50

_WORDS = {
    Fate.INTENDED: "under way",
    Fate.IN_DOUBT: "in doubt: not known whether they were bought",
    Fate.NOT_LISTED: "in no list, and bought anew",
    Fate.NOT_BOUGHT: "turned away or never sent, and tried again",
    Fate.REFUSED: "refused for their input",
    Fate.RUNNING: "running",
    Fate.FAILED: "failed at the provider",
    Fate.CANCELED: "canceled",
    Fate.STORED: "stored: what was wanted",
    Fate.TO_STORE: "made, and on the way to our bucket",
    Fate.UNUSABLE: "made, and of no use",
    Fate.LOST: "made, and deleted at the provider before they were ours",
    Fate.DUPLICATE: "made beside the one that won its slot: paid for twice",
    Fate.UNNEEDED: "made after their job had ended",
}


class LedgerSettings(DatabaseSettings, ReplicateSettings, ZoneSettings):
    """Ours, and theirs."""


@dataclass(slots=True)
class Balance:
    """Our ledger against the provider's list, by id, of what was created in one span.

    ``unaccounted``: listed, and in no row of ours; ``unlisted``: ours, and not listed;
    ``contradicting``: both know an end, and not the same one. ``unheard`` ended there, and we have
    not been told yet: no fault by itself.
    """

    listed: int = 0
    ours: int = 0
    unaccounted: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    contradicting: dict[str, str] = field(default_factory=dict)
    unheard: int = 0

    @property
    def holds(self) -> bool:
        return not (self.unaccounted or self.unlisted or self.contradicting)


def ledger(
    since: Annotated[str, typer.Option(help="How far back: 90s, 30m, 12h, 7d.")] = "1d",
    settled: Annotated[
        str, typer.Option(help="How old purchases are that both sides must know.")
    ] = "1m",
    provider: Annotated[
        bool, typer.Option(help="Hold it against the provider's list of predictions.")
    ] = True,
    by: Annotated[
        By | None, typer.Option(help="What was bought by recipe, day or job, the dearest first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What was bought, wanted, doubted, adopted, canceled and paid twice, and what it cost.

    Costs follow from what models are known to cost: the provider never says them. Exits 1 where ledger
    and provider do not agree about a prediction, 3 where they could not be compared.
    """
    chosen = settings(LedgerSettings)
    now = utc_now()
    begin, until = now - span(since, "--since"), now - span(settled, "--settled")
    cannot = "the ledger could not be read"
    days = days_since(begin, now, ZoneInfo(chosen.timezone))
    try:
        found = run(_look(chosen, by, days, begin), cannot=cannot)
        balance = run(_compare(chosen, begin, until), cannot=cannot) if provider else None
    except Permanent as error:
        fail(f"{cannot}: {error}", ExitCode.UNREACHABLE)
    if as_json:
        told = {
            "since": begin.isoformat(),
            "fates": [asdict(one) for one in found.spends],
            "costs": None if found.costs is None else [_told(one) for one in found.costs],
            "caps": [_told_cap(cap, found.held) for cap in found.caps],
            "balance": None if balance is None else {**asdict(balance), "holds": balance.holds},
        }
        document(told)
    else:
        if found.costs is None:
            _print_fates(found.spends)
        else:
            _print_costs(found.costs, by or By.RECIPE)
        _print_caps(found.caps, found.held)
        _print_balance(balance, settled)
    if balance is not None and not balance.holds:
        raise typer.Exit(ExitCode.FOUND)


@dataclass(frozen=True, slots=True)
class Found:
    """What our own rows say; ``costs`` where they were asked for. ``held`` is how many slots wait
    for each cap that holds, by recipe."""

    spends: list[Spend]
    costs: list[Cost] | None
    caps: list[Cap]
    held: Mapping[str, int]


async def _look(
    chosen: LedgerSettings, by: By | None, days: Mapping[str, Day], since: datetime
) -> Found:
    async with open_database(chosen.database_url.get_secret_value(), name="ledger") as database:
        async with database.connection() as db:
            known = await caps.today(db)
            return Found(
                spends=await spend.by_fate(db, since=since),
                costs=None if by is None else await spend.costs(db, by, days=days),
                caps=known,
                held={
                    cap.recipe: await caps.waiting(db, cap.recipe)
                    for cap in known
                    if cap.held_until
                },
            )


async def _compare(chosen: LedgerSettings, since: datetime, until: datetime) -> Balance:
    from shared.replicate_api import open_replicate

    url = chosen.database_url.get_secret_value()
    async with open_database(url, name="ledger") as database, open_replicate(chosen) as replicate:
        with Progress("holding the ledger against the provider's list") as progress:
            return await balance_of(database, replicate, since, until, tell=progress.at)


async def balance_of(
    database: Database,
    replicate: "Replicate",
    since: datetime,
    until: datetime,
    *,
    tell: Callable[[str], None] | None = None,
) -> Balance:
    """Compare what the provider says that it created in that span with our rows, one by one.

    Both go by the provider's own time of creation. Raises Transient where its list is not complete.
    """
    balance = Balance()
    seen: set[str] = set()
    async for page in replicate.list_between(since, until + timedelta(seconds=1)):
        listed = [
            answer.prediction
            for answer in page
            if answer.prediction.created_at and since <= answer.prediction.created_at < until
        ]
        async with database.connection() as db:
            known = await spend.statuses(db, [one.id for one in listed])
        seen.update(one.id for one in listed)
        for one in listed:
            _hold(balance, one, known)
        if tell:
            tell(f"{len(seen)} predictions")
        await asyncio.sleep(REST_BETWEEN_PAGES_S)
    async with database.connection() as db:
        ours = await spend.created_between(db, since, until)
    balance.listed, balance.ours = len(seen), len(ours)
    balance.unlisted = sorted(ours - seen)
    return balance


def _hold(balance: Balance, listed: Prediction, known: dict[str, Status | None]) -> None:
    if listed.id not in known:
        ref = slot_ref_of_url(listed.webhook)
        of = f" for slot {ref.job_id}.{ref.ordinal}" if ref else ""
        balance.unaccounted[listed.id] = f"{listed.raw_status}, of {listed.model}{of}"
        return
    ours = known[listed.id]
    if listed.status not in TERMINAL:
        if ours in TERMINAL:
            balance.contradicting[listed.id] = f"{ours} here, {listed.raw_status} there"
    elif ours not in TERMINAL:
        balance.unheard += 1
    elif ours is not listed.status:
        balance.contradicting[listed.id] = f"{ours} here, {listed.raw_status} there"


def _told(one: Cost) -> dict[str, Any]:
    return {"name": one.name, **asdict(one.bill), "micros": one.bill.micros, "seconds": one.seconds}


def _told_cap(cap: Cap, held: Mapping[str, int]) -> dict[str, Any]:
    return {
        "recipe": cap.recipe,
        "cap_micros": cap.cap_micros,
        "counted_micros": cap.spent.micros,
        "holds": cap.held_until is not None,
        "waiting_slots": held.get(cap.recipe, 0),
        "ends_at": cap.ends_at.isoformat(),
    }


def _print_costs(costs: Sequence[Cost], by: By) -> None:
    typer.echo(f"{'purchases':>9} {'seconds':>10} {'paid $':>10} {'expected $':>10}  {by}")
    for one in costs:
        bill = one.bill
        unknown = f"  ({bill.unknown} at a price that nobody knows)" if bill.unknown else ""
        typer.echo(
            f"{bill.paid + bill.open:9} {one.seconds:10.1f} {bill.paid_micros / 1e6:10.4f} "
            f"{bill.open_micros / 1e6:10.4f}  {one.name}{unknown}"
        )
    if not costs:
        typer.echo("nothing was bought")


def _print_caps(capped: Sequence[Cap], held: Mapping[str, int]) -> None:
    for cap in capped:
        holds = f"; its orders wait, {_count(held[cap.recipe])} slots" if cap.held_until else ""
        typer.echo(
            f"cap of {cap.recipe}: ${cap.spent.micros / 1e6:.4f} of ${cap.cap_micros / 1e6:.4f} "
            f"counted today{holds}"
        )


def _count(count: int) -> str:
    return f"{count} or more" if count >= COUNTED else str(count)


def _print_fates(spends: Sequence[Spend]) -> None:
    typer.echo(f"{'purchases':>9} {'adopted':>8} {'unwanted':>8} {'seconds':>10} {'cost $':>10}")
    for one in spends:
        _line(one, _WORDS[one.fate])
    bought = [one for one in spends if one.fate in BOUGHT]
    _line(_sum(bought), "bought, in all")
    wasted = _sum([one for one in spends if one.fate in WASTED])
    if wasted.count:
        _line(wasted, "of them for nothing")
    if unpriced := sum(one.unpriced for one in spends):
        typer.echo(f"{unpriced} of them have no price hint, and count as 0")


def _print_balance(balance: Balance | None, settled: str) -> None:
    if balance is None:
        typer.echo("not held against the provider's list")
        return
    for title, found in (
        ("the provider lists it, and the ledger lacks it", balance.unaccounted),
        (
            "the ledger has it, and the provider does not list it",
            dict.fromkeys(balance.unlisted, ""),
        ),
        ("its end is not the same on both sides", balance.contradicting),
    ):
        for prediction_id, words in list(found.items())[:SHOWN]:
            typer.secho(f"BAD  {prediction_id}  {title}  {words}".rstrip(), fg="red")
        if len(found) > SHOWN:
            typer.echo(f"     and {len(found) - SHOWN} more; --json names them all")
    agree = "they agree to the prediction" if balance.holds else "they do not agree"
    unheard = f"; {balance.unheard} ended there and are not heard of yet" if balance.unheard else ""
    typer.echo(
        f"of those made more than {settled} ago the provider lists {balance.listed}, "
        f"the ledger has {balance.ours}: {agree}{unheard}"
    )


def _line(one: Spend, words: str) -> None:
    typer.echo(
        f"{one.count:9} {one.adopted:8} {one.unwanted:8} {one.seconds:10.1f} "
        f"{one.cost_micros / 1e6:10.4f}  {words}"
    )


def _sum(spends: Sequence[Spend]) -> Spend:
    return Spend(
        fate=Fate.STORED,
        count=sum(one.count for one in spends),
        adopted=sum(one.adopted for one in spends),
        unwanted=sum(one.unwanted for one in spends),
        unpriced=sum(one.unpriced for one in spends),
        seconds=sum(one.seconds for one in spends),
        cost_micros=sum(one.cost_micros for one in spends),
    )
