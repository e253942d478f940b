"""The reconciler looks after successes that nobody stores: said again while they last, then closed."""

import math
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from services.reconciler.losses import SILENT, SUCCEEDED, WatchLosses
from services.reconciler.unsaved import RescueOutputs
from shared.clock import utc_now
from shared.db import journal
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.db.record import FILES_LIVE, AgainRule
from shared.db.slots import Slot
from shared.domain.identity import verdict_id
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from shared.messaging.topology import STORAGE_OUTPUTS, STORAGE_URGENT
from tests.support.purchases import (
    MINUTE,
    a_slot,
    always,
    hear,
    never,
    news,
    the_purchase,
    the_slot,
)


class Told:
    """What was published, and where to."""

    def __init__(self) -> None:
        self.messages: list[tuple[str | None, Envelope]] = []

    async def __call__(self, envelope: Envelope, /, *, to_queue: str | None = None) -> None:
        self.messages.append((to_queue, envelope))


def a_rescue(
    database: Database,
    told: Told,
    *,
    again: AgainRule = never,
    later: timedelta = timedelta(0),
    files_live: timedelta = FILES_LIVE,
) -> RescueOutputs:
    def now() -> datetime:
        return utc_now() + later

    return RescueOutputs(
        database=database,
        publish=told,
        again=again,
        patience=timedelta(0),
        now=now,
        files_live=files_live,
    )


async def a_success(database: Database) -> tuple[Envelope, Slot]:
    """A slot whose files are made and only at Replicate, and the news that said so."""
    prediction_id = uuid4().hex[:26]
    slot = await a_slot(database, SlotState.RUNNING, prediction_id=prediction_id)
    said = news(
        prediction_id,
        "succeeded",
        row=await the_purchase(database, slot),
        output="https://x/a.png",
        event_id=verdict_id(prediction_id, "succeeded"),
        completed_at=utc_now().isoformat(),
    )
    await hear(database, said, now=utc_now())
    return said, slot


async def test_a_success_that_fell_out_of_every_queue_is_said_again_to_the_urgent_one(
    database: Database,
) -> None:
    said, _ = await a_success(database)
    told = Told()

    counts = await a_rescue(database, told).run_once()

    [(queue, envelope)] = told.messages
    assert queue == STORAGE_URGENT.name
    assert (envelope.id, envelope.body) == (said.id, said.body)
    assert counts == {"outputs_rescued": 1, "outputs_lost": 0}


async def test_what_is_deleted_first_is_said_again_first(database: Database) -> None:
    said = {}
    for minutes in (20, 40, 5):
        envelope, slot = await a_success(database)
        said[minutes] = envelope.id
        async with database.transaction() as tx:
            await tx.execute(
                "UPDATE slot SET expires_at = $2 WHERE job_id = $1",
                slot.job_id,
                utc_now() + timedelta(minutes=minutes),
            )
    told = Told()

    await a_rescue(database, told).run_once()

    assert [envelope.id for _, envelope in told.messages] == [said[5], said[20], said[40]]


async def test_a_success_that_waits_parked_is_left_to_its_time(database: Database) -> None:
    said, _ = await a_success(database)
    await Parked(database).park(
        STORAGE_OUTPUTS.name,
        said,
        reason="later",
        trace=None,
        attempts=1,
        due_in=timedelta(minutes=1),
    )
    told = Told()

    soon = await a_rescue(database, told).run_once()
    late = await a_rescue(database, told, later=timedelta(hours=2)).run_once()

    assert told.messages == []
    assert soon == late == {"outputs_rescued": 0, "outputs_lost": 0}


async def test_what_waits_parked_at_the_front_keeps_nobody_from_being_said_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reconciler.unsaved.BATCH", 2)
    for _ in range(4):
        said, _ = await a_success(database)
        await Parked(database).park(
            STORAGE_OUTPUTS.name, said, reason="later", trace=None, attempts=1, due_in=MINUTE
        )
    fallen_out, slot = await a_success(database)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE slot SET expires_at = expires_at + interval '1 minute' WHERE job_id = $1",
            slot.job_id,
        )
    told = Told()

    counts = await a_rescue(database, told).run_once()

    assert counts == {"outputs_rescued": 1, "outputs_lost": 0}
    assert [envelope.id for _, envelope in told.messages] == [fallen_out.id]


