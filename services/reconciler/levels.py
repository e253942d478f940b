"""Measure how much waits, and how long: what is scaled and alarmed by, at a cost that stays the same."""

import math
from dataclasses import dataclass

from prometheus_client import Gauge

from shared.db import caps, levels
from shared.db.connection import Database
from shared.domain.level import COUNTED, Level
from shared.messaging.levels import QueueLevels
from shared.messaging.topology import QUEUES

AT_MOST = f"{COUNTED:,} at the most"

OUTBOX = Gauge(
    "darkroom_outbox_pending", f"Facts in the journal that are not published yet; {AT_MOST}."
)
OUTBOX_AGE = Gauge(
    "darkroom_outbox_oldest_age_seconds", "How long the first of them waits (0: there is none)."
)
DUE = Gauge("darkroom_slots_due", f"Slots that wait to be bought, past their time; {AT_MOST}.")
DUE_AGE = Gauge("darkroom_slots_due_oldest_age_seconds", "How long past its time the first is.")
IN_DOUBT = Gauge("darkroom_slots_in_doubt", f"Purchases that may have been made or not; {AT_MOST}.")
IN_DOUBT_AGE = Gauge("darkroom_slots_in_doubt_oldest_age_seconds", "How long the first is.")
OPEN_JOBS = Gauge("darkroom_jobs_open", f"Jobs that have not ended; {AT_MOST}.")
OPEN_JOBS_AGE = Gauge(
    "darkroom_jobs_open_oldest_age_seconds", "How long ago the first was planned."
)
PARKED = Gauge(
    "darkroom_parked_messages",
    f"Messages that wait for their time (waiting) or for a person (dead); {AT_MOST}.",
    ["queue", "state"],
)
PARKED_AGE = Gauge(
    "darkroom_parked_oldest_age_seconds",
    "How long ago the first of them was parked.",
    ["queue", "state"],
)
BUDGET = Gauge(
    "darkroom_budget_left_ratio",
    "What is left of a limit of the account for calls at once (0 while it is paused).",
    ["calls"],
)
CAP = Gauge(
    "darkroom_cost_cap_dollars",
    "What a recipe may cost a day, where it has a cap that was asked for today.",
    ["recipe"],
)
CAP_COUNTED = Gauge(
    "darkroom_cost_cap_counted_dollars",
    "What its purchases of the day count as: their cost, else what they were expected to cost.",
    ["recipe"],
)
CAP_HOLDS = Gauge(
    "darkroom_cost_cap_holds", "1 while slots wait because their recipe's day is spent.", ["recipe"]
)
READY = Gauge(
    "darkroom_queue_messages_ready",
    "Messages that wait in a queue; not a number where the queue is missing or was not asked.",
    ["queue"],
)
CONSUMERS = Gauge(
    "darkroom_queue_consumers", "Who listens to a queue, in all processes.", ["queue"]
)

WAITING, DEAD = "waiting", "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureLevels:
    """What lies in Postgres. Every replica measures the same; take the largest."""

    database: Database

    async def run_once(self) -> dict[str, int]:
        names = [queue.name for queue in QUEUES]
        async with self.database.connection() as db:
            now = await levels.read(db)
            parked = await levels.parked(db, names)
            budgets = await levels.budgets(db)
            capped = await caps.today(db)
        _set(OUTBOX, OUTBOX_AGE, now.owed)
        _set(DUE, DUE_AGE, now.due)
        _set(IN_DOUBT, IN_DOUBT_AGE, now.in_doubt)
        _set(OPEN_JOBS, OPEN_JOBS_AGE, now.open_jobs)
        for of in parked:
            for state, level in ((WAITING, of.waiting), (DEAD, of.dead)):
                labels = (of.queue, state)
                _set(PARKED.labels(*labels), PARKED_AGE.labels(*labels), level)
        for budget in budgets:
            BUDGET.labels(budget.bucket).set(max(0.0, budget.tokens) / budget.capacity)
        for gauge in (CAP, CAP_COUNTED, CAP_HOLDS):
            gauge.clear()  # of a recipe that has none any more, or was not asked for today
        for cap in capped:
            CAP.labels(cap.recipe).set(cap.cap_micros / 1e6)
            CAP_COUNTED.labels(cap.recipe).set(cap.spent.micros / 1e6)
            CAP_HOLDS.labels(cap.recipe).set(cap.held_until is not None)
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureQueues:
    """What lies in the broker, and who listens there."""

    queues: QueueLevels

    async def run_once(self) -> dict[str, int]:
        """A broker that does not answer leaves no number behind that looks like news."""
        for queue in QUEUES:
            READY.labels(queue.name).set(math.nan)
        for name, level in (await self.queues.read(QUEUES)).items():
            READY.labels(name).set(math.nan if level is None else level.ready)
            CONSUMERS.labels(name).set(0 if level is None else level.consumers)
        return {}


def _set(count: Gauge, age: Gauge, level: Level) -> None:
    count.set(level.count)
    age.set(level.seconds)
