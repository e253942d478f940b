"""Rows V1 to V12 of docs/systems.md, each through running processes, broker, database, bucket
and HTTP."""

import json
import re
from datetime import UTC, timedelta
from io import BytesIO
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from PIL import Image

from tests.support import photos
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import Row, World

A_PHOTO = photos.a_photo()


@pytest.mark.system("V1")
async def test_v1_an_upload_event_names_the_job_and_its_original(world: World) -> None:
    job_id = await world.order(A_PHOTO)

    job = await world.ended(job_id)
    [original] = await world.files(job_id, "original")

    assert job["state"] == "completed"
    assert original["key"] == f"jobs/{job_id}/original/photo.jpg"
    assert original["content_type"] == "image/jpeg"


@pytest.mark.system("V1")
@pytest.mark.parametrize(
    ("photo", "why"),
    [
        (None, "no original"),
        (b"this is a text, whatever its name says", "no file that we know"),
        (A_PHOTO[: len(A_PHOTO) // 2], "cut short|truncated|damaged"),
    ],
    ids=["missing", "text called jpg", "truncated"],
)
async def test_v1_an_original_that_cannot_be_read_ends_the_job_with_a_clear_reason(
    world: World, photo: bytes | None, why: str
) -> None:
    job_id = await world.order(photo)

    job = await world.ended(job_id)

    assert job["state"] == "failed"
    assert re.search(why, job["reason"]), job["reason"]
    assert await world.purchases(job_id) == []


@pytest.mark.system("V2")
async def test_v2_the_original_reaches_replicate_as_a_link_that_is_kept_nowhere(
    world: World,
) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 1})
    await world.ended(job_id)

    [bought] = await world.bought_for(job_id)
    link = bought["input"]["image"]
    lifetime = int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0])
    rows = await world.rows("SELECT input::text AS text FROM slot WHERE job_id = $1", job_id)
    signature = parse_qs(urlsplit(link).query)["X-Amz-Signature"][0]
    stated = await world.rows(
        "SELECT body FROM journal WHERE job_id = $1 AND origin = 'stated'", job_id
    )

    assert f"/jobs/{job_id}/original/" in urlsplit(link).path
    assert lifetime >= 3600
    assert all("X-Amz" not in row["text"] for row in rows)
    assert all(b"X-Amz" not in row["body"] for row in stated)
    assert signature not in world.logs()


@pytest.mark.system("V3")
async def test_v3_each_of_three_predictions_has_a_seed_of_its_own_and_our_webhook(
    world: World,
) -> None:
    job_id = await world.order(A_PHOTO)
    await world.ended(job_id)

    bought = await world.bought_for(job_id)

    assert len(bought) == 3
    assert len({e["input"]["seed"] for e in bought}) == 3
    assert all(
        e["webhook"].startswith(f"{world.system.layout.ingress_url}/webhooks/replicate?slot=")
        for e in bought
    )
    assert all({"image", "prompt", "seed"} <= set(e["input"]) for e in bought)


@pytest.mark.system("V3")
@pytest.mark.parametrize("count", [1, 10])
async def test_v3_count_says_how_many(world: World, count: int) -> None:
    job_id = await world.order(A_PHOTO, params={"count": count})

    job = await world.ended(job_id)

    assert (job["state"], job["n"], job["stored"]) == ("completed", count, count)


@pytest.mark.system("V3")
@pytest.mark.parametrize("count", [0, 11, "three", 2.5])
async def test_v3_a_count_out_of_range_ends_the_job_with_a_sentence(
    world: World, count: object
) -> None:
    job_id = await world.order(A_PHOTO, params={"count": count})

    job = await world.ended(job_id)

    assert job["state"] == "failed"
    assert "count" in job["reason"]
    assert await world.purchases(job_id) == []


@pytest.mark.system("V4")
async def test_v4_the_prediction_is_on_record_before_anything_else_happens(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "stuck_starting"})
    await world.order(A_PHOTO, job_id=job_id, params={"count": 1})

    async def purchases() -> list[Row]:
        return await world.purchases(job_id)

    [row] = await eventually(
        "the purchase has its id", purchases, holds=lambda r: bool(r and r[0]["prediction_id"])
    )
    await world.publish(
        "job.cancel_requested",
        {"job_id": str(job_id), "reason": "seen enough"},
        message_id=str(uuid4()),
    )
    job = await world.ended(job_id)

    assert row["intended_at"] <= row["answered_at"]
    assert job["state"] == "canceled"


