"""The audit's laws on a real Postgres: each one is broken once and names what breaks it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.clock import utc_now
from shared.db import artifacts, jobs, journal, slots
from shared.db.audit import MOST, breaches, purchases
from shared.db.connection import Database
from shared.db.jobs import NewJob
from shared.db.laws import LAWS
from shared.db.parked import add_dead, park
from shared.domain.audit import Finding
from shared.domain.identity import artifact_id
from shared.domain.job import JobState
from shared.domain.prediction import Prediction, read_prediction
from shared.domain.slot import SlotState
from shared.envelope import FROM_RECONCILER, FROM_WEBHOOK, ORIGIN, Envelope
from shared.errors import Transient
from shared.events import Artifact, ArtifactsStored, JobCompleted, state
from tests.support.many_jobs import fill
from tests.support.purchases import NOON, a_job, a_slot, end_job, given_up, hear, news, the_slot

Break = Callable[[Database], Awaitable[str]]


DAY = timedelta(days=1)


async def findings(
    database: Database, *, settled: timedelta = timedelta(0), since: timedelta = DAY
) -> list[Finding]:
    found: list[Finding] = []
    async with database.transaction() as tx:
        for law in LAWS:
            found += await breaches(tx, law, since=utc_now() - since, settled=settled)
    return found


def a_file(
    job_id: UUID, kind: str = "generated", *, ext: str = "png", attempt: int = 1
) -> Artifact:
    of_slot = kind != "report"
    name = f"1-{attempt}-0" if of_slot else "report"
    key = f"jobs/{job_id}/{kind}/{name}.{ext}"
    return Artifact(
        id=artifact_id(key),
        kind=kind,
        key=key,
        content_type="image/png" if of_slot else "text/html",
        bytes=1,
        sha256="0" * 64,
        ordinal=1 if of_slot else None,
        attempt=attempt if of_slot else None,
    )


async def a_finished_job(database: Database) -> UUID:
    """One slot, stored, counted and told; with its report."""
    slot = await a_slot(database, SlotState.STORED, prediction_id=f"p-{uuid4().hex}")
    made, page = a_file(slot.job_id), a_file(slot.job_id, "report", ext="html")
    async with database.transaction() as tx:
        for file in (made, page):
            await artifacts.insert(tx, slot.job_id, file)
        stored = ArtifactsStored(job_id=slot.job_id, ordinal=1, attempt=1, artifacts=(made,))
        await journal.say(tx, state(stored, source="storage", now=NOON), ordinal=1)
        await jobs.lock(tx, slot.job_id)
        await slots.count_closed(tx, slot.job_id, [1])
        await jobs.add_counts(tx, slot.job_id, stored=1, failed=0)
        await jobs.end(tx, slot.job_id, state=JobState.COMPLETED, canceled=0, reason=None)
        fact = JobCompleted(job_id=slot.job_id, recipe="variations", n=1, stored=1, failed=0)
        await journal.say(tx, state(fact, source="aggregator", now=NOON))
        await jobs.set_report(tx, slot.job_id, report="published", key=page.key)
        await tx.execute("UPDATE journal SET published_at = now()")
    return slot.job_id


async def _changed(database: Database, sql: str, job_id: UUID) -> str:
    async with database.transaction() as tx:
        await tx.execute(sql, job_id)
    return str(job_id)


async def stuck(database: Database) -> str:
    slot = await a_slot(database, SlotState.FAILED)
    return await _changed(
        database, "UPDATE slot SET counted_at = now() WHERE job_id = $1", slot.job_id
    )


async def without_slots(database: Database) -> str:
    job_id = await a_job(database, n=2)
    return await _changed(database, "DELETE FROM slot WHERE job_id = $1 AND ordinal = 2", job_id)


async def miscounted(database: Database) -> str:
    job_id = await a_finished_job(database)
    async with database.transaction() as tx:
        await tx.execute(
            """
            UPDATE slot
               SET state = 'failed', failure_code = 'provider'
             WHERE job_id = $1
            """,
            job_id,
        )
    return str(job_id)


async def miscounting(database: Database) -> str:
    slot = await a_slot(database, SlotState.FAILED)
    async with database.transaction() as tx:
        await slots.count_closed(tx, slot.job_id, [1])
    return str(slot.job_id)


async def told_twice(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(database, _ANOTHER.format("job.failed", "job.completed"), job_id)


async def without_page(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(
        database, "DELETE FROM artifact WHERE job_id = $1 AND kind = 'report'", job_id
    )


async def open_after_end(database: Database) -> str:
    job_id = await a_job(database)
    async with database.transaction() as tx:
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=1, reason="a wish")
    return f"{job_id}.1"


async def slot_untold(database: Database) -> str:
    job_id = await a_finished_job(database)
    await _changed(
        database, "DELETE FROM journal WHERE type = 'artifacts.stored' AND job_id = $1", job_id
    )
    return f"{job_id}.1"


async def slot_told_twice(database: Database) -> str:
    job_id = await a_finished_job(database)
    await _changed(database, _ANOTHER.format("slot.failed", "artifacts.stored"), job_id)
    return f"{job_id}.1"


async def unbought(database: Database) -> str:
    slot = await a_slot(database, SlotState.PENDING)
    return f"{slot.job_id}.1"


async def behind(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="ended")
    await _changed(
        database,
        "UPDATE prediction SET status = 'succeeded', ask_at = NULL WHERE job_id = $1",
        slot.job_id,
    )
    return f"{slot.job_id}.1"


async def unsaved(database: Database) -> str:
    slot = await a_slot(database, SlotState.SUCCEEDED)
    return f"{slot.job_id}.1"


async def stray(database: Database) -> str:
    job_id = await a_finished_job(database)
    lost = a_file(job_id, attempt=2)
    async with database.transaction() as tx:
        await artifacts.insert(tx, job_id, lost)
    return lost.key


async def twice(database: Database) -> str:
    job_id = await a_finished_job(database)
    async with database.transaction() as tx:
        await artifacts.insert(tx, job_id, a_file(job_id, ext="jpg"))
    return a_file(job_id, ext="jpg").key


async def forgotten(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="nobody-asks")
    await _changed(database, "UPDATE prediction SET ask_at = NULL WHERE job_id = $1", slot.job_id)
    return "nobody-asks"


async def unheard(database: Database) -> str:
    slot = await a_slot(database, SlotState.SUCCEEDED, prediction_id="no-news")
    await _changed(
        database,
        "DELETE FROM journal WHERE type = 'prediction.succeeded' AND job_id = $1",
        slot.job_id,
    )
    return "no-news"


async def unexplained(database: Database) -> str:
    slot = await a_slot(database, SlotState.IN_DOUBT)
    await end_job(database, slot.job_id)
    await _changed(
        database, "UPDATE prediction SET create_deadline = now() WHERE job_id = $1", slot.job_id
    )
    return f"{slot.job_id}.1.1"


async def news_unheard(database: Database) -> str:
    told = Envelope(
        id=f"told-{uuid4().hex}",
        type="prediction.succeeded",
        source="replicate",
        time=NOON,
        body=b"{}",
        extensions={ORIGIN: FROM_RECONCILER},
    )
    async with database.transaction() as tx:
        await journal.say(tx, told)
        await tx.execute("UPDATE journal SET published_at = now()")
    return told.id


async def without_effect(database: Database) -> str:
    slot = await a_slot(database, SlotState.SUCCEEDED, prediction_id="set-back")
    await _changed(
        database, "UPDATE prediction SET status = 'processing' WHERE job_id = $1", slot.job_id
    )
    async with database.connection() as tx:
        event_id = await tx.fetchval(
            "SELECT event_id FROM journal WHERE type = 'prediction.succeeded' AND job_id = $1",
            slot.job_id,
        )
    return str(event_id)


# The same fact once more under another id, or another where there may be one.
_ANOTHER = """
INSERT INTO journal (event_id, type, source, job_id, ordinal, origin, occurred_at, published_at)
SELECT event_id || '-2', '{}', source, job_id, ordinal, origin, now(), now()
  FROM journal
 WHERE job_id = $1
   AND type = '{}'
