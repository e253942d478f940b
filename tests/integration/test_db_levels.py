"""How much waits, and how long: right, and at the same cost on the day on which much waits."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import utc_now
from shared.db import levels, parked, rate_limit
from shared.db.connection import Connection, Database
from shared.db.levels import Levels
from shared.domain.level import COUNTED, Level
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from tests.support.purchases import a_job, a_slot

NOTHING = Level(count=0, seconds=0.0)
QUEUES = ("darkroom.storage.outputs", "darkroom.report.jobs")
# Twenty thousand of each kind; nothing of them is of interest but that they are there.
A_FLOOD = """
INSERT INTO job (id, recipe, n, ordered_at, created_at)
SELECT gen_random_uuid(), 'variations', 20000, now(), now() - i * interval '1 second'
  FROM generate_series(1, 20000) i;
INSERT INTO slot (job_id, ordinal, model, input, due_at)
SELECT (SELECT id FROM job LIMIT 1), i, 'owner/model', '{}', now() - i * interval '1 ms'
  FROM generate_series(1, 20000) i;
INSERT INTO journal (event_id, type, source, origin, body, occurred_at)
SELECT 'event-' || i, 'slot.failed', 'darkroom/storage', 'stated', 'x', now()
  FROM generate_series(1, 20000) i;
INSERT INTO parked_message (queue, event_id, type, source, body, reason, occurred_at, due_at)
SELECT 'darkroom.storage.outputs', 'event-' || i, 'prediction.succeeded', 'replicate', 'x', 'why',
       now(), CASE WHEN i % 2 = 0 THEN now() END
  FROM generate_series(1, 20000) i;
ANALYZE;
"""


async def read(database: Database) -> Levels:
    async with database.connection() as db:
        return await levels.read(db)


async def park(database: Database, event_id: str, *, due_in: timedelta | None) -> None:
    envelope = Envelope(
        id=event_id, type="prediction.succeeded", source="replicate", time=utc_now(), body=b"{}"
    )
    async with database.transaction() as tx:
        await parked.park(
            tx, QUEUES[0], envelope, reason="why", trace=None, attempts=1, due_in=due_in
        )


async def test_where_nothing_waits_every_level_is_nothing(database: Database) -> None:
    now = await read(database)
    async with database.connection() as db:
        of_queues = await levels.parked(db, QUEUES)

    assert now == Levels(owed=NOTHING, due=NOTHING, in_doubt=NOTHING, open_jobs=NOTHING)
    assert [(of.queue, of.waiting, of.dead) for of in of_queues] == [
        (queue, NOTHING, NOTHING) for queue in QUEUES
    ]


async def test_what_waits_is_counted_and_its_first_has_its_age(database: Database) -> None:
    doubt = await a_slot(database, SlotState.IN_DOUBT)
    async with database.connection() as db:
        await db.execute(
            "UPDATE slot SET moved_at = now() - interval '5 minutes' WHERE job_id = $1",
            doubt.job_id,
        )
    job_id = await a_job(database, n=3)
    async with database.connection() as db:
        await db.execute(
            """UPDATE slot SET due_at = now() + CASE ordinal WHEN 1 THEN interval '-90 seconds'
                                                              WHEN 2 THEN interval '-10 seconds'
                                                              ELSE interval '1 hour' END
                WHERE job_id = $1""",
            job_id,
        )

    now = await read(database)

    assert (now.due.count, now.in_doubt.count, now.open_jobs.count) == (2, 1, 2)
    assert 90 <= now.due.seconds < 100
    assert 300 <= now.in_doubt.seconds < 310
    assert 0 < now.open_jobs.seconds < 60


async def test_a_fact_is_owed_until_it_is_published(database: Database) -> None:
    slot = await a_slot(database, SlotState.FAILED)

    owed = (await read(database)).owed
    async with database.connection() as db:
        await db.execute("UPDATE journal SET published_at = now() WHERE job_id = $1", slot.job_id)

    assert owed.count == 1
    assert 0 < owed.seconds < 60
    assert (await read(database)).owed == NOTHING


async def test_parked_messages_are_told_by_queue_and_the_dead_apart(database: Database) -> None:
    await park(database, "a", due_in=timedelta(minutes=1))
    await park(database, "b", due_in=None)
    await park(database, "c", due_in=None)
    async with database.connection() as db:
        await db.execute(
            "UPDATE parked_message SET first_at = now() - interval '1 hour' WHERE event_id = 'c'"
        )
        outputs, reports = await levels.parked(db, QUEUES)

    assert (outputs.waiting.count, outputs.dead.count) == (1, 2)
    assert 3600 <= outputs.dead.seconds < 3700
    assert outputs.waiting.seconds < 60
    assert (reports.waiting, reports.dead) == (NOTHING, NOTHING)


async def test_a_budget_is_what_lies_there_now_and_nothing_while_it_is_paused(
    database: Database,
) -> None:
    async with database.connection() as db:
        assert await rate_limit.take(db, rate_limit.CREATES, per_minute=60, tokens=5) is None
        [left] = await levels.budgets(db)
        await rate_limit.pause(
            db, rate_limit.CREATES, lasting=timedelta(minutes=1), reason="unpaid"
        )
        [paused] = await levels.budgets(db)

    assert (left.bucket, left.capacity) == (rate_limit.CREATES, 10)
    assert 5 <= left.tokens < 7
    assert paused.tokens == 0


@pytest.mark.parametrize("question", ["levels", "parked"])
async def test_a_flood_is_counted_to_its_bound_and_costs_no_more_pages_than_a_stream(
    database: Database, question: str
) -> None:
    async with database.connection() as db:
        for statement in filter(str.strip, A_FLOOD.split(";")):
            await db.execute(statement)
        # A page holds dozens of index entries, and each count reads one bound's worth.
        most = COUNTED / 5
        counting = Counting(db)
        if question == "levels":
            await levels.read(counting)
            now = await levels.read(db)
            counts = [now.owed.count, now.due.count, now.open_jobs.count]
        else:
            await levels.parked(counting, QUEUES)
            outputs, _ = await levels.parked(db, QUEUES)
            counts = [outputs.waiting.count, outputs.dead.count]

    assert counts == [COUNTED] * len(counts)
    assert counting.rows_read <= 5 * COUNTED
    assert counting.pages < most, counting.pages


class Counting(Connection):
    """Asks how many pages each question touches, and rows it reads, instead of its answer."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)
        self._connection = connection
        self.pages = 0
        self.rows_read = 0

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        rows = await self._connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query}", *args
        )
        plan = rows[0]["QUERY PLAN"]
        told = json.loads(plan) if isinstance(plan, str) else plan
        whole = told[0]["Plan"]
        self.pages += whole["Shared Hit Blocks"] + whole["Shared Read Blocks"]
        self.rows_read += sum(
            map(int, re.findall(r'"Actual Rows": (\d+)', json.dumps(_scans(whole))))
        )
        return []

    async def fetchrow(self, query: str, *args: Any) -> Any:
        await self.fetch(query, *args)
        return {
            f"{name}{end}": None if end else 0
            for name in ("owed", "due", "in_doubt", "open_jobs")
            for end in ("", "_since")
        } | {"now": utc_now()}


def _scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes that read tables or indexes."""
    inner = [scan for one in plan.get("Plans", []) for scan in _scans(one)]
    own = {name: value for name, value in plan.items() if name != "Plans"}
    return [*inner, *([own] if "Scan" in own["Node Type"] else [])]
