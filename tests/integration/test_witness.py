"""The witness on a real database and a real bucket: what is planted there, it finds."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from deploy.local.emulator.clock import Clock
from deploy.local.emulator.ledger import Ledger
from deploy.local.prove.verdict import Verdict
from deploy.local.prove.witness import Evidence, judge, unsettled
from deploy.local.stack import StackError
from shared.clock import utc_now
from shared.db.connection import Database
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Jobs that went well, written down by hand on all three sides, and the evidence for them."""

    database: Database
    bucket: Bucket
    ledger: Ledger
    evidence: Evidence

    async def execute(self, sql: str, *args: object) -> None:
        async with self.database.connection() as db:
            await db.execute(sql, *args)

    async def a_job(self, *, pictures: int = 1) -> UUID:
        """A completed job of one slot whose output has so many pictures, with its report."""
        job_id = uuid4()
        prediction = f"p{uuid4().hex[:25]}"
        await self.execute(
            """INSERT INTO job (id, recipe, state, n, stored, report, report_key, ordered_at,
                                ended_at)
               VALUES ($1, 'variations', 'completed', 1, 1, 'published', $2, now(), now())""",
            job_id,
            f"jobs/{job_id}/report/report.html",
        )
        await self.execute(
            """INSERT INTO slot (job_id, ordinal, state, winner, model, input, counted_at)
               VALUES ($1, 1, 'stored', 1, 'a/b', '{}', now())""",
            job_id,
        )
        await self.execute(
            """INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id,
                                       status, outcome, create_deadline)
               VALUES ($1, 1, 1, 'a-token-of-sixteen', 'a/b', $2, 'succeeded', 'accepted', now())
            """,
            job_id,
            prediction,
        )
        webhook = f"http://127.0.0.1/webhooks/replicate?slot={job_id}.1.1.a-token-of-sixteen"
        self.ledger.write("purchase", prediction=prediction, webhook=webhook)
        made = [f"picture {index} of {job_id}".encode() for index in range(pictures)]
        self.ledger.write(
            "ended",
            prediction=prediction,
            status="succeeded",
            files=[{"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for d in made],
        )
        for index, data in enumerate(made):
            await self.a_file(job_id, f"generated/1-1-{index}.png", data, index=index)
        await self.a_file(
            job_id, "report/report.html", b"<!doctype html>", kind="report", ordinal=None
        )
        for fact in ("job.completed", "report.published"):
            await self.a_fact(job_id, fact)
        return job_id

    async def a_file(
        self, job_id: UUID, path: str, data: bytes, *, kind: str = "generated", **said: Any
    ) -> None:
        key = f"jobs/{job_id}/{path}"
        await self.bucket.put(key, data, content_type="application/octet-stream")
        await self.execute(
            """INSERT INTO artifact (id, job_id, ordinal, attempt, index, kind, key, content_type,
                                     bytes, sha256)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'application/octet-stream', $8, $9)""",
            uuid4(),
            job_id,
            said.get("ordinal", 1),
            said.get("attempt", 1),
            said.get("index", 0),
            kind,
            key,
            len(data),
            hashlib.sha256(data).hexdigest(),
        )

    async def a_fact(self, job_id: UUID, fact: str, *, published: bool = True) -> str:
        event_id = str(uuid4())
        await self.execute(
            """INSERT INTO journal (event_id, type, source, job_id, origin, body, occurred_at,
                                    published_at)
               VALUES ($1, $2, 'test', $3, 'stated', '\\x7b7d', now(),
                       CASE WHEN $4 THEN now() END)""",
            event_id,
            fact,
            job_id,
            published,
        )
        return event_id

    async def judged(self, evidence: Evidence | None = None) -> Verdict:
        return await asyncio.to_thread(judge, evidence or self.evidence)


@pytest_asyncio.fixture
async def scene(
    database: Database, database_url: str, bucket: dict[str, str], tmp_path: Path
) -> AsyncIterator[Scene]:
    parts = bucket | {"DATABASE_URL": database_url}
    settings = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    ledger = Ledger(Clock(), tmp_path / "ledger.jsonl")
    async with open_bucket(settings) as opened:
        yield Scene(
            database=database,
            bucket=opened,
            ledger=ledger,
            evidence=Evidence.of(tmp_path / "ledger.jsonl", parts),
        )
    ledger.close()


def named(verdict: Verdict) -> Mapping[str, set[str]]:
    lists = {
        name: {finding.id for finding in getattr(verdict, name)}
        for name in ("lost", "duplicated", "unaccounted", "stuck")
    }
    return {name: ids for name, ids in lists.items() if ids}


async def test_jobs_that_went_well_are_read_to_the_last_byte_and_nothing_is_wrong(
    scene: Scene,
) -> None:
    for _ in range(3):
        await scene.a_job(pictures=2)

    verdict = await scene.judged()

    assert verdict.clean
    assert verdict.counts["outputs_stored"] == 6
    assert verdict.counts["files_read"] == 9
    assert verdict.counts["jobs_completed"] == verdict.counts["purchases_succeeded"] == 3
    assert json.loads(json.dumps(verdict.as_json()))["clean"] is True
    assert unsettled(scene.evidence) == ()


async def test_a_file_that_is_gone_or_was_changed_is_lost_by_its_key(scene: Scene) -> None:
    job_id = await scene.a_job(pictures=3)
    gone, changed, whole = (f"jobs/{job_id}/generated/1-1-{index}.png" for index in range(3))
    await scene.bucket.delete(gone)
    await scene.bucket.put(changed, b"x" * len(f"picture 1 of {job_id}"), content_type="image/png")

    verdict = await scene.judged()

    assert named(verdict) == {"lost": {gone, changed}}
    assert whole not in str(verdict)


async def test_a_report_that_is_gone_is_lost(scene: Scene) -> None:
    job_id = await scene.a_job()
    await scene.bucket.delete(f"jobs/{job_id}/report/report.html")

    assert named(await scene.judged()) == {"lost": {f"jobs/{job_id}/report/report.html"}}


async def test_an_output_whose_row_is_gone_is_lost_by_its_prediction(scene: Scene) -> None:
    job_id = await scene.a_job()
    await scene.execute("DELETE FROM artifact WHERE job_id = $1 AND kind = 'generated'", job_id)

    verdict = await scene.judged()

    assert list(named(verdict)) == ["lost"]
    assert str(job_id) in verdict.lost[0].sentence


async def test_a_second_end_a_second_report_and_a_second_file_are_duplicated(
    scene: Scene,
) -> None:
    ended, reported, filed = [await scene.a_job() for _ in range(3)]
    await scene.a_fact(ended, "job.completed")
    await scene.a_fact(reported, "report.published")
    await scene.execute("UPDATE slot SET attempt = 2 WHERE job_id = $1", filed)
    await scene.a_file(filed, "generated/1-2-0.png", b"again", attempt=2)

    verdict = await scene.judged()

    assert named(verdict) == {"duplicated": {str(ended), str(reported), f"{filed}.1"}}


async def test_a_purchase_that_no_row_names_and_a_row_that_names_no_purchase_are_unaccounted(
    scene: Scene,
) -> None:
    job_id = await scene.a_job()
    scene.ledger.write(
        "purchase", prediction="never-heard-of", webhook=f"http://h/?slot={job_id}.1.2.another"
    )
    await scene.execute(
        """INSERT INTO prediction (job_id, ordinal, attempt, token, model, prediction_id, status,
                                   outcome, create_deadline)
           VALUES ($1, 1, 9, 'a-token-of-sixteen', 'a/b', 'never-sold', 'failed', 'accepted',
                   now())""",
        job_id,
    )

    assert named(await scene.judged()) == {"unaccounted": {"never-heard-of", "never-sold"}}


async def test_the_log_of_an_emulator_that_broke_bears_nothing_out(scene: Scene) -> None:
    await scene.a_job()
    scene.ledger.write("crash", error="KeyError('metrics')")

    verdict = await scene.judged()

    assert not verdict.clean
    assert named(verdict) == {"unaccounted": {"ledger.jsonl"}}


async def test_open_work_an_unpublished_fact_and_a_parked_message_are_stuck(scene: Scene) -> None:
    open_job, owing = await scene.a_job(), await scene.a_job()
    await scene.execute(
        "UPDATE job SET state = 'running', ended_at = NULL, stored = 0 WHERE id = $1", open_job
    )
    await scene.execute(
        """UPDATE slot SET state = 'pending', due_at = now(), winner = NULL, counted_at = NULL
            WHERE job_id = $1""",
        open_job,
    )
    owed = await scene.a_fact(owing, "artifacts.stored", published=False)
    await scene.execute(
        """INSERT INTO parked_message (queue, event_id, type, source, body, reason, occurred_at,
                                       due_at)
           VALUES ('q', 'parked', 'prediction.succeeded', 'test', '{}', 'it "rains\\', now(),
                   now() + interval '1 hour'),
                  ('q', 'dead', 'prediction.succeeded', 'test', '{}', 'it rains', now(), NULL)"""
    )

    verdict = await scene.judged()

    assert set(named(verdict)["stuck"]) == {str(open_job), f"{open_job}.1", owed, "parked"}
    assert {finding.id for finding in unsettled(scene.evidence)} == {str(open_job), owed, "parked"}
    assert verdict.counts["parked_dead"] == 1
    assert any('it "rains\\' in finding.sentence for finding in verdict.stuck)


async def test_what_was_over_before_is_left_out(scene: Scene) -> None:
    broken = await scene.a_job()
    await scene.execute("DELETE FROM artifact WHERE job_id = $1", broken)
    since = utc_now()
    await scene.a_job()

    verdict = await scene.judged(replace(scene.evidence, since=since))

    assert verdict.clean
    assert verdict.counts["jobs"] == 1


async def test_a_database_that_refuses_is_no_verdict(scene: Scene) -> None:
    await scene.a_job()
    await scene.execute("ALTER TABLE slot RENAME TO slots")

    with pytest.raises(StackError, match="slot"):
        await scene.judged()


async def test_a_bucket_that_does_not_answer_is_no_verdict(scene: Scene) -> None:
    await scene.a_job()
    nowhere = replace(scene.evidence, s3_endpoint_url="http://127.0.0.1:9")

    with pytest.raises(OSError, match="did not give"):
        await scene.judged(nowhere)