"""


async def untold(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(
        database, "DELETE FROM journal WHERE type = 'job.completed' AND job_id = $1", job_id
    )


async def overdue(database: Database) -> str:
    job_id = uuid4()
    async with database.transaction() as tx:
        new = NewJob(id=job_id, recipe="variations", n=0, ordered_at=NOON)
        await jobs.insert(tx, new)
        await tx.execute(
            "UPDATE job SET deadline = now() - interval '1 minute' WHERE id = $1", job_id
        )
    return str(job_id)


async def unreported(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(database, "UPDATE job SET report = 'pending' WHERE id = $1", job_id)


async def report_failed(database: Database) -> str:
    job_id = await a_finished_job(database)
    return await _changed(database, "UPDATE job SET report = 'failed' WHERE id = $1", job_id)


async def uncounted(database: Database) -> str:
    slot = await a_slot(database, SlotState.FAILED)
    return f"{slot.job_id}.1"


async def unsettled(database: Database) -> str:
    slot = await a_slot(database, SlotState.IN_DOUBT)
    return f"{slot.job_id}.1"


async def expired(database: Database) -> str:
    slot = await a_slot(database, SlotState.SUCCEEDED)
    await _changed(
        database,
        "UPDATE slot SET expires_at = now() - interval '1 minute' WHERE job_id = $1",
        slot.job_id,
    )
    return f"{slot.job_id}.1"


async def wasteful(database: Database) -> str:
    slot = await a_slot(database, SlotState.SUCCEEDED, prediction_id="thrown-away")
    await end_job(database, slot.job_id)
    return f"{slot.job_id}.1"


async def without_files(database: Database) -> str:
    job_id = await a_finished_job(database)
    await _changed(
        database, "DELETE FROM artifact WHERE job_id = $1 AND kind = 'generated'", job_id
    )
    return f"{job_id}.1"


async def without_purchase(database: Database) -> str:
    job_id = await a_finished_job(database)
    await _changed(database, "DELETE FROM prediction WHERE job_id = $1", job_id)
    return f"{job_id}.1"


async def silent(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="quiet")
    await _changed(
        database,
        "UPDATE prediction SET ask_at = now() - interval '1 minute' WHERE job_id = $1",
        slot.job_id,
    )
    return "quiet"


async def runs_on(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="unwanted")
    await _changed(
        database, "UPDATE prediction SET cancel_wanted_at = now() WHERE job_id = $1", slot.job_id
    )
    return "unwanted"


async def bought_twice(database: Database) -> str:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="first")
    async with database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, outcome,
                                    create_deadline)
            SELECT job_id, ordinal, 2, token || '2', model, 'second', outcome, create_deadline
              FROM prediction
             WHERE job_id = $1
            """,
            slot.job_id,
        )
    return f"{slot.job_id}.1"


