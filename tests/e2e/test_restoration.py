"""Rows R1 to R5 and R7 of docs/systems.md, each through running processes, broker, database,
bucket and HTTP."""

import json
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from PIL import Image

from services.generator.settings import webhook_url
from shared.recipes.restoration import RESTORATION
from shared.settings import is_loopback
from tests.support import photos
from tests.support.asking import news, restarted_with, the_purchase
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.watching import never_back, watching
from tests.support.world import Row, World

A_PHOTO = photos.a_photo()
SEEDS = 1_000_000
STATUSES = ("starting", "processing", "succeeded")


async def restore(world: World, **order: Any) -> UUID:
    return await world.order(A_PHOTO, recipe="restoration", **order)


@pytest.mark.system("R1")
async def test_r1_one_damaged_photo_becomes_one_restored_photo(world: World) -> None:
    job_id = await restore(world)

    job = await world.reported(job_id)
    [bought] = await world.bought_for(job_id)
    [purchase] = [e for e in await world.ledger("purchase") if e["prediction"] == bought["id"]]
    [file] = await world.files(job_id)
    with Image.open(BytesIO(await world.bucket.get_bytes(file["key"], limit=50_000_000))) as shown:
        form = shown.format

    assert (job["state"], job["n"], job["report"]) == ("completed", 1, "published")
    assert set(bought["input"]) == {"input_image", "seed", "output_format", "safety_tolerance"}
    assert f"/jobs/{job_id}/original/" in urlsplit(bought["input"]["input_image"]).path
    assert bought["input"]["output_format"] == "png"
    assert bought["input"]["safety_tolerance"] == 0
    assert 0 <= bought["input"]["seed"] < SEEDS
    assert purchase["model"] == "flux-kontext-apps/restore-image"
    assert (form, file["content_type"]) == ("PNG", "image/png")


@pytest.mark.system("R1")
async def test_r1_a_seed_is_taken_as_given_and_follows_from_the_job_otherwise(
    world: World,
) -> None:
    job_ids = [
        await restore(world, params={"seed": 4711}),
        await restore(world),
        await restore(world),
    ]
    for job_id in job_ids:
        await world.ended(job_id)

    given, first, second = [(await world.bought_for(j))[0]["input"]["seed"] for j in job_ids]

    assert given == 4711
    assert len({given, first, second}) == 3
    assert max(first, second) < SEEDS


@pytest.mark.system("R1")
@pytest.mark.parametrize("seed", [SEEDS, -1, 1.5, "7"])
async def test_r1_a_seed_that_the_old_service_would_not_have_made_is_refused_with_a_sentence(
    world: World, seed: object
) -> None:
    job_id = await restore(world, params={"seed": seed})

    job = await world.ended(job_id)

    assert (job["state"], "seed" in job["reason"]) == ("failed", True)
    assert await world.purchases(job_id) == []


@pytest.mark.system("R1")
async def test_r1_format_and_tolerance_are_settings(world: World) -> None:
    chosen = {"REPLICATE_OUTPUT_FORMAT": "jpg", "REPLICATE_SAFETY_TOLERANCE": "2"}
    async with restarted_with(world, "generator", **chosen):
        job_id = await restore(world)
        await world.ended(job_id)

    [bought] = await world.bought_for(job_id)
    [file] = await world.files(job_id)

    assert bought["input"]["output_format"] == "jpg"
    assert bought["input"]["safety_tolerance"] == 2
    assert file["content_type"] == "image/jpeg"


@pytest.mark.system("R2")
async def test_r2_webhooks_on_the_way_refresh_what_is_shown_and_never_turn_it_back(
    world: World,
) -> None:
    job_id = uuid4()
    await world.misbehave(
        job_id, {"fault": "cold_start", "seconds": 4.0}, {"fault": "slow_run", "seconds": 4.0}
    )
    await restore(world, job_id=job_id)
    async with watching(world, job_id) as watcher:
        row = await the_purchase(world, job_id)

        async def processing() -> bool:
            return any(one["replicate_status"] == "processing" for one in watcher.seen)

        await eventually("the prediction is said to be under way", processing, within=30)
        late = await news(world, row["prediction_id"], "starting", input={}, output=None)
        seen = await watcher.until_over()

    [bought] = [e for e in await world.ledger("purchase") if str(job_id) in e["webhook"]]
    heard = [
        datetime.fromisoformat(one["last_webhook_received"])
        for one in seen
        if one["last_webhook_received"]
    ]
    webhooks = [
        entry["type"]
        for entry in await world.rows(
            "SELECT type FROM journal WHERE job_id = $1 AND origin = 'webhook' ORDER BY id", job_id
        )
    ]
    assert bought["events"] == ["start", "output", "logs", "completed"]
    assert late == 204
    assert never_back([one["replicate_status"] for one in seen], STATUSES)
    assert {one["replicate_status"] for one in seen} >= {"processing", "succeeded"}
    assert never_back([one["state"] for one in seen], ("pending", "queued", "running", "completed"))
    assert heard == sorted(heard)
    assert len(set(heard)) >= 3  # those on the way show, not only the last
    assert webhooks.count("prediction.progressed") >= 2
    assert webhooks.count("prediction.succeeded") == 1


