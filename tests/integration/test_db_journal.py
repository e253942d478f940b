"""The journal: every fact once, owed until it is confirmed, whoever looks."""

import asyncio
from uuid import uuid4

from shared.db import journal
from shared.db.connection import Database
from shared.envelope import FROM_RECONCILER, ORIGIN, Envelope
from tests.support.purchases import NOON, news


def a_fact(event_id: str = "fact-1", **changes: object) -> Envelope:
    attributes: dict[str, object] = {
        "id": event_id,
        "type": "slot.failed",
        "source": "darkroom/generator",
        "time": NOON,
        "body": b'{"detail": "\xc3\xa4"}',
        "subject": str(uuid4()),
        "causation_id": "cause-1",
        "traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
    }
    return Envelope(**{**attributes, **changes})  # type: ignore[arg-type]


async def test_a_fact_comes_out_of_the_journal_as_it_went_in(database: Database) -> None:
    fact = a_fact(extensions={ORIGIN: FROM_RECONCILER, "webhook-id": "w1"})

    async with database.transaction() as tx:
        assert await journal.say(tx, fact, ordinal=2)
        (owed,) = await journal.claim_owed(tx, 10)

    assert owed.envelope == fact
    assert (owed.origin, owed.ordinal, owed.outcome) == ("reconciler", 2, None)


async def test_a_fact_is_stated_once_whoever_states_it(database: Database) -> None:
    async def say() -> bool:
        async with database.transaction() as tx:
            return await journal.say(tx, a_fact())

    said = await asyncio.gather(*(say() for _ in range(4)))

    assert sorted(said) == [False, False, False, True]
    async with database.connection() as connection:
        assert (await journal.owed(connection)).count == 1


async def test_a_published_fact_is_not_owed_any_more(database: Database) -> None:
    async with database.transaction() as tx:
        await journal.say(tx, a_fact())
        (owed,) = await journal.claim_owed(tx, 10)
        assert await journal.mark_published(tx, [owed.id]) == 1

    async with database.transaction() as tx:
        assert await journal.claim_owed(tx, 10) == []
        assert await journal.owed(tx) == journal.Owed(0, None)
        assert await journal.mark_published(tx, [owed.id]) == 0


async def test_a_relay_that_dies_owes_its_facts_again(database: Database) -> None:
    async with database.transaction() as tx:
        await journal.say(tx, a_fact())

    async def die() -> None:
        async with database.transaction() as tx:
            (owed,) = await journal.claim_owed(tx, 10)
            await journal.mark_published(tx, [owed.id])
            raise ConnectionError

    results = await asyncio.gather(die(), return_exceptions=True)

    assert isinstance(results[0], ConnectionError)
    async with database.transaction() as tx:
        assert len(await journal.claim_owed(tx, 10)) == 1


async def test_two_relays_share_what_is_owed_without_overlap_and_without_waiting(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        for number in range(10):
            await journal.say(tx, a_fact(f"fact-{number}"))

    async with database.transaction() as one, database.transaction() as two:
        mine = await journal.claim_owed(one, 6)
        async with asyncio.timeout(3):
            theirs = await journal.claim_owed(two, 6)

    assert [entry.event_id for entry in mine] == [f"fact-{number}" for number in range(6)]
    assert [entry.event_id for entry in theirs] == [f"fact-{number}" for number in range(6, 10)]


async def test_a_fact_that_commits_late_with_a_lower_number_is_still_relayed(
    database: Database,
) -> None:
    async with database.transaction() as slow:
        await journal.say(slow, a_fact("slow"))
        async with database.transaction() as fast:
            await journal.say(fast, a_fact("fast"))
        async with database.transaction() as relay:
            (first,) = await journal.claim_owed(relay, 10)
            await journal.mark_published(relay, [first.id])

    async with database.transaction() as relay:
        (second,) = await journal.claim_owed(relay, 10)

    assert (first.event_id, second.event_id) == ("fast", "slow")
    assert second.id < first.id


async def test_what_was_heard_is_kept_byte_for_byte_and_never_owed(database: Database) -> None:
    body = b'{ "id":"p1",\r\n "status": "succeeded"  }'
    heard = news("p1", "succeeded", event_id="verdict")
    object.__setattr__(heard, "body", body)

    async with database.transaction() as tx:
        assert await journal.hear(tx, heard, outcome="moved")
        assert not await journal.hear(tx, heard, outcome="nothing_new")
        assert await journal.claim_owed(tx, 10) == []
        kept = await journal.by_event_id(tx, "verdict")

    assert kept is not None
    assert (kept.body, kept.outcome, kept.origin) == (body, "moved", "heard")


async def test_saying_a_fact_again_owes_it_once_more(database: Database) -> None:
    async with database.transaction() as tx:
        await journal.hear(tx, news("p1", "succeeded", event_id="verdict"), outcome="moved")

    async with database.transaction() as tx:
        assert await journal.say_again(tx, "verdict")
        assert not await journal.say_again(tx, "another")

    assert await database.facts_owed.wait(0)
    async with database.transaction() as tx:
        assert [entry.event_id for entry in await journal.claim_owed(tx, 10)] == ["verdict"]


async def test_a_fact_whose_body_is_past_its_retention_is_not_said_again(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await journal.hear(tx, news("p1", "succeeded", event_id="verdict"), outcome="moved")
        await tx.execute("UPDATE journal SET body = NULL")

        assert not await journal.say_again(tx, "verdict")


async def test_the_subject_of_another_team_is_no_job_of_ours(database: Database) -> None:
    async with database.transaction() as tx:
        await journal.hear(tx, a_fact(subject="order 7"), outcome="heard")
        kept = await journal.by_event_id(tx, "fact-1")

    assert kept is not None
    assert kept.job_id is None
