"""The questions that are asked all day find their rows by an index, however full the tables are."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.db import caps, jobs, journal, parked, predictions, slots
from shared.db.connection import Connection, Database
from shared.db.jobs import Wanted
from shared.db.parked import ParkedMessage
from shared.domain.cap import Day
from tests.support.purchases import MINUTE, NOON, a_job

Ask = Callable[[Connection], Awaitable[object]]


def a_message() -> ParkedMessage:
    return ParkedMessage(
        id=UUID(int=7),
        queue="darkroom.storage.outputs",
        event_id="event-77",
        type="prediction.succeeded",
        source="replicate",
        subject=str(UUID(int=7)),
        body=b"",
        headers={},
        causation_id=None,
        traceparent=None,
        attempts=1,
        reason="no",
        trace=None,
        occurred_at=NOON,
        first_at=NOON,
        parked_at=NOON,
        due_at=None,
        expires_at=None,
        generation=1,
    )


HOT: dict[str, tuple[Ask, str]] = {
    "slots to buy": (lambda tx: slots.claim_due(tx, limit=20, lease=MINUTE), "slot_due"),
    "when a slot is due": (slots.next_due_in, "slot_due"),
    "leases that ran out": (lambda tx: slots.leases_run_out(tx, limit=20), "slot_leased"),
    "slots in doubt": (lambda tx: slots.in_doubt(tx, limit=20), "slot_in_doubt"),
    "silent predictions": (
        lambda tx: predictions.to_ask(tx, limit=20, lease=MINUTE),
        "prediction_to_ask",
    ),
    "the silence": (lambda tx: predictions.silence(tx, most=20), "prediction_to_ask"),
    "the oldest silence": (predictions.oldest_silent, "prediction_to_ask"),
    "purchases that nobody can explain": (
        lambda tx: predictions.unexplained(tx, younger_than=MINUTE, limit=20),
        "prediction_unexplained",
    ),
    "when the next files are deleted": (slots.first_expiry, "slot_expiring"),
    "predictions to cancel": (
        lambda tx: predictions.to_cancel(tx, limit=20, lease=MINUTE),
        "prediction_to_cancel",
    ),
    "a prediction by its id": (
        lambda tx: predictions.by_prediction_id(tx, "p-77"),
        "prediction_prediction_id_key",
    ),
    "facts to publish": (lambda tx: journal.claim_owed(tx, 200), "journal_owed"),
    "how much is owed": (journal.owed, "journal_owed"),
    "whether anything is owed": (journal.owes, "journal_owed"),
    "messages to bring back": (
        lambda tx: parked.claim_due(tx, limit=20, lease=MINUTE),
        "parked_message_due",
    ),
    "how often a message was parked before": (
        lambda tx: parked.before(tx, a_message()),
        "journal_of_a_job",
    ),
    "parked messages whose ids begin so": (
        lambda tx: parked.beginning_with(tx, "7b2f6a52", limit=5),
        "parked_message_pkey",
    ),
    "orders whose jobs begin so": (
        lambda tx: jobs.beginning_with(tx, "7b2f6a52", limit=5),
        "journal_of_a_job",
    ),
    "what is parked of a job": (
        lambda tx: parked.of_job(tx, UUID(int=7)),
        "parked_message_of_a_job",
    ),
    "jobs that parked messages are about": (
        lambda tx: parked.jobs_beginning_with(tx, "7b2f6a52", limit=5),
        "parked_message_of_a_job",
    ),
    "when a message is due": (parked.next_due_in, "parked_message_due"),
    "jobs past their deadline": (lambda tx: jobs.overdue(tx, limit=20), "job_open_by_deadline"),
    "jobs that did one once more": (lambda tx: jobs.retries(tx, UUID(int=7)), "job_by_retried"),
    "what a recipe's day cost": (
        lambda tx: caps.spent_on(
            tx, "variations", Day(NOON, NOON + timedelta(hours=24)), estimate_micros=1
        ),
        "prediction_by_intent",
    ),
    "jobs whose ids begin so": (
        lambda tx: jobs.latest_beginning_with(tx, "7b2f6a52", open_only=False, limit=20),
        "job_pkey",
    ),
    "a page of jobs": (lambda tx: jobs.page(tx, Wanted(), limit=20), "job_by_age"),
    "a page of jobs of another team's id": (
        lambda tx: jobs.page(tx, Wanted(external_ref="ref-77"), limit=20),
        "job_by_external_ref",
    ),
    "orders that nobody has planned": (
        lambda tx: journal.orders_to_plan(
            tx, external_ref=None, recipe=None, since=None, before=None, limit=20
        ),
        "journal_asked_for",
    ),
}

# What lies in the tables of an installation that has worked for a while: nearly all of it done.
YESTERDAY = """
INSERT INTO job (id, recipe, n, ordered_at, external_ref, state, stored, ended_at, deadline,
                 created_at)
SELECT gen_random_uuid(), 'variations', 10, now(), 'ref-' || i, 'completed', 10, now(), now(),
       now() - i * interval '1 second'
  FROM generate_series(1, 1000) i;
INSERT INTO slot (job_id, ordinal, state, winner, model, input)
SELECT id, o, 'stored', 1, 'owner/model', '{}'
  FROM job, generate_series(1, 10) o
 WHERE ended_at IS NOT NULL;
INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, status, outcome,
                        create_deadline)
SELECT job_id, ordinal, 1, 'token-0123456789', 'owner/model',
       'p-' || row_number() OVER (), 'succeeded', 'accepted', now()
  FROM slot WHERE state = 'stored';
INSERT INTO journal (event_id, type, source, origin, body, occurred_at, published_at)
SELECT 'event-' || i, 'prediction.succeeded', 'replicate', 'webhook', 'x', now(), now()
  FROM generate_series(1, 10000) i;
INSERT INTO journal (event_id, type, source, origin, job_id, occurred_at, published_at)
SELECT 'order-' || id, 'upload.received', 'shop', 'heard', id, now(), now()
  FROM job;
INSERT INTO parked_message (queue, event_id, type, source, subject, body, reason, occurred_at)
SELECT 'queue', 'event-' || i, 'prediction.succeeded', 'replicate', gen_random_uuid(), 'x', 'dead',
       now()
  FROM generate_series(1, 5000) i;
ANALYZE;
"""


class Explaining(Connection):
    """Asks for the plan of each question instead of its rows."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)
        self._connection = connection
        self.plans: list[Any] = []

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        rows = await self._connection.fetch(f"EXPLAIN (FORMAT JSON) {query}", *args)
        plan = rows[0]["QUERY PLAN"]
        self.plans.append(json.loads(plan) if isinstance(plan, str) else plan)
        return []

    async def fetchrow(self, query: str, *args: Any) -> Any:
        await self.fetch(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        await self.fetch(query, *args)


async def test_no_hot_question_reads_a_whole_table(database: Database) -> None:
    await a_job(database, n=50)
    async with database.connection() as connection:
        for statement in filter(str.strip, YESTERDAY.split(";")):
            await connection.execute(statement)

        wrong: list[str] = []
        for question, (ask, index) in HOT.items():
            explaining = Explaining(connection)
            await ask(explaining)
            nodes = [node for plan in explaining.plans for node in _nodes(plan[0]["Plan"])]
            assert nodes
            used = {node.get("Index Name") for node in nodes}
            whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
            if index not in used or whole:
                wrong.append(f"{question}: uses {used - {None}}, reads all of {whole}")

    assert wrong == []


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", []) for node in _nodes(inner))]
