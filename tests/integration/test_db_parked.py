"""Parked messages: kept until they are due, brought back once, or dead with their reason."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.db import journal, parked
from shared.db.connection import Database
from shared.db.parked import Before, Parked, ParkedMessage, Which
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from tests.support.purchases import MINUTE, NOON, PREDICTION, a_job, a_slot, hear, news

QUEUE = "darkroom.storage.outputs"
NOW = timedelta(0)


async def park(
    database: Database, envelope: Envelope, *, due_in: timedelta | None = NOW, **more: object
) -> None:
    keeping: dict[str, object] = {"reason": "timeout", "trace": "at …", "attempts": 1, **more}
    await Parked(database).park(QUEUE, envelope, due_in=due_in, **keeping)  # type: ignore[arg-type]


async def due(database: Database, *, limit: int = 10) -> list[ParkedMessage]:
    async with database.transaction() as tx:
        return await parked.claim_due(tx, limit=limit, lease=MINUTE)


async def test_a_message_comes_back_as_it_was_parked_with_its_attempts(database: Database) -> None:
    envelope = news("p1", "succeeded", extensions={"webhook-id": "w1"})

    await park(database, envelope, attempts=3)

    (message,) = await due(database)
    assert message.envelope.attempts == 3
    assert (message.envelope.id, message.envelope.body) == (envelope.id, envelope.body)
    assert message.envelope.extensions == {"webhook-id": "w1"}
    assert (message.queue, message.reason, message.trace) == (QUEUE, "timeout", "at …")


async def test_a_message_is_not_due_before_its_time(database: Database) -> None:
    await park(database, news("p1", "succeeded"), due_in=MINUTE)

    assert await due(database) == []
    async with database.connection() as connection:
        wait = await parked.next_due_in(connection)
    assert wait is not None
    assert NOW < wait <= MINUTE


async def test_a_claimed_message_belongs_to_one_until_its_lease_is_over(
    database: Database,
) -> None:
    await park(database, news("p1", "succeeded"))

    assert len(await due(database)) == 1
    assert await due(database) == []


async def test_two_reconcilers_share_the_due_messages_without_overlap(database: Database) -> None:
    for number in range(6):
        await park(database, news(f"p{number}", "succeeded"))

    async with database.transaction() as one, database.transaction() as two:
        mine = await parked.claim_due(one, limit=4, lease=MINUTE)
        async with asyncio.timeout(3):
            theirs = await parked.claim_due(two, limit=4, lease=MINUTE)

    assert (len(mine), len(theirs)) == (4, 2)
    assert {message.id for message in mine}.isdisjoint(message.id for message in theirs)


async def test_what_expires_soonest_comes_back_first(database: Database) -> None:
    await park(database, news("p1", "succeeded", event_id="never"))
    await park(database, news("p2", "succeeded", event_id="late"), expires_at=NOON + MINUTE)
    await park(database, news("p3", "succeeded", event_id="soon"), expires_at=NOON)

    first = await due(database, limit=2)
    then = await due(database, limit=2)

    assert [message.event_id for message in first + then] == ["soon", "late", "never"]


async def test_a_message_that_its_queue_has_again_is_forgotten(database: Database) -> None:
    await park(database, news("p1", "succeeded"))
    (message,) = await due(database)

    async with database.transaction() as tx:
        assert await parked.brought_back(tx, message.id, message.generation)
        assert not await parked.brought_back(tx, message.id, message.generation)
        assert await parked.get(tx, message.id) is None


async def test_a_message_parked_anew_while_it_was_brought_back_stays(database: Database) -> None:
    envelope = news("p1", "succeeded")
    await park(database, envelope, attempts=1)
    (message,) = await due(database)

    await park(database, envelope, attempts=2, due_in=MINUTE, reason="again")

    async with database.transaction() as tx:
        assert not await parked.brought_back(tx, message.id, message.generation)
        kept = await parked.get(tx, message.id)
    assert kept is not None
    assert (kept.attempts, kept.reason, kept.generation) == (2, "again", 2)
    assert kept.first_at == message.first_at


async def parked_and_brought_back(
    database: Database, envelope: Envelope, queue: str = QUEUE
) -> None:
    await Parked(database).park(queue, envelope, reason="busy", trace=None, attempts=1, due_in=NOW)
    (message,) = await due(database)
    async with database.transaction() as tx:
        assert await parked.brought_back(tx, message.id, message.generation)


async def before(database: Database, envelope: Envelope) -> Before | None:
    """What is told of the message that is parked now, for good."""
    await park(database, envelope, due_in=None)
    async with database.connection() as db:
        (message,) = await parked.listing(db, Which(named=[envelope.id]), limit=9)
        return await parked.before(db, message)


async def test_a_message_tells_how_often_it_was_parked_before_for_its_queue(
    database: Database,
) -> None:
    job_id = await a_job(database)
    envelope = replace(news("p1", "succeeded"), subject=str(job_id))
    other = replace(news("p2", "succeeded"), subject=str(job_id))
    for _ in range(3):
        await parked_and_brought_back(database, envelope)
    await parked_and_brought_back(database, envelope, "darkroom.generator.verdicts")
    await parked_and_brought_back(database, other)

    told = await before(database, envelope)

    async with database.connection() as db:
        last = await db.fetchval(
            "SELECT max(recorded_at) FROM journal WHERE causation_id = $1 AND outcome = $2",
            envelope.id,
            QUEUE,
        )
    assert told == Before(3, last)


async def test_news_that_named_no_job_tells_it_by_the_job_that_it_was_heard_of(
    database: Database,
) -> None:
    slot = await a_slot(database, SlotState.SUBMITTED)
    envelope = news(PREDICTION, "succeeded")
    assert envelope.subject is None
    await hear(database, envelope)
    await parked_and_brought_back(database, envelope)

    told = await before(database, envelope)

    assert told is not None
    assert told.times == 1
    async with database.connection() as db:
        assert [one.type for one in await journal.of_job(db, slot.job_id)][-1] == parked.WAITED


@pytest.mark.parametrize("subject", [None, "invoice 17"])
async def test_nothing_is_told_of_before_where_nothing_is_on_record(
    database: Database, subject: str | None
) -> None:
    about_a_job = replace(news("p1", "succeeded"), subject=str(await a_job(database)))
    about_none = replace(news("p2", "succeeded"), subject=subject)
    await parked_and_brought_back(database, about_none)

    assert await before(database, about_a_job) is None
    assert await before(database, about_none) is None


async def test_parking_again_forgets_no_expiry(database: Database) -> None:
    envelope = news("p1", "succeeded")
    await park(database, envelope, expires_at=NOON)

    await park(database, envelope)

    (message,) = await due(database)
    assert message.expires_at == NOON


async def test_the_same_event_waits_for_each_queue_on_its_own(database: Database) -> None:
    envelope = news("p1", "succeeded")
    await park(database, envelope)
    await Parked(database).park(
        "darkroom.generator.verdicts", envelope, reason="x", trace=None, attempts=1, due_in=NOW
    )

    assert len(await due(database)) == 2


async def test_a_dead_message_waits_for_an_operator_only(database: Database) -> None:
    await park(database, news("p1", "succeeded"), due_in=None, reason="unreadable", attempts=8)

    assert await due(database) == []
    async with database.transaction() as tx:
        (dead,) = await parked.listing(tx, Which(dead=True), limit=9)
        assert await parked.listing(tx, Which(dead=False), limit=9) == []
        assert await parked.listing(tx, Which(queue="another"), limit=9) == []
        (count,) = await parked.counts(tx)
        assert await parked.next_due_in(tx) is None
    assert dead.is_dead
    assert (count.queue, count.waiting, count.dead) == (QUEUE, 0, 1)


async def test_an_operator_brings_a_dead_message_back_with_all_its_attempts(
    database: Database,
) -> None:
    await park(database, news("p1", "succeeded"), due_in=None, attempts=8)
    async with database.transaction() as tx:
        (dead,) = await parked.listing(tx, limit=9)
        assert await parked.bring_back(tx, Which(named=[str(dead.id)])) == 1

    (message,) = await due(database)

    assert message.attempts == 0


async def test_an_operator_discards_a_message_for_good(database: Database) -> None:
    await park(database, news("p1", "succeeded"))
    async with database.transaction() as tx:
        (message,) = await parked.listing(tx, limit=9)

        assert await parked.discard(tx, Which(named=[message.event_id])) == 1
        assert await parked.discard(tx, Which(named=[message.event_id])) == 0


async def test_a_dead_letter_of_the_broker_joins_the_one_list_of_the_dead(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await parked.add_dead(tx, QUEUE, news("p1", "succeeded"), reason="delivered 20 times")
        (dead,) = await parked.listing(tx, Which(dead=True), limit=9)

    assert dead.reason == "delivered 20 times"


async def test_words_that_postgres_cannot_keep_do_not_keep_a_message_out(
    database: Database,
) -> None:
    await park(database, news("p1", "succeeded"), reason="a\x00b\ud800" + "x" * 9000, trace="\x00")

    (message,) = await due(database)

    assert message.reason.startswith("ab?x")
    assert len(message.reason) == parked.REASON_KEPT


async def test_every_start_of_a_suspicious_message_is_counted(database: Database) -> None:
    parking, envelope = Parked(database), news("p1", "succeeded")

    starts = [await parking.note_start(QUEUE, envelope) for _ in range(3)]

    assert starts == [1, 2, 3]
    assert await parking.note_start(QUEUE, news("p2", "succeeded")) == 1
    async with database.transaction() as tx:
        assert await parked.forget_suspects(tx, older_than=MINUTE) == 0
        await tx.execute("UPDATE suspect_start SET last_at = now() - interval '1 hour'")
        assert await parked.forget_suspects(tx, older_than=MINUTE) == 2


async def test_messages_are_chosen_by_their_job_and_by_when_they_were_parked(
    database: Database,
) -> None:
    mine, other = uuid4(), uuid4()
    for job in (mine, other):
        await Parked(database).park(
            "q",
            replace(news("p1", "failed"), id=str(job), subject=str(job)),
            reason="busy",
            trace=None,
            attempts=1,
            due_in=None,
        )
    async with database.connection() as tx:
        now = await tx.fetchval("SELECT now()")
        minute = timedelta(minutes=1)
        of_mine = await parked.listing(tx, Which(job=mine), limit=9)
        recent = await parked.how_many(tx, Which(since=now - minute))
        later = await parked.how_many(tx, Which(since=now + minute))

    assert [message.subject for message in of_mine] == [str(mine)]
    assert (recent, later) == (2, 0)


async def test_what_is_meant_is_counted_by_queue_and_type_with_the_latest_reason(
    database: Database,
) -> None:
    for number, (queue, reason) in enumerate([("a", "old"), ("a", "new"), ("b", "other")]):
        await Parked(database).park(
            queue,
            news("p1", "failed", event_id=f"e{number}"),
            reason=reason,
            trace=None,
            attempts=1,
            due_in=None,
        )
    async with database.connection() as tx:
        kinds = await parked.kinds(tx, Which(dead=True))

    assert [(kind.queue, kind.count, kind.reason) for kind in kinds] == [
        ("a", 2, "new"),
        ("b", 1, "other"),
    ]


async def test_bringing_a_message_back_forgets_the_starts_that_it_ended(
    database: Database,
) -> None:
    event = news("p1", "failed")
    for _ in range(3):
        await Parked(database).note_start("q", event)
    await Parked(database).park("q", event, reason="r", trace=None, attempts=1, due_in=None)

    async with database.transaction() as tx:
        assert await parked.bring_back(tx, Which(named=[event.id])) == 1

    assert await Parked(database).note_start("q", event) == 1


async def test_messages_are_chosen_by_queue_type_state_and_a_part_of_their_reason(
    database: Database,
) -> None:
    await park(database, news("p1", "succeeded"), due_in=None, reason="Timeout of the BUCKET")
    await park(database, news("p2", "failed"), due_in=MINUTE, reason="too early")

    async def chosen(which: Which) -> list[str]:
        async with database.connection() as tx:
            found = await parked.listing(tx, which, limit=9)
            assert await parked.how_many(tx, which) == len(found)
            return sorted(message.type for message in found)

    assert await chosen(Which()) == ["prediction.failed", "prediction.succeeded"]
    assert await chosen(Which(reason="the bucket")) == ["prediction.succeeded"]
    assert await chosen(Which(reason="50%")) == []
    assert await chosen(Which(type="prediction.failed")) == ["prediction.failed"]
    assert await chosen(Which(dead=True, type="prediction.failed")) == []
    assert await chosen(Which(queue="another")) == []
    assert await chosen(Which(named=[])) == []
