"""Many jobs at once while things go wrong: the counts come out, to the purchase."""

import json
from collections import Counter
from uuid import UUID

import pytest

from tests.support import photos
from tests.support.operator import darkroom
from tests.support.world import World

A_PHOTO = photos.a_tiny_photo()


async def counts_come_out(world: World, job_ids: list[UUID], *, each: int = 3) -> None:
    """Every job completed once with its report; files, purchases and journal agree to the one."""
    n = len(job_ids)
    for job_id in job_ids:
        await world.reported(job_id, within=240)
    await world.settled(within=120)

    states = Counter(
        row["state"]
        for row in await world.rows("SELECT state FROM job WHERE id = ANY($1)", job_ids)
    )
    files = await world.value(
        "SELECT count(*) FROM artifact WHERE kind = 'generated' AND job_id = ANY($1)", job_ids
    )
    ends = await world.rows(
        """SELECT type, count(*) AS n FROM journal
            WHERE job_id = ANY($1) AND type IN ('job.completed', 'report.published')
            GROUP BY type""",
        job_ids,
    )
    ours = {str(job_id) for job_id in job_ids}
    bought = [e for e in await world.ledger("purchase") if job_of(e["webhook"]) in ours]
    known = {
        row["prediction_id"]
        for row in await world.rows(
            """SELECT prediction_id FROM prediction
                WHERE job_id = ANY($1) AND prediction_id IS NOT NULL""",
            job_ids,
        )
    }

    assert states == {"completed": n}
    assert files == each * n
    assert {row["type"]: row["n"] for row in ends} == {"job.completed": n, "report.published": n}
    # No purchase that the ledger does not know, by id and not by count: a loss and a double
    # purchase would cancel out in a count. (An intent without an id was never bought.)
    assert {e["prediction"] for e in bought} == known
    assert len(bought) == each * n
    dead = await world.rows("SELECT reason FROM parked_message")
    assert dead == []
    said = await darkroom(world, "audit", "--json", "--settled", "0s", "--prove")
    assert said.code in (0, 1), said.err
    assert [one for one in json.loads(said.out)["findings"] if one["job"] in ours] == []


def job_of(webhook: str | None) -> str | None:
    return webhook.split("slot=", 1)[1][:36] if webhook and "slot=" in webhook else None


@pytest.mark.timeout(600)
async def test_two_hundred_jobs_at_once_with_doubled_and_shuffled_webhooks_lose_nothing(
    world: World,
) -> None:
    await world.misbehave(
        None,
        {"fault": "duplicate", "times": 1},
        {"fault": "late_start", "rate": 0.5},
        {"fault": "shuffle_webhooks", "seconds": 3.0},
    )

    job_ids = [await world.order(A_PHOTO) for _ in range(200)]

    await counts_come_out(world, job_ids)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "service", ["ingress", "generator", "storage", "aggregator", "report", "reconciler"]
)
async def test_a_service_that_is_killed_amid_fifty_jobs_and_comes_back_loses_nothing(
    world: World, service: str
) -> None:
    job_ids = [await world.order(A_PHOTO) for _ in range(50)]
    await world.some_are_under_way(job_ids)

    world.system.kill(service)
    world.system.start(service)
    world.system.wait_ready(service)

    await counts_come_out(world, job_ids)