def an_odd_webhook() -> Envelope:
    return Envelope(
        id=f"odd-{uuid4().hex}",
        type="prediction.succeeded",
        source="replicate",
        time=NOON,
        body=b"{}",
        extensions={ORIGIN: FROM_WEBHOOK},
    )


async def unplaced(database: Database) -> str:
    odd = an_odd_webhook()
    async with database.transaction() as tx:
        await journal.hear(tx, odd, outcome="unknown")
    return odd.id


async def owed(database: Database) -> str:
    job_id = await a_finished_job(database)
    async with database.transaction() as tx:
        event_id = await tx.fetchval(
            "SELECT event_id FROM journal WHERE job_id = $1 AND type = 'job.completed'", job_id
        )
        await tx.execute("UPDATE journal SET published_at = NULL WHERE event_id = $1", event_id)
    return str(event_id)


async def parked_late(database: Database) -> str:
    return await _parked(database, due="now() - interval '1 minute'")


async def parked_dead(database: Database) -> str:
    return await _parked(database, due="NULL")


async def _parked(database: Database, *, due: str) -> str:
    odd = an_odd_webhook()
    async with database.transaction() as tx:
        await add_dead(tx, "a.queue", odd, reason="it is odd")
        await tx.execute(f"UPDATE parked_message SET due_at = {due}")  # noqa: S608
    return odd.id


BREAKS: dict[str, Break] = {
    "job.stuck": stuck,
    "job.without_slots": without_slots,
    "job.miscounting": miscounting,
    "job.miscounted": miscounted,
    "job.untold": untold,
    "job.told_twice": told_twice,
    "job.overdue": overdue,
    "job.unreported": unreported,
    "job.report_failed": report_failed,
    "job.without_page": without_page,
    "slot.uncounted": uncounted,
    "slot.open_after_end": open_after_end,
    "slot.untold": slot_untold,
    "slot.told_twice": slot_told_twice,
    "slot.unbought": unbought,
    "slot.unsettled": unsettled,
    "slot.behind": behind,
    "slot.unsaved": unsaved,
    "slot.expired": expired,
    "slot.waste": wasteful,
    "slot.without_files": without_files,
    "slot.without_purchase": without_purchase,
    "artifact.stray": stray,
    "artifact.twice": twice,
    "prediction.silent": silent,
    "prediction.forgotten": forgotten,
    "prediction.runs_on": runs_on,
    "prediction.unheard": unheard,
    "prediction.unexplained": unexplained,
    "prediction.bought_twice": bought_twice,
    "news.unplaced": unplaced,
    "news.unheard": news_unheard,
    "news.without_effect": without_effect,
    "journal.owed": owed,
    "parked.late": parked_late,
    "parked.dead": parked_dead,
}


async def test_a_finished_job_breaks_no_law(database: Database) -> None:
    await a_finished_job(database)

    assert await findings(database) == []


