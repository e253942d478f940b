"""SQL for the overview: what lies in Postgres, at a cost that does not grow with what waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from shared.db import caps, levels, predictions, rate_limit, slots, spend, webhook_health
from shared.db.caps import Cap
from shared.db.connection import Connection
from shared.db.levels import ParkedLevel, level_of
from shared.db.spend import By
from shared.domain.cap import day_of
from shared.domain.cost import Bill
from shared.domain.level import COUNTED, Level
from shared.domain.overview import (
    Account,
    Backlog,
    CapNow,
    Ended,
    Losses,
    Money,
    RecipeMoney,
    SlotsNow,
    Webhooks,
)
from shared.domain.slot import SlotState

# Of the slots of open jobs so many are looked at: the oldest jobs', so many of each.
JOBS_LOOKED_AT = 500
SLOTS_LOOKED_AT = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InPostgres:
    """What an overview takes from the database; the fields are those of ``Overview``."""

    at: datetime
    webhooks: Webhooks
    ended: Ended
    open_jobs: Level
    slots: tuple[SlotsNow, ...]
    backlog: dict[Backlog, Level]
    parked: list[ParkedLevel]
    losses: Losses
    account: Account


async def read(
    tx: Connection, *, queues: list[str], lately: timedelta, files_live: timedelta
) -> InPostgres:
    """How things stand. ``queues``: of which what is parked is told, in their order; ``files_live``:
    how long after its end the provider deletes a prediction's files."""
    waits = await levels.read(tx)
    at, backlog = await _backlog(tx)
    by_state, uncounted = await _slots_of_open_jobs(tx)
    silent = await predictions.oldest_silent(tx)
    expires = await slots.first_expiry(tx)
    fared = await webhook_health.since(tx, at - lately)
    return InPostgres(
        at=at,
        webhooks=fared.webhooks,
        ended=fared.ended,
        open_jobs=waits.open_jobs,
        slots=by_state,
        backlog={
            Backlog.PLAN: backlog[Backlog.PLAN],
            Backlog.BUY: waits.due,
            Backlog.DOUBT: waits.in_doubt,
            Backlog.SILENCE: backlog[Backlog.SILENCE],
            Backlog.STORE: backlog[Backlog.STORE],
            Backlog.COUNT: uncounted,
            Backlog.REPORT: backlog[Backlog.REPORT],
            Backlog.SAY: waits.owed,
        },
        parked=await levels.parked(tx, queues),
        losses=Losses(
            made=_left(expires, at),
            # It cannot have ended before it began, so its files live at least so long.
            silent=_left(silent + files_live if silent else None, at),
        ),
        account=await _account(tx),
    )


async def money(tx: Connection, *, now: datetime, zone: tzinfo) -> Money:
    """What was bought today, and what of it is capped."""
    today = day_of(now, zone)
    capped = {cap.recipe: cap for cap in await caps.today(tx)}
    costs = await spend.costs(tx, By.RECIPE, days={"today": today})
    recipes = [
        RecipeMoney(
            recipe=one.name, bill=one.bill, seconds=one.seconds, cap=_cap(capped.get(one.name))
        )
        for one in costs
    ]
    # A cap that holds everything back has bought nothing, and is told all the same.
    bought = {one.name for one in costs}
    recipes += [
        RecipeMoney(recipe=name, bill=Bill(), seconds=0.0, cap=_cap(cap))
        for name, cap in capped.items()
        if name not in bought
    ]
    return Money(begins=today.begins, ends=today.ends, recipes=tuple(recipes))


def _cap(cap: Cap | None) -> CapNow | None:
    if cap is None:
        return None
    return CapNow(
        cap_micros=cap.cap_micros,
        counted_micros=cap.spent.micros,
        holds=cap.held_until is not None,
        ends_at=cap.ends_at,
    )