async def test_a_success_is_not_said_again_while_the_last_copy_may_lie_in_storages_line(
    database: Database,
) -> None:
    said, _ = await a_success(database)
    told = Told()
    async with database.transaction() as tx:  # it was heard a while ago
        await tx.execute("UPDATE slot SET moved_at = now() - interval '5 minutes'")
        await tx.execute("UPDATE journal SET published_at = now() - interval '5 minutes'")

    first = await a_rescue(database, told).run_once()
    soon = await a_rescue(database, told).run_once()
    later = await a_rescue(database, told, later=timedelta(minutes=11)).run_once()

    rescued = [counts["outputs_rescued"] for counts in (first, soon, later)]
    assert rescued == [1, 0, 1]
    assert {envelope.id for _, envelope in told.messages} == {said.id}


async def test_files_that_are_gone_fail_their_slot_as_expired_and_say_so(
    database: Database,
) -> None:
    _, slot = await a_success(database)

    counts = await a_rescue(database, Told(), later=timedelta(hours=2)).run_once()

    after = await the_slot(database, slot.job_id)
    async with database.connection() as db:
        entries = await journal.of_job(db, after.job_id)
    assert counts == {"outputs_rescued": 0, "outputs_lost": 1}
    assert (after.state, after.failure_code) == (SlotState.FAILED, "expired")
    assert (await the_purchase(database, slot)).lost_at is not None
    assert [entry.type for entry in entries].count("slot.failed") == 1


@pytest.mark.parametrize(
    ("files_live", "lost"), [(timedelta(hours=1), 0), (timedelta(minutes=6), 1)]
)
async def test_storage_has_the_last_word_for_a_part_of_the_time_that_files_live(
    database: Database, files_live: timedelta, lost: int
) -> None:
    await a_success(database)
    just_over = timedelta(hours=1, minutes=1)

    counts = await a_rescue(database, Told(), later=just_over, files_live=files_live).run_once()

    assert counts["outputs_lost"] == lost


async def test_files_that_are_gone_are_bought_again_where_the_recipe_pays(
    database: Database,
) -> None:
    _, slot = await a_success(database)

    await a_rescue(database, Told(), again=always, later=timedelta(hours=2)).run_once()

    after = await the_slot(database, slot.job_id)
    assert (after.state, after.attempt) == (SlotState.PENDING, 2)
    assert (await the_purchase(database, slot, attempt=1)).lost_at is not None


async def test_the_time_to_the_next_loss_is_measured(database: Database) -> None:
    watch = WatchLosses(database=database, files_live=FILES_LIVE, now=utc_now)
    await watch.run_once()
    nothing = (seconds_to_loss(SUCCEEDED), seconds_to_loss(SILENT))

    await a_success(database)
    await a_slot(database, SlotState.RUNNING, prediction_id="p-silent")
    async with database.connection() as db:
        await db.execute(
            "UPDATE prediction SET ask_at = now(), created_at = now() - interval '50 minutes'"
            " WHERE prediction_id = 'p-silent'"
        )
    await watch.run_once()

    assert nothing == (math.inf, math.inf)
    assert 3500 < seconds_to_loss(SUCCEEDED) <= 3600
    assert 500 < seconds_to_loss(SILENT) <= 600


async def test_the_next_loss_is_reckoned_by_how_long_the_provider_keeps_files(
    database: Database,
) -> None:
    await a_slot(database, SlotState.RUNNING, prediction_id="p-silent")
    async with database.connection() as db:
        await db.execute("UPDATE prediction SET ask_at = now(), created_at = now()")

    await WatchLosses(database=database, files_live=timedelta(minutes=6), now=utc_now).run_once()

    assert 300 < seconds_to_loss(SILENT) <= 360


def seconds_to_loss(of: str) -> float:
    value = REGISTRY.get_sample_value("darkroom_seconds_to_loss", {"of": of})
    assert value is not None
    return value
