"""The words in which tests speak of jobs, slots and purchases, on a real Postgres."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from shared.db import jobs, predictions, slots
from shared.db.connection import Connection, Database
from shared.db.jobs import Job, NewJob
from shared.db.predictions import PredictionRow, Purchase
from shared.db.record import AgainRule, Recorded, record
from shared.db.slots import NewSlot, Slot
from shared.domain.job import JobState
from shared.domain.prediction import FACT_OF_STATUS, Status, read_prediction
from shared.domain.slot import FailureCode, Move, SlotState
from shared.envelope import Envelope

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PREDICTION = "p1"

_numbers = count(1)


def never(_job: Job, _slot: Slot, _code: FailureCode, _error: str | None) -> bool:
    """Nothing is worth another purchase."""
    return False


def always(_job: Job, _slot: Slot, _code: FailureCode, _error: str | None) -> bool:
    return True


def news(
    prediction_id: str,
    status: str,
    *,
    row: PredictionRow | None = None,
    event_id: str | None = None,
    extensions: dict[str, str] | None = None,
    **body: object,
) -> Envelope:
    """A ``prediction.*`` event as it arrives; ``row`` puts its slot into the signed body."""
    if row is not None:
        body["webhook"] = f"https://darkroom.example/webhooks/replicate?slot={row.ref}"
    return Envelope(
        id=event_id or f"event-{next(_numbers)}",
        type=FACT_OF_STATUS.get(Status(status), "prediction.progressed")
        if status in set(Status)
        else "prediction.progressed",
        source="replicate",
        time=NOON,
        body=json.dumps({"id": prediction_id, "status": status, **body}).encode(),
        extensions=extensions or {},
    )


async def hear(
    database: Database, envelope: Envelope, *, again: AgainRule = never, now: datetime = NOON
) -> Recorded:
    async with database.transaction() as tx:
        return await record(tx, envelope, again=again, now=now)


async def a_job(
    database: Database,
    *,
    n: int = 1,
    seeds: list[int | None] | None = None,
    finish: list[dict[str, Any]] | None = None,
    **order: object,
) -> UUID:
    """An open job with ``n`` slots that are due, whose outputs are to be finished so."""
    new = {"id": uuid4(), "recipe": "variations", "n": n, "ordered_at": NOON, **order}
    job_id = UUID(str(new["id"]))
    async with database.transaction() as tx:
        assert await jobs.insert(tx, NewJob(**new))  # type: ignore[arg-type]
        await slots.insert_all(
            tx,
            job_id,
            [
                NewSlot(
                    ordinal=ordinal,
                    model="owner/model",
                    input={"image": {"object": f"jobs/{job_id}/original/a.jpg"}},
                    seed=seeds[ordinal - 1] if seeds else ordinal,
                    finish=finish or [],
                )
                for ordinal in range(1, n + 1)
            ],
        )
    return job_id


async def claim(tx: Connection, *, limit: int = 100, lease: timedelta = MINUTE) -> list[Slot]:
    """Claim what is due, with the intents written."""
    claimed = await slots.claim_due(tx, limit=limit, lease=lease)
    for slot in claimed:
        await predictions.intend(
            tx, slot, token=f"token-{uuid4().hex}", create_deadline=MINUTE, ask_every=MINUTE
        )
    return claimed


async def a_slot(
    database: Database, state: SlotState, *, prediction_id: str = PREDICTION, **order: Any
) -> Slot:
    """The only slot of a new job, brought to ``state`` on the shortest way."""
    job_id = await a_job(database, **order)
    if state is not SlotState.PENDING:
        async with database.transaction() as tx:
            (slot,) = [slot for slot in await claim(tx) if slot.job_id == job_id]
        if state is SlotState.IN_DOUBT:
            await doubted(database, slot)
        elif state is SlotState.CANCELED:
            async with database.transaction() as tx:
                await slots.cancel_open(tx, job_id)
        elif state is not SlotState.CREATING:
            await bought(database, slot, prediction_id)
    told = {
        SlotState.RUNNING: "processing",
        SlotState.SUCCEEDED: "succeeded",
        SlotState.STORED: "succeeded",
        SlotState.FAILED: "failed",
    }.get(state)
    if told is not None:
        await hear(database, news(prediction_id, told))
    slot = await the_slot(database, job_id)
    return await moved(database, slot, Move(state)) if state is SlotState.STORED else slot


async def moved(database: Database, slot: Slot, to: Move) -> Slot:
    async with database.transaction() as tx:
        after = await slots.move(tx, slot, to)
    assert after is not None
    return after


async def bought(database: Database, slot: Slot, prediction_id: str) -> Slot:
    """The create of a claimed slot was answered."""
    async with database.transaction() as tx:
        await predictions.fill(
            tx,
            slot.job_id,
            slot.ordinal,
            slot.attempt,
            prediction=read_prediction({"id": prediction_id, "status": "starting"}),
        )
        after = await slots.move(tx, slot, Move(SlotState.SUBMITTED))
    assert after is not None
    return after


async def doubted(database: Database, slot: Slot) -> Slot:
    """The create of a claimed slot was not answered."""
    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, slot.job_id, slot.ordinal, slot.attempt, Purchase.IN_DOUBT, error="timeout"
        )
    return await moved(database, slot, Move(SlotState.IN_DOUBT))


async def given_up(database: Database, slot: Slot) -> Slot:
    """The list lacks a purchase in doubt; its next attempt is claimed."""
    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, slot.job_id, slot.ordinal, slot.attempt, Purchase.NOT_LISTED
        )
        assert await slots.move(tx, slot, Move(SlotState.PENDING, next_attempt=True))
    async with database.transaction() as tx:
        (again,) = [s for s in await claim(tx) if s.job_id == slot.job_id]
    return again


async def end_job(database: Database, job_id: UUID) -> None:
    async with database.transaction() as tx:
        job = await jobs.lock(tx, job_id)
        assert job is not None
        canceled = await slots.cancel_open(tx, job_id)
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=len(canceled), reason="a wish")


async def the_job(database: Database, job_id: UUID) -> Job:
    async with database.connection() as connection:
        job = await jobs.get(connection, job_id)
    assert job is not None
    return job


async def the_slot(database: Database, job_id: UUID, ordinal: int = 1) -> Slot:
    async with database.connection() as connection:
        return {slot.ordinal: slot for slot in await slots.of_job(connection, job_id)}[ordinal]


async def the_purchase(database: Database, slot: Slot, attempt: int | None = None) -> PredictionRow:
    async with database.connection() as connection:
        rows = await predictions.of_slot(connection, slot.job_id, slot.ordinal)
    return {row.attempt: row for row in rows}[attempt or slot.attempt]
