"""The webhook archive on the running system: every webhook is there with what became of it, and a
job that went astray is rebuilt from it."""

import json
from typing import Any
from uuid import UUID

from shared.domain import identity
from tests.support import photos
from tests.support.operator import darkroom
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import World

A_PHOTO = photos.a_photo()
ANOTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


async def archive(world: World, *words: str) -> list[dict[str, Any]]:
    said = await darkroom(world, "webhooks", "list", "--json", "--limit", "1000", *words)
    assert said.code == 0, said.err
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


async def test_the_archive_holds_each_webhook_as_it_was_sent_with_what_it_did(
    world: World,
) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 2})
    await world.reported(job_id)

    kept = await archive(world, "--job", str(job_id))

    won = [row for row in kept if row["type"] == "prediction.succeeded"]
    bought = {row["prediction_id"] for row in await world.purchases(job_id)}
    assert {row["prediction_id"] for row in won} == bought
    assert len(won) == 2
    assert {row["verdict"] for row in won} <= {"moved", "nothing_new"}
    stored = await world.value("SELECT body FROM journal WHERE event_id = $1", won[0]["id"])
    sent = [
        entry
        for entry in await world.ledger("delivery")
        if entry["prediction"] == won[0]["prediction_id"] and entry["event"] == "completed"
    ]
    # More than once, where an answer of ours was slow to come.
    assert {entry["bytes"] for entry in sent} == {won[0]["bytes"]} == {len(stored)}
    assert sent[0]["webhook_id"] == won[0]["webhook_id"]


async def test_a_webhook_that_nobody_believed_is_kept_for_a_look(world: World) -> None:
    body = json.dumps({"id": "p-forged", "status": "succeeded"}).encode()
    status, _ = await world.webhook(body, headers=signed(body, ANOTHER_SECRET))

    async def there() -> list[dict[str, Any]]:
        rows = await archive(world, "--refused", "--outcome", "bad_signature")
        return [row for row in rows if row["bytes"] == len(body)]

    [one, *_] = await eventually("it is kept", there, within=60, every=1)
    shown = await darkroom(world, "webhooks", "show", one["id"], "--body")

    assert status == 401
    assert "p-forged" in shown.out
    assert "header      webhook-signature: ***" in shown.out.lower()
    assert await world.value("SELECT count(*) FROM journal WHERE body = $1", body) == 0


async def test_a_job_whose_success_was_never_taken_in_is_rebuilt_from_its_webhooks(
    world: World,
) -> None:
    # As after a release that took a success for a stranger's: the webhook came, and nothing moved.
    world.system.child("reconciler").stop(within=35)
    world.system.child("storage").stop(within=35)
    try:
        job_id = await world.order(A_PHOTO, params={"count": 1})
        success = await _success_in_the_archive_only(world, job_id)
    finally:
        world.system.start("storage")

    dry = await darkroom(world, "replay", "--job", str(job_id), "--dry-run")
    before = await world.slots(job_id)
    done = await darkroom(world, "replay", "--job", str(job_id))
    # It publishes what is said again: nobody else may state every fact.
    world.system.start("reconciler")
    job = await world.reported(job_id)
    world.system.wait_ready("reconciler")
    after = await darkroom(world, "replay", "--job", str(job_id))

    assert "by its webhooks it is succeeded" in dry.out
    assert "nothing was changed" in dry.out
    assert before[0]["state"] != "stored"
    assert done.code == 0, done.out + done.err
    assert "1 facts said again" in done.out
    assert (job["state"], job["stored"]) == ("completed", 1)
    assert len(await world.bought_for(job_id)) == 1
    assert "0 slots differ; 0 facts said again" in after.out
    assert success in {row["id"] for row in await archive(world, "--job", str(job_id))}


async def test_replaying_a_fact_that_was_heard_long_ago_changes_nothing(world: World) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 2})
    await world.reported(job_id)
    await world.settled()
    before = await _everything(world, job_id)
    # Every fact of the job once more, as dead messages that an operator brings back.
    await world.execute(
        """
        INSERT INTO parked_message (queue, event_id, type, source, subject, body, headers, reason,
                                    occurred_at)
        SELECT queue, event_id, type, source, job_id::text, body, headers, 'put here by a test',
               occurred_at
          FROM journal
          JOIN (VALUES ('upload.received', 'darkroom.generator.jobs'),
                       ('prediction.succeeded', 'darkroom.storage.outputs'),
                       ('artifacts.stored', 'darkroom.aggregator.slots'),
                       ('job.completed', 'darkroom.report.jobs'),
                       ('job.completed', 'darkroom.generator.jobs')) AS heard (type, queue)
                USING (type)
         WHERE job_id = $1
        """,
        job_id,
    )
    words = ("--all", "--job", str(job_id), "--reason", "put here by a test")

    dry = await darkroom(world, "parked", "replay", *words, "--dry-run")
    said = await darkroom(world, "parked", "replay", *words)
    await world.settled()

    assert dry.out.splitlines()[0] == "7 would be brought back"
    assert "2  darkroom.storage.outputs  prediction.succeeded" in dry.out
    assert said.out.startswith("7 brought back")
    assert await _everything(world, job_id) == before
    assert len(await world.bought_for(job_id)) == 2


async def _success_in_the_archive_only(world: World, job_id: UUID) -> str:
    """Let storage's queue take the success, move it into the archive as unknown, and drop it."""
    import aio_pika

    from shared.messaging.topology import STORAGE_OUTPUTS

    connection = await aio_pika.connect(world.system.layout.parts["AMQP_URL"])
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(STORAGE_OUTPUTS.name, ensure=False)

        async def taken() -> aio_pika.abc.AbstractIncomingMessage | None:
            # Those of other jobs go back as the line is closed.
            message = await queue.get(fail=False)
            return message if message and str(job_id).encode() in message.body else None

        message = await eventually("the success waits for storage", taken, within=60)
        assert message is not None
        await message.ack()
    headers = {k: str(v) for k, v in message.headers.items() if not k.startswith("cloudEvents:")}
    [row] = await world.purchases(job_id)
    event_id = identity.verdict_id(row["prediction_id"], "succeeded")
    assert row["prediction_id"].encode() in message.body
    await world.execute(
        """
        INSERT INTO journal (event_id, type, source, job_id, origin, body, headers, occurred_at,
                             outcome, published_at)
        VALUES ($1, 'prediction.succeeded', 'replicate', $2, 'webhook', $3, $4::text::jsonb, now(),
                'unknown', now())
        """,
        event_id,
        job_id,
        message.body,
        json.dumps(headers),
    )
    return event_id


async def _everything(world: World, job_id: UUID) -> list[Any]:
    return [
        await world.job(job_id),
        await world.slots(job_id),
        await world.files(job_id),
        await world.files(job_id, "report"),
        await world.rows(
            # That messages waited as dead ones is told, and is all that is new.
            "SELECT event_id, outcome FROM journal WHERE job_id = $1 AND type <> 'message.waited'"
            " ORDER BY event_id",
            job_id,
        ),
    ]