@pytest.mark.parametrize("law", [law.name for law in LAWS])
async def test_what_breaks_a_law_is_named_by_its_id_once_it_had_its_time(
    database: Database, law: str
) -> None:
    await a_finished_job(database)

    broken = await BREAKS[law](database)

    found = [one for one in await findings(database) if one.law == law]
    assert [one.id for one in found] == [broken]
    assert found[0].about
    assert "{" not in found[0].mend
    # It may still come to rest; only what waits for a person does not.
    early = [one.law for one in await findings(database, settled=timedelta(hours=1))]
    assert (law in early) is (law == "parked.dead")


async def test_what_is_open_is_named_whatever_its_age_and_the_past_is_left_alone(
    database: Database,
) -> None:
    old = await overdue(database)
    past = await miscounted(database)
    async with database.transaction() as tx:
        await tx.execute("UPDATE job SET created_at = now() - interval '9 days'")
        await tx.execute(
            "UPDATE job SET ended_at = now() - interval '2 days' WHERE ended_at < now()"
        )

    last_day = {(one.law, one.id) for one in await findings(database)}
    last_week = {(one.law, one.id) for one in await findings(database, since=timedelta(days=7))}

    assert ("job.overdue", old) in last_day
    assert ("job.miscounted", past) not in last_day
    assert ("job.miscounted", past) in last_week


async def test_a_flood_of_breaches_is_told_up_to_a_bound(database: Database) -> None:
    await a_job(database, n=MOST + 1)

    found = [one for one in await findings(database) if one.law == "slot.unbought"]

    assert len(found) == MOST


async def test_news_that_is_parked_for_a_look_is_placed(database: Database) -> None:
    odd = an_odd_webhook()
    async with database.transaction() as tx:
        await journal.hear(tx, odd, outcome="unknown")
        await add_dead(tx, "a.queue", odd, reason="it is odd")

    assert "news.unplaced" not in [found.law for found in await findings(database)]


async def test_a_slot_that_failed_is_not_said_to_be_bought_twice(database: Database) -> None:
    slot = await a_slot(database, SlotState.FAILED)

    assert (await the_slot(database, slot.job_id)).state is SlotState.FAILED
    assert "prediction.bought_twice" not in [found.law for found in await findings(database)]


async def test_an_output_that_waits_parked_for_its_time_is_not_said_to_be_unsaved(
    database: Database,
) -> None:
    slot = await a_slot(database, SlotState.SUCCEEDED)
    async with database.transaction() as tx:
        (waiting,) = [
            entry.envelope
            for entry in await journal.of_job(tx, slot.job_id)
            if entry.type == "prediction.succeeded"
        ]
        # Of another slot of the job nothing waits.
        await tx.execute(
            """
            UPDATE job SET n = 2 WHERE id = $1
            """,
            slot.job_id,
        )
        await tx.execute(
            """
            INSERT INTO slot (job_id, ordinal, model, input, state, winner, expires_at)
            VALUES ($1, 2, 'owner/model', '{}', 'succeeded', 1, now() + interval '1 hour')
            """,
            slot.job_id,
        )
        await park(
            tx,
            "a.queue",
            waiting,
            reason="later",
            trace=None,
            attempts=1,
            due_in=timedelta(hours=1),
        )

    unsaved_now = [found.id for found in await findings(database) if found.law == "slot.unsaved"]
    assert unsaved_now == [f"{slot.job_id}.2"]


async def test_a_purchase_that_was_given_up_and_bought_anew_breaks_no_law_of_purchases(
    database: Database,
) -> None:
    slot = await given_up(database, await a_slot(database, SlotState.IN_DOUBT))
    assert slot.attempt == 2

    laws = {found.law for found in await findings(database)}

    assert not {"prediction.unexplained", "prediction.bought_twice", "slot.behind"} & laws


async def test_a_cancel_that_we_asked_for_is_no_news_that_a_slot_missed(database: Database) -> None:
    slot = await a_slot(database, SlotState.RUNNING, prediction_id="unwanted")
    await _changed(
        database, "UPDATE prediction SET cancel_wanted_at = now() WHERE job_id = $1", slot.job_id
    )
    await hear(database, news("unwanted", "canceled"))

    assert "slot.behind" not in [found.law for found in await findings(database)]


# ---- the provider's own list


def listed(
    prediction_id: str, status: str, *, created: datetime, ended: datetime | None = None
) -> Prediction:
    return read_prediction(
        {
            "id": prediction_id,
            "status": status,
            "created_at": created.isoformat(),
            "completed_at": ended.isoformat() if ended else None,
        }
    )