async def _account(tx: Connection) -> Account:
    pause = await rate_limit.paused(tx, rate_limit.CREATES)
    return Account(
        left={
            budget.bucket: max(0.0, budget.tokens) / budget.capacity
            for budget in await levels.budgets(tx)
        },
        paused_until=pause.until if pause else None,
        reason=pause.reason if pause else None,
    )


async def _backlog(tx: Connection) -> tuple[datetime, dict[Backlog, Level]]:
    """Now, and what waits that nobody else measures: each from the first entries of an index."""
    row = await tx.fetchrow(
        """
        SELECT orders.*, silent.*, made.*, unreported.*, clock_timestamp() AS now
          FROM (SELECT count(*) AS plan, min(recorded_at) AS plan_since
                  FROM (SELECT recorded_at
                          FROM journal
                         WHERE type IN ('upload.received', 'job.cancel_requested')
                           AND type = 'upload.received'
                           AND origin = 'stated'
                           AND outcome IS NULL
                           AND job_id IS NOT NULL
                      ORDER BY recorded_at
                         LIMIT $1) AS few) AS orders,
               (SELECT count(*) AS silence, min(ask_at) AS silence_since
                  FROM (SELECT ask_at
                          FROM prediction
                         WHERE ask_at <= now()
                      ORDER BY ask_at
                         LIMIT $1) AS few) AS silent,
               (SELECT count(*) AS store, min(moved_at) AS store_since
                  FROM (SELECT moved_at
                          FROM slot
                         WHERE state = 'succeeded'
                      ORDER BY expires_at
                         LIMIT $1) AS few) AS made,
               (SELECT count(*) AS report, min(ended_at) AS report_since
                  FROM (SELECT ended_at
                          FROM job
                         WHERE state = 'completed'
                           AND report = 'pending'
                      ORDER BY ended_at
                         LIMIT $1) AS few) AS unreported
        """,
        COUNTED,
    )
    if row is None:
        raise LookupError("an aggregate has a row")
    now: datetime = row["now"]
    told = (Backlog.PLAN, Backlog.SILENCE, Backlog.STORE, Backlog.REPORT)
    return now, {one: level_of(row[one], row[f"{one}_since"], now) for one in told}


async def _slots_of_open_jobs(tx: Connection) -> tuple[tuple[SlotsNow, ...], Level]:
    """They by state, and those that are closed and that their job has not counted."""
    rows = await tx.fetch(
        """
        SELECT state, count(*) AS count, min(moved_at) AS since,
               count(*) FILTER (WHERE closed AND counted_at IS NULL) AS uncounted,
               min(moved_at) FILTER (WHERE closed AND counted_at IS NULL) AS uncounted_since,
               clock_timestamp() AS now
          FROM (SELECT slots.*, slots.state IN ('stored', 'failed', 'canceled') AS closed
                  FROM (SELECT id
                          FROM job
                         WHERE ended_at IS NULL
                      ORDER BY created_at
                         LIMIT $1) AS oldest,
               LATERAL (SELECT state, moved_at, counted_at
                          FROM slot
                         WHERE slot.job_id = oldest.id
                      ORDER BY ordinal
                         LIMIT $2) AS slots
                 LIMIT $2) AS few
      GROUP BY state
        """,
        JOBS_LOOKED_AT,
        SLOTS_LOOKED_AT,
    )
    found = {row["state"]: row for row in rows}
    by_state = [
        SlotsNow(state=state, level=level_of(row["count"], row["since"], row["now"]))
        for state in SlotState
        if (row := found.get(str(state)))
    ]
    waiting = [
        level_of(row["uncounted"], row["uncounted_since"], row["now"])
        for row in rows
        if row["uncounted"]
    ]
    return tuple(by_state), Level(
        count=min(COUNTED, sum(level.count for level in waiting)),
        seconds=max((level.seconds for level in waiting), default=0.0),
    )


def _left(until: datetime | None, now: datetime) -> float | None:
    return None if until is None else (until - now).total_seconds()