@pytest.mark.system("R2")
async def test_r2_a_second_attempt_does_not_turn_back_what_is_shown(world: World) -> None:
    job_id = uuid4()
    first = {"when": {"webhook": f"{job_id}.1.1."}}
    await world.misbehave(
        None,
        {"fault": "cold_start", "seconds": 2.0, "when": {"webhook": str(job_id)}},
        {"fault": "slow_run", "seconds": 2.0, **first},
        {"fault": "fail", "error": "Director: unexpected error (E1000)", **first},
    )
    await restore(world, job_id=job_id)
    async with watching(world, job_id) as watcher:
        seen = await watcher.until_over()
    await world.behave()

    assert [row["status"] for row in await world.purchases(job_id)] == ["failed", "succeeded"]
    assert never_back([one["replicate_status"] for one in seen], STATUSES)
    assert never_back([one["progress"] for one in seen], sorted({one["progress"] for one in seen}))
    assert seen[-1]["replicate_status"] == "succeeded"


@pytest.mark.system("R2")
async def test_r2_news_that_comes_after_the_end_changes_nothing(world: World) -> None:
    job_id = await restore(world)
    await world.reported(job_id)
    [before] = await world.purchases(job_id)
    files = await world.files(job_id)

    for status in ("starting", "processing", "failed", "canceled"):
        assert await news(world, before["prediction_id"], status, error="too late") == 204
    await world.settled()

    [after] = await world.purchases(job_id)
    job = await world.job(job_id)
    assert job is not None
    assert (after["status"], job["state"]) == ("succeeded", "completed")
    assert await world.files(job_id) == files


@pytest.mark.system("R3")
@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        ({"fault": "fail", "error": "CUDA out of memory (E1001)"}, "provider", "E1001"),
        ({"fault": "cancel"}, "canceled", ""),
        ({"fault": "nsfw"}, "nsfw", "NSFW"),
    ],
    ids=["failed", "canceled", "nsfw"],
)
async def test_r3_what_did_not_succeed_fails_the_job_with_the_details(
    world: World, fault: dict[str, Any], code: str, told: str
) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, fault)
    await restore(world, job_id=job_id)

    job = await world.ended(job_id)
    [slot] = await world.slots(job_id)
    [row] = await world.purchases(job_id)

    assert (job["state"], slot["failure_code"]) == ("failed", code)
    assert slot["failure_detail"]
    assert slot["failure_detail"] in job["reason"]
    assert told in job["reason"]
    assert row["status"] == ("canceled" if code == "canceled" else "failed")
    assert (await world.story(job_id)).count("job.failed") == 1


@pytest.mark.system("R3")
async def test_r3_a_prediction_that_nobody_knows_is_acknowledged_kept_and_alarmed_each_time(
    world: World,
) -> None:
    strangers = [f"s{uuid4().hex[:25]}" for _ in range(3)]

    async def alarms() -> float:
        return await world.metric(
            "storage",
            "darkroom_messages_processed_total",
            queue="darkroom.storage.outputs",
            outcome="dead",
        )

    before = await alarms()
    answers = [await news(world, one, "succeeded", output="https://x/y.png") for one in strangers]

    async def parked() -> list[Row]:
        return [row for one in strangers for row in await world.dead(one)]

    kept = await eventually("all of them are kept", parked, holds=lambda r: len(r) == 3)
    counted = await eventually("each is counted", alarms, holds=lambda n: n >= before + 3)
    said = [json.loads(line) for line in world.logs().splitlines() if '"message.dead"' in line]
    for row in kept:
        await world.execute("DELETE FROM parked_message WHERE id = $1", row["id"])

    assert answers == [204, 204, 204]
    assert {row["reason"] for row in kept} == {
        "prediction.succeeded: no purchase of ours is meant by it"
    }
    assert counted == before + 3
    ids = {row["event_id"] for row in kept}
    assert {line["event_id"] for line in said if line["level"] == "error"} >= ids


@pytest.mark.system("R4")
async def test_r4_nobody_asks_replicate_while_webhooks_arrive(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "slow_run", "seconds": 3.0})
    await restore(world, job_id=job_id)

    job = await world.reported(job_id)
    row = await the_purchase(world, job_id)

    assert job["state"] == "completed"
    assert await world.questions_about(row["prediction_id"]) == []


@pytest.mark.system("R4")
async def test_r4_replicate_is_asked_only_after_more_silence_than_its_runs_take(
    world: World,
) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "drop_webhooks"})
    await restore(world, job_id=job_id)

    job = await world.ended(job_id, within=120)
    row = await the_purchase(world, job_id)
    asked = await world.questions_about(row["prediction_id"])

    first = datetime.fromisoformat(asked[0]["at"])
    assert job["state"] == "completed"
    assert row["ask_every"] == RESTORATION.typical_run
    assert first - row["answered_at"] >= RESTORATION.typical_run - timedelta(seconds=1)
    assert len(asked) <= 2  # one brings the verdict; a second may have been under way
    assert row["last_webhook_at"] is None