async def held_against(
    database: Database, *pages: tuple[Prediction, ...], settled: timedelta = timedelta(minutes=5)
) -> set[tuple[str, str]]:
    async def list_of() -> AsyncIterator[tuple[Prediction, ...]]:
        for page in pages:
            yield page

    now = utc_now()
    return {
        (found.law, found.id)
        async for found in purchases(database, list_of(), since=now - DAY, now=now, settled=settled)
    }


async def bought_an_hour_ago(database: Database, state: SlotState, prediction_id: str) -> datetime:
    slot = await a_slot(database, state, prediction_id=prediction_id)
    at = utc_now() - timedelta(hours=1)
    async with database.transaction() as tx:
        await tx.execute("UPDATE prediction SET created_at = $2 WHERE job_id = $1", slot.job_id, at)
    return at


async def test_the_list_and_the_ledger_that_agree_break_no_law(database: Database) -> None:
    at = await bought_an_hour_ago(database, SlotState.SUCCEEDED, "ours")
    running = await bought_an_hour_ago(database, SlotState.RUNNING, "runs")

    assert not await held_against(
        database,
        (listed("ours", "succeeded", created=at, ended=at),),
        (listed("runs", "processing", created=running),),
    )


async def test_what_the_provider_made_and_no_purchase_has_is_named(database: Database) -> None:
    now = utc_now()
    early, late, ancient = now - timedelta(hours=1), now - timedelta(seconds=5), now - 2 * DAY

    found = await held_against(
        database,
        (listed("too-young", "starting", created=late),),
        (listed("orphan", "succeeded", created=early), listed("past", "failed", created=ancient)),
    )

    assert found == {("prediction.unknown", "orphan")}


async def test_what_we_bought_and_the_provider_does_not_list_is_named(database: Database) -> None:
    await bought_an_hour_ago(database, SlotState.RUNNING, "gone")

    assert await held_against(database) == {("prediction.unlisted", "gone")}


async def test_an_end_that_our_ledger_missed_is_named_after_its_time(database: Database) -> None:
    at = await bought_an_hour_ago(database, SlotState.RUNNING, "ended")
    just_now = utc_now() - timedelta(seconds=5)

    late = await held_against(database, (listed("ended", "succeeded", created=at, ended=at),))
    in_time = await held_against(
        database, (listed("ended", "succeeded", created=at, ended=just_now),)
    )

    assert late == {("prediction.behind", "ended")}
    assert in_time == set()


async def test_two_verdicts_on_one_prediction_are_named(database: Database) -> None:
    at = await bought_an_hour_ago(database, SlotState.FAILED, "disputed")

    found = await held_against(database, (listed("disputed", "succeeded", created=at, ended=at),))

    assert found == {("prediction.contradicted", "disputed")}


async def test_a_list_that_breaks_off_says_nothing_of_what_it_lacks(database: Database) -> None:
    await bought_an_hour_ago(database, SlotState.RUNNING, "gone")

    async def torn() -> AsyncIterator[tuple[Prediction, ...]]:
        yield ()
        raise Transient("the link is torn")

    now = utc_now()
    with pytest.raises(Transient):
        assert not [
            found
            async for found in purchases(
                database, torn(), since=now - DAY, now=now, settled=timedelta(0)
            )
        ]


# ---- what it costs


def tables_read_whole(plan: dict[str, Any]) -> set[str]:
    here = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return here.union(*(tables_read_whole(inner) for inner in plan.get("Plans", [])))


async def test_no_law_reads_a_whole_table_to_look_at_the_last_half_hour(
    database: Database, database_url: str
) -> None:
    # Yesterday's work, beside which the last half hour is little.
    await fill(database_url, jobs=2000, slots=5, span=timedelta(hours=10), ago=DAY)
    await a_finished_job(database)
    half_an_hour = utc_now() - timedelta(minutes=30)

    read: dict[str, set[str]] = {}
    async with database.connection() as tx:
        for law in LAWS:
            args = (timedelta(minutes=5), MOST, half_an_hour)
            told = await tx.fetchval(
                f"EXPLAIN (FORMAT JSON) {law.question}", *args[: 3 if law.looks_back else 2]
            )
            [explained] = json.loads(told) if isinstance(told, str) else told
            read[law.name] = tables_read_whole(explained["Plan"])

    # Few messages are parked, whatever lies in the other tables.
    assert {law: tables - {"parked_message"} for law, tables in read.items()} == {
        law: set() for law in read
    }


async def test_the_work_of_a_day_that_went_well_breaks_no_law(
    database: Database, database_url: str
) -> None:
    await fill(database_url, jobs=20, slots=3, span=timedelta(hours=10))

    assert await findings(database) == []
