"""Nobody hears of anything for 45 minutes; then everything is stored while its files last."""

import pytest

from tests.support import photos
from tests.support.waiting import eventually
from tests.support.world import World

A_PHOTO = photos.a_tiny_photo()
OUTAGE_S = 45 * 60.0
RETENTION_S = 3600.0
LEFT_AT_LEAST_S = 600.0


@pytest.mark.timeout(400)
async def test_45_minutes_without_webhooks_and_reconciler_lose_nothing(world: World) -> None:
    world.system.kill("reconciler")
    await world.misbehave(None, {"fault": "drop_webhooks"})
    job_ids = [await world.order(A_PHOTO) for _ in range(12)]

    async def ended() -> set[str]:
        ours = {str(job_id) for job_id in job_ids}
        bought = {
            e["prediction"]
            for e in await world.ledger("purchase")
            if any(job_id in str(e["webhook"]) for job_id in ours)
        }
        return bought & {e["prediction"] for e in await world.ledger("ended")}

    bought = await eventually(
        "all of them end at the provider", ended, holds=lambda e: len(e) == 36, within=120
    )
    await world.provider_time_passes(OUTAGE_S)
    await world.execute("UPDATE prediction SET ask_at = now() WHERE ask_at IS NOT NULL")
    world.system.start("reconciler")
    for job_id in job_ids:
        await world.reported(job_id, within=120)

    fetched = {
        e["prediction"]: e["t"] for e in await world.ledger("file_fetch") if e["status"] == 200
    }
    ends = {e["prediction"]: e["t"] for e in await world.ledger("ended")}
    left = {one: ends[one] + RETENTION_S - fetched[one] for one in bought}
    states = await world.rows("SELECT state, stored FROM job WHERE id = ANY($1)", job_ids)
    assert [(row["state"], row["stored"]) for row in states] == [("completed", 3)] * 12
    assert min(left.values()) >= LEFT_AT_LEAST_S
    assert max(left.values()) <= RETENTION_S - OUTAGE_S
