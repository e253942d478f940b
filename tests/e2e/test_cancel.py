"""A job is canceled on the running system: by another team, by an operator, before its order."""

import json
from uuid import UUID, uuid4

import pytest

from tests.support.operator import darkroom
from tests.support.photos import a_photo
from tests.support.waiting import eventually
from tests.support.world import Row, World


async def under_way(world: World, count: int = 3) -> tuple[UUID, list[str]]:
    """A job whose predictions all run, and for long; their ids."""
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "slow_run", "seconds": 600})
    await world.order(a_photo(), job_id=job_id, params={"count": count})

    async def running() -> list[str]:
        return [row["prediction_id"] for row in await world.purchases(job_id) if row["started_at"]]

    ids = await eventually(
        "all of it runs", running, holds=lambda found: len(found) == count, within=60
    )
    return job_id, ids


async def stopped(world: World, ids: list[str]) -> None:
    async def statuses() -> set[str]:
        return {(await world.at_replicate(prediction_id))["status"] for prediction_id in ids}

    await eventually(
        "nothing of it runs at the provider",
        statuses,
        holds=lambda seen: seen <= {"canceled", "aborted"},
    )


async def _statuses(world: World, job_id: UUID) -> set[str]:
    return {row["status"] for row in await world.purchases(job_id)}


async def told_end(world: World, job_id: UUID) -> Row:
    """The fact that ended the job."""
    body = await world.value(
        "SELECT body FROM journal WHERE job_id = $1"
        " AND type IN ('job.completed', 'job.failed', 'job.canceled')",
        job_id,
    )
    told: Row = json.loads(body)
    return told


@pytest.mark.parametrize("named", [True, False])
async def test_another_team_cancels_a_job_with_one_plain_message(world: World, named: bool) -> None:
    job_id, ids = await under_way(world)

    wish = {"job_id": str(job_id), "reason": "the customer left"}
    await world.publish("job.cancel_requested", wish, message_id=uuid4().hex if named else None)
    job = await world.ended(job_id)

    await stopped(world, ids)
    told = await told_end(world, job_id)
    assert (job["state"], job["reason"]) == ("canceled", "the customer left")
    assert (told["canceled"], told["not_bought"], told["stopped"]) == (3, 0, 3)
    assert told["saved"] > 0
    await world.settled()
    await eventually(
        "what stopped is known here, too",
        lambda: _statuses(world, job_id),
        holds=lambda seen: seen <= {"canceled", "aborted"},
    )


async def test_an_operator_cancels_a_job_and_is_told_what_that_spared(world: World) -> None:
    job_id, ids = await under_way(world, count=2)

    said = await darkroom(world, "jobs", "cancel", str(job_id), "--reason", "a test", "--wait")

    assert said.code == 0, said.err
    assert f"{job_id} is canceled, 0 of 2 stored and kept: 0 never bought, 2 stopped" in said.out
    await stopped(world, ids)
    again = await darkroom(world, "jobs", "cancel", str(job_id))
    assert again.code == 1
    assert "has ended before: it is canceled" in again.err


async def test_a_wish_that_overtakes_its_order_cancels_it_before_anything_is_bought(
    world: World,
) -> None:
    job_id = uuid4()
    await world.publish("job.cancel_requested", {"job_id": str(job_id), "reason": "never mind"})

    async def waits() -> object:
        return await world.value(
            "SELECT outcome FROM journal WHERE job_id = $1 AND outcome = 'waits'", job_id
        )

    await eventually("the wish waits for its order", waits)
    await world.order(a_photo(), job_id=job_id)
    job = await world.ended(job_id)

    assert (job["state"], job["n"], job["reason"]) == ("canceled", 0, "never mind")
    assert await world.bought_for(job_id) == []
    await world.settled()
