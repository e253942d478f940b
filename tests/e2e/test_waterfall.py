"""Where each second of a slot went, on the running system: its moments come from every service,
the provider's bodies, broker, database and bucket."""

import json
from typing import Any
from uuid import UUID, uuid4

from shared.domain.waterfall import Stage
from tests.support.operator import darkroom
from tests.support.photos import a_tiny_photo
from tests.support.world import World

NAMED = 0.99
A_GOOD_DAY = [
    Stage.ORDER,
    Stage.PLAN,
    Stage.QUEUE,
    Stage.CREATE,
    Stage.PROVIDER_QUEUE,
    Stage.RUN,
    Stage.TRANSIT,
    Stage.ACK,
    Stage.BROKER,
    Stage.TURN,
    Stage.DOWNLOAD,
    Stage.FINISH,
    Stage.UPLOAD,
    Stage.RECORD,
    Stage.COUNT,
]
BRIEF = {
    "prompt": "a lagoon",
    "surface": {"width": 8, "height": 6},
    "colours": ["#102030", "#40A0F0", "#F0E0C0"],
}


async def told(world: World, job_id: UUID) -> dict[str, Any]:
    """What an operator is told of where the time went."""
    said = await darkroom(world, "jobs", "show", str(job_id), "--where", "--json")
    assert said.code == 0, said
    found: dict[str, Any] = json.loads(said.out)
    return found


def taken(slot: dict[str, Any]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for one in slot["segments"]:
        seconds[one["stage"]] = seconds.get(one["stage"], 0.0) + one["seconds"]
    return seconds


async def test_every_second_of_every_recipe_has_its_name(world: World) -> None:
    photo = a_tiny_photo()
    job_ids = [
        await world.order(photo, params={"count": 3}),
        await world.order(photo, recipe="restoration"),
        await world.order_words("studio-concepts", params=BRIEF),
        await world.order_words("sound-effect", params={"prompt": "rain", "seconds": 3}),
        await world.order_words("background-music", params={"prompt": "a waltz", "duration": 6}),
    ]

    for job_id in job_ids:
        assert (await world.reported(job_id))["state"] == "completed"
        data = await told(world, job_id)
        assert data["named"] >= NAMED, data
        assert data["sentence"]["en"].endswith(".")
        assert data["report"]["seconds"] > 0
        for slot in data["slots"]:
            assert [one["stage"] for one in slot["segments"]] == A_GOOD_DAY, slot
            assert slot["clocks"] == {}, slot  # one machine has one clock


async def test_an_operator_sees_it_drawn_in_his_language(world: World) -> None:
    job_id = await world.order(a_tiny_photo(), params={"count": 1})
    await world.reported(job_id)

    english = await darkroom(world, "jobs", "show", str(job_id), "--where")
    korean = await darkroom(world, "jobs", "show", str(job_id), "--where", "--locale", "ko")

    assert english.code == korean.code == 0
    assert "the run at Replicate" in english.out
    assert "Replicate 실행" in korean.out


async def test_a_file_that_came_only_later_shows_its_tries_and_waits(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "failing_file", "fetches": 2})
    await world.order(a_tiny_photo(), job_id=job_id, params={"count": 1})

    await world.ended(job_id)
    data = await told(world, job_id)

    [slot] = data["slots"]
    assert {Stage.TRIED, Stage.PARKED, Stage.DOWNLOAD} <= taken(slot).keys()
    assert data["named"] >= NAMED, data


async def test_a_webhook_that_never_came_is_a_silence_and_no_slow_network(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "drop_terminal"})
    await world.order(a_tiny_photo(), job_id=job_id, params={"count": 1})

    await world.ended(job_id, within=120)
    data = await told(world, job_id)

    [slot] = data["slots"]
    assert Stage.SILENCE in taken(slot)
    assert Stage.TRANSIT not in taken(slot)
    assert data["slowest"]["stage"] == Stage.SILENCE
    assert data["named"] >= NAMED, data


async def test_a_second_attempt_is_told_apart_from_the_first(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "fail", "when": {"webhook": f"{job_id}.1.1"}})
    await world.order(a_tiny_photo(), job_id=job_id, params={"count": 1})

    await world.ended(job_id)
    data = await told(world, job_id)

    [slot] = data["slots"]
    assert slot["attempts"] == 2
    assert {Stage.LOST_ATTEMPT, Stage.AGAIN, Stage.RUN} <= taken(slot).keys()
    assert data["named"] >= NAMED, data