@pytest.mark.system("V5")
@pytest.mark.parametrize("as_list", [False, True], ids=["string", "list"])
async def test_v5_an_old_style_body_finds_its_slot_by_job_and_seed(
    world: World, as_list: bool
) -> None:
    # Nothing but the old body: no slot in the address, no id that we know. The create's answer
    # and every webhook of it were lost, and nobody asks the provider.
    world.system.child("reconciler").kill()
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "lose_create_answer"}, {"fault": "drop_webhooks"})
    await world.order(A_PHOTO, job_id=job_id, params={"count": 2})

    async def in_doubt() -> int:
        return int(
            await world.value(
                "SELECT count(*) FROM slot WHERE job_id = $1 AND state = 'in_doubt'", job_id
            )
        )

    await eventually("both purchases are in doubt", in_doubt, holds=lambda n: n == 2)
    purchases = await world.bought_for(job_id)
    for bought in purchases:
        output = await world.output_of(bought["id"])
        body = {
            "id": bought["id"],
            "status": "succeeded",
            "output": [output] if as_list else output,
            "input": {"image": bought["input"]["image"], "seed": bought["input"]["seed"]},
        }
        payload = json.dumps(body).encode()
        status, said = await world.webhook(
            payload, headers=signed(payload, world.system.layout.webhook_secret)
        )
        assert status < 300, said

    job = await world.ended(job_id)
    slots = await world.slots(job_id)
    rows = await world.purchases(job_id)

    assert job["state"] == "completed"
    assert [slot["state"] for slot in slots] == ["stored", "stored"]
    assert all(row["adopted"] for row in rows)
    by_seed = {e["input"]["seed"]: e["id"] for e in purchases}
    assert {row["seed"]: row["prediction_id"] for row in rows} == by_seed


@pytest.mark.system("V5")
async def test_v5_what_stays_ambiguous_is_parked_and_never_guessed(world: World) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 2})
    await world.ended(job_id)
    stranger = f"x{uuid4().hex[:25]}"
    payload = json.dumps(
        {
            "id": stranger,
            "status": "succeeded",
            "output": "https://replicate.delivery/x/out-0.png",
            "input": {"image": f"https://bucket/jobs/{job_id}/original/photo.jpg"},
        }
    ).encode()

    status, _ = await world.webhook(
        payload, headers=signed(payload, world.system.layout.webhook_secret)
    )

    async def parked() -> list[dict[str, object]]:
        return [
            row
            for row in await world.rows("SELECT * FROM parked_message WHERE due_at IS NULL")
            if stranger.encode() in row["body"]
        ]

    [dead] = await eventually("it is parked", parked)
    assert status < 300
    assert "meant" in str(dead["reason"]) or "ambiguous" in str(dead["reason"])
    await world.execute("DELETE FROM parked_message WHERE id = $1", dead["id"])


@pytest.mark.system("V6")
@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
async def test_v6_every_picture_is_stored_with_its_real_type_and_recorded(
    world: World, form: str
) -> None:
    job_id = uuid4()
    await world.misbehave(
        job_id,
        {"fault": "other_format", "format": form},
        {"fault": "wrong_content_type", "content_type": "image/gif"},
    )
    await world.order(A_PHOTO, job_id=job_id, params={"count": 2})
    await world.ended(job_id)

    files = await world.files(job_id)

    types = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
    assert len(files) == 2
    for ordinal, file in enumerate(files, start=1):
        [slot] = [s for s in await world.slots(job_id) if s["ordinal"] == ordinal]
        stored = await world.bucket.get_bytes(file["key"], limit=50_000_000)
        with Image.open(BytesIO(stored)) as picture:
            picture.load()
            assert Image.MIME[picture.format or ""] == types[form]
        assert file["key"] == f"jobs/{job_id}/generated/{ordinal}-1-0.{form}"
        assert file["content_type"] == types[form]
        assert (file["kind"], file["ordinal"], file["seed"]) == ("generated", ordinal, slot["seed"])
        assert file["prediction_id"]
        assert file["id"]


