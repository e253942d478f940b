"""``darkroom parked`` on the running system: what died is found, understood, and brought back."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.support import photos
from tests.support.operator import darkroom
from tests.support.signing import signed
from tests.support.unplaced import a_success_that_could_not_be_placed, put_back
from tests.support.waiting import eventually
from tests.support.world import World

A_PHOTO = photos.a_photo()


async def dead_of(world: World, text: str) -> list[dict[str, Any]]:
    said = await darkroom(world, "parked", "list", "--dead", "--json", "--limit", "1000")
    assert said.code == 0, said.err
    return [message for message in json.loads(said.out) if text in json.dumps(message)]


@pytest.mark.system("A9")
async def test_a9_a_webhook_that_could_not_be_placed_is_replayed_once_it_can(world: World) -> None:
    job_id, lost = await a_success_that_could_not_be_placed(world, A_PHOTO)

    async def parked_dead() -> list[dict[str, Any]]:
        return [one for one in await dead_of(world, str(job_id)) if "succeeded" in one["type"]]

    [dead] = await eventually("it is parked for a look", parked_dead, within=60)
    await put_back(world, lost)
    dry = await darkroom(world, "parked", "replay", "--all", "--type", dead["type"], "--dry-run")
    replayed = await darkroom(world, "parked", "replay", dead["id"])

    job = await world.reported(job_id)
    assert "no purchase of ours" in dead["reason"]
    assert dry.out.split()[0].isdigit()
    assert replayed.out.startswith("1 brought back")
    assert (job["state"], job["stored"]) == ("completed", 1)
    assert await dead_of(world, str(job_id)) == []


async def test_a_message_that_nobody_can_help_is_shown_without_secrets_and_discarded(
    world: World,
) -> None:
    stranger = f"z{uuid4().hex[:25]}"
    link = "https://bucket.example/a.jpg?X-Amz-Signature=0123456789abcdef"
    body = {"id": stranger, "status": "failed", "input": {"image": link}, "output": None}
    payload = json.dumps(body).encode()
    await world.webhook(payload, headers=signed(payload, world.system.layout.webhook_secret))

    async def there() -> list[dict[str, Any]]:
        rows = await world.rows("SELECT id, event_id, body FROM parked_message")
        return [row for row in rows if stranger.encode() in row["body"]]

    [kept] = await eventually("it is parked", there)
    shown = await darkroom(world, "parked", "show", kept["event_id"], "--body")
    asked = await darkroom(world, "parked", "discard", str(kept["id"]))
    discarded = await darkroom(world, "parked", "discard", str(kept["id"]), "--yes")
    gone = await darkroom(world, "parked", "show", str(kept["id"]))

    assert shown.code == 0
    assert stranger in shown.out
    assert "0123456789abcdef" not in shown.out
    assert "no purchase of ours" in shown.out
    assert asked.code != 0  # nobody answered the question
    assert discarded.out.strip() == "1 discarded"
    assert (gone.code, "nothing is parked" in gone.err) == (1, True)


async def test_replaying_without_saying_what_is_refused(world: World) -> None:
    said = await darkroom(world, "parked", "replay")

    assert said.code == 2
    assert "name ids, or say --all" in said.err
