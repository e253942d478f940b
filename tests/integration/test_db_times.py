"""What a job's time is cut at, as it stands in Postgres: written down once, and read without bodies."""

import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from shared import events
from shared.clock import utc_now
from shared.db import journal, parked, predictions, slots, times
from shared.db.connection import Connection, Database
from shared.db.parked import WAITED
from shared.domain.clocks import Clock
from shared.domain.identity import verdict_id
from shared.domain.slot import Move, SlotState
from shared.domain.times import JobTimes
from shared.domain.waterfall import Stage, waterfall
from shared.envelope import Envelope
from shared.events import StoringTimes, UploadReceived
from tests.support.purchases import (
    MINUTE,
    PREDICTION,
    a_job,
    a_slot,
    claim,
    end_job,
    given_up,
    hear,
    moved,
    news,
    the_slot,
)

S = SlotState
SUCCEEDED = verdict_id(PREDICTION, "succeeded")


async def known(database: Database, job_id: UUID) -> JobTimes:
    async with database.connection() as tx:
        found = await times.read(tx, job_id)
    assert found is not None
    return found


async def stages(database: Database, job_id: UUID) -> list[Stage]:
    (lane,) = waterfall(await known(database, job_id)).lanes
    return [segment.stage for segment in lane.segments]


async def park(database: Database, envelope: Envelope) -> None:
    async with database.transaction() as tx:
        await parked.park(
            tx,
            "darkroom.storage.outputs",
            envelope,
            reason="busy",
            trace=None,
            attempts=1,
            due_in=timedelta(0),
        )


async def bring_back(database: Database, *, lease: timedelta | None = None) -> bool:
    """As the reconciler does."""
    async with database.connection() as tx:
        (message,) = await parked.claim_due(tx, limit=1, lease=lease or MINUTE)
        return await parked.brought_back(tx, message.id, message.generation, lease=lease)


async def timeline(database: Database, job_id: UUID) -> list[journal.Entry]:
    async with database.connection() as tx:
        return await journal.of_job(tx, job_id)


async def stored(tx: Connection, job_id: UUID, told: StoringTimes | None) -> None:
    slot = (await slots.of_job(tx, job_id))[0]
    await slots.move(tx, slot, Move(S.STORED), skipped=[])
    fact = events.ArtifactsStored(
        job_id=job_id, ordinal=1, attempt=slot.attempt, artifacts=(), times=told
    )
    await journal.say(tx, events.state(fact, source="storage", now=utc_now()), ordinal=1)
    await slots.count_closed(tx, job_id)


async def test_a_job_that_nobody_knows_has_no_times(database: Database) -> None:
    async with database.connection() as tx:
        assert await times.read(tx, uuid4()) is None