@pytest.mark.system("V7")
async def test_v7_a_slot_keeps_its_place_whatever_order_the_webhooks_come_in(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(
        job_id, {"fault": "shuffle_webhooks", "seconds": 3.0}, {"fault": "duplicate", "times": 2}
    )
    await world.order(A_PHOTO, job_id=job_id, params={"count": 6})
    await world.ended(job_id)

    seeds = {bought["id"]: bought["input"]["seed"] for bought in await world.bought_for(job_id)}
    slots = {slot["ordinal"]: slot["seed"] for slot in await world.slots(job_id)}
    files = await world.files(job_id)

    assert [file["ordinal"] for file in files] == [1, 2, 3, 4, 5, 6]
    assert all(seeds[file["prediction_id"]] == slots[file["ordinal"]] for file in files)


@pytest.mark.system("V8")
async def test_v8_the_last_of_n_ends_the_job_once_and_starts_one_report(world: World) -> None:
    await world.misbehave(None, {"fault": "duplicate"}, {"fault": "duplicate", "same_id": False})
    job_ids = [await world.order(A_PHOTO) for _ in range(10)]

    for job_id in job_ids:
        await world.reported(job_id)
    await world.settled()

    for job_id in job_ids:
        story = await world.story(job_id)
        assert story.count("job.completed") == 1
        assert story.count("report.published") == 1
        assert story.count("artifacts.stored") == 3
        assert (await world.job(job_id) or {})["report"] == "published"


@pytest.mark.system("V8")
async def test_v8_a_job_whose_report_is_being_made_says_so(world: World) -> None:
    world.system.child("report").stop(within=35)
    try:
        job_id = await world.order(A_PHOTO, params={"count": 1})
        job = await world.ended(job_id)
        assert (job["state"], job["report"]) == ("completed", "pending")
    finally:
        world.system.start("report")
    assert (await world.reported(job_id))["report"] == "published"


@pytest.mark.system("V9")
async def test_v9_a_failed_prediction_is_an_outcome_of_its_own(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "fail", "error": "The model ran out of ideas"})
    await world.order(A_PHOTO, job_id=job_id, params={"count": 1})

    job = await world.ended(job_id)
    [slot] = await world.slots(job_id)

    assert (job["state"], slot["failure_code"]) == ("failed", "provider")
    assert "ran out of ideas" in job["reason"]


@pytest.mark.system("V9")
async def test_v9_an_empty_output_is_an_outcome_of_its_own(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "output", "shape": "null"})
    await world.order(A_PHOTO, job_id=job_id, params={"count": 1})

    job = await world.ended(job_id)
    [slot] = await world.slots(job_id)

    assert (job["state"], slot["failure_code"]) == ("failed", "no_output")


@pytest.mark.system("V9")
async def test_v9_a_prediction_that_nobody_ordered_is_answered_kept_and_shown(
    world: World,
) -> None:
    stranger = f"y{uuid4().hex[:25]}"
    payload = json.dumps({"id": stranger, "status": "failed", "input": {}, "output": None}).encode()

    status, _ = await world.webhook(
        payload, headers=signed(payload, world.system.layout.webhook_secret)
    )

    async def parked() -> list[dict[str, object]]:
        return [
            row
            for row in await world.rows("SELECT * FROM parked_message WHERE due_at IS NULL")
            if stranger.encode() in row["body"]
        ]

    [dead] = await eventually("it is parked for a look", parked)
    assert status < 300
    await world.execute("DELETE FROM parked_message WHERE id = $1", dead["id"])


@pytest.mark.system("V10")
@pytest.mark.system("V11")
async def test_v10_v11_the_report_shows_all_of_it_in_the_zone_and_language_of_the_job(
    world: World,
) -> None:
    job_id = await world.order(A_PHOTO, timezone="Asia/Seoul", locale="ko")
    job = await world.reported(job_id)

    page = (await world.bucket.get_bytes(job["report_key"], limit=50_000_000)).decode()
    rows = await world.purchases(job_id)

    seoul = job["ended_at"].astimezone(UTC) + timedelta(hours=9)
    assert job["ended_at"].tzinfo is not None
    assert 'lang="ko"' in page
    assert f"{seoul:%H:%M}" in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert page.count("data:image/") >= 4
    places = [page.index(row["prediction_id"]) for row in rows]
    assert places == sorted(places)
    assert all(str(row["seed"]) in page for row in rows)


@pytest.mark.system("V12")
async def test_v12_a_creation_that_fails_for_good_ends_the_job_in_the_providers_words(
    world: World,
) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "refuse", "status": 422})
    await world.order(A_PHOTO, job_id=job_id, params={"count": 1})

    job = await world.ended(job_id)
    [slot] = await world.slots(job_id)

    assert (job["state"], slot["failure_code"]) == ("failed", "invalid_input")
    assert slot["failure_detail"]
    assert slot["failure_detail"] in job["reason"]
