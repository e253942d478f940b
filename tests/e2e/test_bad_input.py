"""Bad input: a clear reason at the right place, nothing lost, no traceback as an answer."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.support import photos
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import World


async def parked_with(world: World, marker: str) -> dict[str, object]:
    async def look() -> dict[str, object] | None:
        rows = await world.rows("SELECT * FROM parked_message WHERE due_at IS NULL")
        return next((row for row in rows if marker.encode() in row["body"]), None)

    row = await eventually(f"the message with {marker!r} is parked", look)
    assert row is not None
    await world.execute("DELETE FROM parked_message WHERE id = $1", row["id"])
    return row


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"recipe": "oil-painting"}, "oil-painting"),
        ({"params": {"count": 99}}, "count"),
        ({"params": {"colour": "blue"}}, "colour"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"locale": "tlh"}, "locale|language"),
        ({"source": {"key": "jobs/somebody-elses/original/x.jpg"}}, "source|original"),
        ({"source": {"key": "../../etc/passwd"}}, "source|original"),
        ({"deadline_seconds": -1}, "deadline_seconds"),
    ],
    ids=["recipe", "range", "unknown param", "zone", "language", "foreign key", "dots", "deadline"],
)
async def test_an_order_that_cannot_be_planned_ends_its_job_with_the_reason(
    world: World, order: dict[str, Any], told: str
) -> None:
    job_id = await world.order(photos.a_tiny_photo(), **order)

    job = await world.ended(job_id)

    assert job["state"] == "failed"
    assert any(word in job["reason"] for word in told.split("|")), job["reason"]
    assert "Traceback" not in job["reason"]
    assert (await world.story(job_id)).count("job.failed") == 1


async def test_an_order_that_is_no_json_is_parked_with_a_sentence(world: World) -> None:
    marker = uuid4().hex

    await world.publish("upload.received", f"not json {marker}".encode(), message_id=marker)

    row = await parked_with(world, marker)
    assert "not JSON" in str(row["reason"])


async def test_an_order_without_any_name_is_parked_with_a_sentence(world: World) -> None:
    marker = uuid4().hex

    await world.publish("upload.received", {"recipe": "variations", "external_ref": marker})

    row = await parked_with(world, marker)
    assert "id" in str(row["reason"])


async def test_a_forged_webhook_is_refused_and_changes_nothing(world: World) -> None:
    body = json.dumps({"id": "z" * 26, "status": "succeeded", "output": "https://evil"}).encode()
    headers = signed(body, "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY")

    status, said = await world.webhook(body, headers=headers)

    assert status == 401
    assert "Traceback" not in said
    assert await world.value("SELECT count(*) FROM journal WHERE body = $1", body) == 0


async def test_every_malformed_webhook_gets_a_sentence_and_never_a_500(world: World) -> None:
    body = json.dumps({"id": "z" * 26, "status": "succeeded"}).encode()
    good = signed(body, world.system.layout.webhook_secret)
    broken = [
        {**good, "webhook-signature": "junk"},
        {**good, "webhook-signature": "v1,%%%"},
        {**good, "webhook-timestamp": "yesterday"},
        {**good, "webhook-id": "a b"},
        {k: v for k, v in good.items() if k != "webhook-signature"},
    ]

    answers = [await world.webhook(body, headers=headers) for headers in broken]
    not_json = b"{"
    answers.append(
        await world.webhook(not_json, headers=signed(not_json, world.system.layout.webhook_secret))
    )

    assert all(status in (400, 401) for status, _ in answers), answers
    assert all("Traceback" not in said for _, said in answers)