@pytest.mark.system("R4")
@pytest.mark.parametrize("worker", ["generator", "storage"])
async def test_r4_no_job_hangs_because_a_worker_died(world: World, worker: str) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "slow_run", "seconds": 2.0})
    await restore(world, job_id=job_id)
    await the_purchase(world, job_id)

    world.system.kill(worker)
    world.system.start(worker)
    job = await world.reported(job_id)

    assert (job["state"], job["stored"]) == ("completed", 1)
    assert len(await world.bought_for(job_id)) == 1


@pytest.mark.system("R5")
@pytest.mark.system("A10")
async def test_r5_signatures_payloads_and_senders_are_checked(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "stuck_starting"})
    await restore(world, job_id=job_id)
    row = await the_purchase(world, job_id)
    body = json.dumps({"id": row["prediction_id"], "status": "failed", "error": "forged"}).encode()
    secret = world.system.layout.webhook_secret
    genuine = signed(body, secret)
    forged = signed(body, "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY")
    empty = b'{"status": "failed"}'

    refused = {
        "no prediction": await world.webhook(empty, headers=signed(empty, secret)),
        "forged": await world.webhook(body, headers=forged),
        "changed": await world.webhook(body.replace(b"forged", b"change"), headers=genuine),
        "unsigned": await world.webhook(body, headers={"content-type": "application/json"}),
        "old": await world.webhook(
            body,
            headers=signed(body, secret, at=datetime.now().timestamp() - 600),  # noqa: DTZ005, TID251
        ),
    }
    slots = await world.slots(job_id)
    await world.publish(
        "job.cancel_requested",
        {"job_id": str(job_id), "reason": "seen enough"},
        message_id=str(uuid4()),
    )
    await world.ended(job_id)

    statuses = {why: status for why, (status, _) in refused.items()}
    assert statuses == {
        "forged": 401,
        "changed": 401,
        "unsigned": 400,
        "old": 401,
        "no prediction": 400,
    }
    assert [slot["state"] for slot in slots] == ["submitted"]


@pytest.mark.system("R5")
@pytest.mark.system("A10")
async def test_r5_who_sends_too_fast_is_told_to_come_again(world: World) -> None:
    body = json.dumps({"id": f"f{uuid4().hex[:25]}", "status": "starting"}).encode()
    wrong = signed(body, "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY")
    async with restarted_with(world, "ingress", WEBHOOKS_PER_SECOND_PER_ADDRESS="2"):
        answers = [(await world.webhook(body, headers=wrong))[0] for _ in range(40)]
        job_id = await restore(world)
        job = await world.ended(job_id)

    assert set(answers) == {401, 429}
    # The sender comes again, as it was told: nothing is lost by the limit.
    assert job["state"] == "completed"


@pytest.mark.system("R5")
async def test_r5_duplicates_change_nothing(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "duplicate", "copies": 3}, {"fault": "late_start"})
    await restore(world, job_id=job_id)

    await world.reported(job_id)
    await world.settled()
    story = await world.story(job_id)
    delivered = [
        entry
        for entry in await world.ledger("delivery")
        if str(job_id) in entry["webhook"] and entry["event"] == "completed" and entry["heard"]
    ]

    assert len(await world.files(job_id)) == 1
    assert story.count("artifacts.stored") == 1
    assert story.count("job.completed") == 1
    assert len(delivered) == 4  # the copies did come, and were acknowledged


@pytest.mark.system("R7")
async def test_r7_a_laptop_needs_no_tunnel_with_the_emulator(world: World) -> None:
    job_id = await restore(world)
    job = await world.reported(job_id)

    [bought] = await world.bought_for(job_id)

    assert job["state"] == "completed"
    assert is_loopback(bought["webhook"])
    assert is_loopback(bought["urls"]["get"])
    assert is_loopback(str(bought["output"]))


@pytest.mark.system("R7")
async def test_r7_with_the_real_api_a_laptop_asks_instead_of_being_called(world: World) -> None:
    # Nobody out there can call this machine: no webhook is asked for, and none arrives.
    assert webhook_url("http://127.0.0.1:8080", "https://api.replicate.com") is None
    assert webhook_url("https://darkroom.example", "https://api.replicate.com") is not None
    world.system.child("ingress").stop(within=35)
    job_id = await restore(world)
    row = await the_purchase(world, job_id)
    await world.output_of(row["prediction_id"])

    # The silence, without the wait for it.
    await world.execute("UPDATE prediction SET ask_at = now() WHERE job_id = $1", job_id)
    job = await world.reported(job_id)

    assert (job["state"], job["stored"]) == ("completed", 1)
    assert (await the_purchase(world, job_id))["last_webhook_at"] is None