async def test_the_headers_of_the_webhook_tell_its_way(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    told = {
        "darkroom-origin": "webhook",
        "received-at": "2026-06-01T12:00:01+00:00",
        "handed-at": "2026-06-01T12:00:02+00:00",
        "webhook-timestamp": "1780315200",
    }
    await hear(
        database,
        news(
            PREDICTION,
            "succeeded",
            event_id=SUCCEEDED,
            extensions=told,
            created_at="2026-06-01T11:59:00Z",
            started_at="2026-06-01T11:59:10Z",
            completed_at="2026-06-01T12:00:00Z",
        ),
    )

    (slot_times,) = (await known(database, slot.job_id)).slots
    (bought,) = slot_times.bought
    assert bought.verdict is not None
    assert (bought.verdict.succeeded, bought.verdict.found) == (True, False)
    assert bought.verdict.received_at == datetime.fromisoformat(told["received-at"])
    assert bought.verdict.handed_at == datetime.fromisoformat(told["handed-at"])
    assert bought.verdict.sent_at == datetime.fromisoformat("2026-06-01T12:00:00+00:00")
    assert bought.started_at == datetime.fromisoformat("2026-06-01T11:59:10+00:00")


async def test_headers_that_are_no_times_are_none(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    odd = {"received-at": "noon", "handed-at": "2026-06-01T12:00:02", "webhook-timestamp": "9" * 40}
    await hear(database, news(PREDICTION, "succeeded", event_id=SUCCEEDED, extensions=odd))

    (slot_times,) = (await known(database, slot.job_id)).slots
    verdict = slot_times.bought[0].verdict
    assert verdict is not None
    assert (verdict.received_at, verdict.handed_at, verdict.sent_at) == (None, None, None)


async def test_storages_own_times_come_from_the_fact_that_it_states(database: Database) -> None:
    slot = await a_slot(database, S.SUCCEEDED)
    now = utc_now()
    told = StoringTimes(taken_at=now, begun_at=now, fetched_at=now, finished_at=now, put_at=now)
    async with database.transaction() as tx:
        await stored(tx, slot.job_id, told)

    (slot_times,) = (await known(database, slot.job_id)).slots

    assert slot_times.stored is not None
    assert (slot_times.stored.taken_at, slot_times.stored.put_at) == (now, now)
    assert slot_times.closed_at is not None
    assert slot_times.counted_at is not None


async def test_what_is_past_its_retention_is_told_together(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    await hear(database, news(PREDICTION, "succeeded", event_id=SUCCEEDED))
    now = utc_now()
    told = StoringTimes(taken_at=now, begun_at=now, fetched_at=now, finished_at=now, put_at=now)
    async with database.transaction() as tx:
        await stored(tx, slot.job_id, told)
        await tx.execute("UPDATE journal SET body = NULL, headers = '{}'")

    assert Stage.STORE in await stages(database, slot.job_id)
    assert (await known(database, slot.job_id)).slots[0].stored is None


# ---- waits


async def test_a_message_that_was_parked_leaves_its_wait_in_the_timeline(
    database: Database,
) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    heard = news(PREDICTION, "succeeded", event_id=SUCCEEDED)
    await hear(database, heard)
    await park(database, heard)

    assert await bring_back(database, lease=MINUTE)

    entry = (await timeline(database, slot.job_id))[-1]
    assert (entry.type, entry.outcome) == (WAITED, "darkroom.storage.outputs")
    assert (entry.ordinal, entry.causation_id) == (1, SUCCEEDED)
    assert entry.published_at is not None  # it is said to nobody
    # Until it was claimed, which is before its queue had it again.
    assert entry.occurred_at <= entry.recorded_at < entry.published_at
    (wait,) = (await known(database, slot.job_id)).slots[0].bought[0].verdict.waits  # type: ignore[union-attr]
    assert (wait.parked_at, wait.brought_at) == (entry.occurred_at, entry.recorded_at)
    assert Stage.PARKED in await stages(database, slot.job_id)


async def test_a_message_that_is_parked_still_waits_now(database: Database) -> None:
    slot = await a_slot(database, S.SUBMITTED)
    heard = news(PREDICTION, "succeeded", event_id=SUCCEEDED)
    await hear(database, heard)
    await park(database, heard)

    assert (await stages(database, slot.job_id))[-1] is Stage.PARKED


async def test_a_message_about_no_job_leaves_nothing(database: Database) -> None:
    await park(database, news("stranger", "succeeded"))

    assert await bring_back(database)

    async with database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM journal") == 0


async def test_an_order_that_was_parked_waited_before_its_plan(database: Database) -> None:
    job_id = uuid4()
    fact = UploadReceived(recipe="variations", job_id=job_id)
    order = events.state(fact, source="shop", now=utc_now())
    await park(database, order)
    assert await bring_back(database)
    await a_job(database, id=job_id, ordered_at=order.time)
    async with database.transaction() as tx:
        await journal.hear(tx, order, outcome="planned", job_id=job_id)

    found = await known(database, job_id)

    assert len(found.waits) == 1
    assert found.ordered_by is Clock.PUBLISHER
    assert Stage.PARKED in await stages(database, job_id)


async def test_an_order_that_we_wrote_down_ourselves_has_our_time(database: Database) -> None:
    job_id = await a_job(database)
    order = events.state(
        UploadReceived(recipe="variations", job_id=job_id), source="api", now=utc_now()
    )
    async with database.transaction() as tx:
        await journal.say(tx, order)
        await journal.hear(tx, order, outcome="planned", job_id=job_id)

    found = await known(database, job_id)

    assert found.ordered_by is Clock.DATABASE
    assert found.ordered_at > (await the_slot(database, job_id)).created_at


# ---- purchases


async def test_a_create_that_was_not_taken_keeps_when_it_was_first_tried(
    database: Database,
) -> None:
    job_id = await a_job(database)
    async with database.transaction() as tx:
        (slot,) = await claim(tx)
    async with database.transaction() as tx:
        await predictions.set_outcome(
            tx, job_id, 1, 1, predictions.Purchase.NOT_BOUGHT, error="busy"
        )
    await moved(database, slot, Move(S.PENDING))
    assert (await stages(database, job_id))[-1] is Stage.TURNED_AWAY
    async with database.transaction() as tx:
        await claim(tx)

    (bought,) = (await known(database, job_id)).slots[0].bought
    assert bought.first_intended_at is not None
    assert bought.first_intended_at < bought.intended_at
    assert Stage.TURNED_AWAY in await stages(database, job_id)


async def test_a_purchase_that_was_never_made_is_doubt(database: Database) -> None:
    slot = await a_slot(database, S.IN_DOUBT)
    assert (await stages(database, slot.job_id))[-1] is Stage.DOUBT

    await given_up(database, slot)

    told = await stages(database, slot.job_id)
    assert told[-2:] == [Stage.DOUBT, Stage.CREATE]


async def test_a_slot_that_its_job_cut_off_ends_where_it_was(database: Database) -> None:
    slot = await a_slot(database, S.PENDING)

    await end_job(database, slot.job_id)

    (lane,) = waterfall(await known(database, slot.job_id)).lanes
    assert lane.segments[-1].stage is Stage.QUEUE
    assert json.dumps(lane.ends)
