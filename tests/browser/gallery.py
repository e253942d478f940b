"""One job of each kind, made once on the running system, for tests that only look."""

import json
from dataclasses import dataclass
from uuid import UUID, uuid4

from tests.support.front_end import FrontEnd
from tests.support.photos import a_photo
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import World

BRIEF = {
    "prompt": "a playground with a river",
    "surface": {"width": 3, "height": 2},
    "colours": ["#1f6f8b", "#99c24d", "#f2e9d8", "#d1603d"],
}
SOUND = {"prompt": "rain on a tin roof", "seconds": 1}
A_BODY = {"status": "failed", "output": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """``dead`` is the row of a parked message that waits for a person."""

    pictures: UUID
    sound: UUID
    concepts: UUID
    failed: UUID
    canceled: UUID
    running: UUID
    dead: int


async def hang(world: World, front: FrontEnd) -> Gallery:
    """Order all of it; return when everything but ``running`` is over."""
    running, failed, canceled = uuid4(), uuid4(), uuid4()
    for job_id in (running, canceled):
        # Longer than all tests of a worker take: nearly as long as the provider lets anything run.
        await world.misbehave(job_id, {"fault": "slow_run", "seconds": 1700})
    await world.misbehave(failed, {"fault": "nsfw"})
    pictures = await world.order(a_photo(), params={"count": 3}, external_ref="the lake, again")
    await world.order(a_photo(seed=8), job_id=failed, params={"count": 1})
    await world.order(a_photo(seed=9), job_id=running, params={"count": 2})
    sound = await world.order_words(
        "sound-effect", params=SOUND, metadata={"scene": 17, "take": "둘"}
    )
    concepts = await world.order_words("studio-concepts", params=BRIEF)
    await world.order_words("sound-effect", job_id=canceled, params=SOUND)
    await under_way(world, canceled, running)
    wished = await front.post(f"/v1/jobs/{canceled}/cancel", {"reason": "the customer left"})
    assert wished.status == 202, wished.body
    for job_id in (pictures, sound, concepts, failed, canceled):
        await world.reported(job_id)
    return Gallery(
        pictures=pictures,
        sound=sound,
        concepts=concepts,
        failed=failed,
        canceled=canceled,
        running=running,
        dead=await a_dead_message(world),
    )


async def under_way(world: World, *job_ids: UUID, slots: int = 1) -> None:
    """Return when predictions of so many slots of each of the jobs run at the provider."""

    async def running() -> list[int]:
        rows = await world.rows(
            "SELECT count(*) FROM prediction WHERE job_id = ANY($1) AND started_at IS NOT NULL"
            " GROUP BY job_id",
            list(job_ids),
        )
        return [row["count"] for row in rows if row["count"] >= slots]

    await eventually("they run", running, holds=lambda seen: len(seen) == len(job_ids), within=60)


async def a_dead_message(world: World) -> int:
    """A webhook of a prediction that nobody here bought; the row that is parked for it."""
    stranger = f"z{uuid4().hex[:25]}"
    link = "https://bucket.example/a.jpg?X-Amz-Signature=0123456789abcdef"
    payload = json.dumps({"id": stranger, "input": {"image": link}, **A_BODY}).encode()
    await world.webhook(payload, headers=signed(payload, world.system.layout.webhook_secret))

    async def there() -> list[int]:
        return [row["id"] for row in await world.dead(stranger)]

    [row] = await eventually("it is parked dead", there)
    return row
