"""A job is done again on the running system: what is stored of it is taken over, the rest is bought."""

import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest_asyncio

from tests.support.front_end import FrontEnd, a_front_end
from tests.support.operator import darkroom
from tests.support.photos import a_photo
from tests.support.world import World

ONE_REFUSED = {"fault": "refuse", "status": 422, "times": 1}


@pytest_asyncio.fixture
async def front(world: World) -> AsyncIterator[FrontEnd]:
    async with a_front_end(world.system.layout.api_url) as front:
        yield front


async def a_job_that_lacks_one(world: World) -> UUID:
    """Three pictures, of which the provider refuses one."""
    job_id = uuid4()
    await world.misbehave(job_id, ONE_REFUSED)
    await world.order(a_photo(), job_id=job_id, params={"count": 3})
    job = await world.ended(job_id)
    assert (job["state"], job["stored"], job["failed"]) == ("failed", 2, 1)
    return job_id


async def broken_by(world: World, *job_ids: UUID) -> list[dict[str, str]]:
    """What an audit that reads every file has to say about these jobs."""
    said = await darkroom(world, "audit", "--json", "--settled", "0s", "--prove")
    return [one for one in json.loads(said.out)["findings"] if one["job"] in map(str, job_ids)]


async def test_a_retry_buys_what_is_missing_and_reports_all_of_it(
    world: World, front: FrontEnd
) -> None:
    old = await a_job_that_lacks_one(world)

    ordered = await front.post(f"/v1/jobs/{old}/retry", key=f"again-{old}")
    same = await front.post(f"/v1/jobs/{old}/retry", key=f"again-{old}")
    again = UUID(ordered.body["id"])
    job = await world.reported(again)
    await world.settled()

    assert (same.status, same.body["id"]) == (202, str(again))
    assert (job["state"], job["stored"], job["retry_of"]) == ("completed", 3, old)
    assert len(await world.bought_for(again)) == 1
    shown = await front.get(ordered.body["url"])
    came = sorted(str(slot["reused_from"]) for slot in shown.body["slots"])
    assert came == sorted([str(old), str(old), "None"])
    files = await world.files(again)
    assert len(files) == 3
    assert all(file["key"].startswith(f"jobs/{again}/") for file in files)
    [page] = await world.files(again, "report")
    report = (await world.bucket.get_bytes(page["key"], limit=50_000_000)).decode()
    assert all(file["prediction_id"] in report for file in files)
    told = [one for one in shown.body["timeline"] if one["words"]]
    assert len(told) == 2
    assert all(str(old) in one["words"][tongue] for one in told for tongue in ("en", "ko"))
    assert await broken_by(world, old, again) == []


async def test_an_operator_orders_a_finished_job_again_for_its_report_alone(world: World) -> None:
    old = await world.order(a_photo(), params={"count": 2})
    await world.reported(old)

    said = await darkroom(world, "jobs", "retry", str(old)[:8], "--json", "--watch")
    ordered = json.loads(said.out.splitlines()[0])
    again = UUID(ordered["job_id"])
    job = await world.reported(again)
    await world.settled()
    shown = await darkroom(world, "jobs", "show", str(again))
    where = await darkroom(world, "jobs", "show", str(again), "--where", "--locale", "ko")

    assert said.code == 0, said.err
    assert ordered["retry_of"] == str(old)
    assert (job["state"], job["stored"], job["retry_of"]) == ("completed", 2, old)
    assert await world.bought_for(again) == []
    assert await world.value(
        "SELECT (convert_from(body, 'UTF8')::jsonb ->> 'cost')::float = 0 FROM journal"
        " WHERE job_id = $1 AND type = 'job.completed'",
        again,
    )
    assert shown.out.count(f"Taken over from job {old}, at no cost.") == 4  # slots, and timeline
    assert where.out.count(f"작업 {old}에서 비용 없이 가져왔습니다.") == 2
    assert await broken_by(world, old, again) == []


async def test_an_operator_is_told_why_a_job_cannot_be_ordered_again(world: World) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "slow_run", "seconds": 600})
    await world.order(a_photo(), job_id=job_id, params={"count": 1})

    unknown = await darkroom(world, "jobs", "retry", str(uuid4()))
    wrong = await darkroom(world, "jobs", "retry", str(job_id), "--job-id", "seven")

    assert unknown.code == 1
    assert "is not known here" in unknown.err
    assert wrong.code == 2
    assert "no uuid" in wrong.err
