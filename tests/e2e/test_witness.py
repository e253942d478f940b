"""The witness on the running system: it finds nothing wrong with a good run, and every loss that is
planted in one."""

import asyncio
from uuid import UUID

from deploy.local.prove.verdict import Finding, Verdict
from deploy.local.prove.witness import Evidence, judge
from shared.clock import utc_now
from tests.support import photos
from tests.support.world import World

A_PHOTO = photos.a_photo(size=(96, 64))
CONCEPTS = {
    "prompt": "fish in clear water",
    "surface": {"width": 2, "height": 2},
    "colours": ["#1d3557", "#f1faee"],
    "concepts": 2,
}


async def test_one_order_of_every_recipe_is_accounted_for_to_the_last_byte(world: World) -> None:
    began = utc_now()
    job_ids = [
        await world.order(A_PHOTO, params={"count": 3}),
        await world.order(A_PHOTO, recipe="restoration"),
        await world.order_words("studio-concepts", params=CONCEPTS),
        await world.order_words("sound-effect", params={"prompt": "rain", "seconds": 1.5}),
        await world.order_words("background-music", params={"prompt": "calm", "duration": 2}),
    ]
    for job_id in job_ids:
        await world.reported(job_id)
    await world.settled()

    verdict = await judged(Evidence.of(world.system.ledger, world.system.layout.parts))
    recent = await judged(Evidence.of(world.system.ledger, world.system.layout.parts, since=began))

    assert [found for job_id in job_ids for found in about(verdict, job_id)] == []
    assert recent.counts["jobs"] >= 5
    assert recent.counts["outputs_stored"] >= 3 + 1 + 2 + 1 + 1
    # Derived files and reports are read as well: two of palettes, one trimmed sound, five pages.
    assert recent.counts["files_read"] >= recent.counts["outputs_stored"] + 2 + 1 + 5


async def test_what_is_taken_from_a_good_run_is_named(world: World) -> None:
    job_id = await world.order(A_PHOTO, params={"count": 3})
    await world.reported(job_id)
    await world.settled()
    evidence = Evidence.of(world.system.ledger, world.system.layout.parts)
    before = about(await judged(evidence), job_id)
    gone, changed, unnamed = await world.files(job_id)
    bought = {row["ordinal"]: row["prediction_id"] for row in await world.purchases(job_id)}

    await world.bucket.delete(gone["key"])
    await world.bucket.put(changed["key"], b"another picture", content_type="image/png")
    await world.execute("DELETE FROM artifact WHERE id = $1", unnamed["id"])
    await world.execute(
        "UPDATE prediction SET prediction_id = 'x' || prediction_id WHERE prediction_id = $1",
        bought[1],
    )
    verdict = await judged(evidence)
    await world.execute(  # who asks the ledger after this finds it balanced
        "UPDATE prediction SET prediction_id = $1 WHERE prediction_id = 'x' || $1", bought[1]
    )

    assert before == []
    assert {found.id for found in verdict.lost} >= {
        gone["key"],
        changed["key"],
        bought[unnamed["ordinal"]],
    }
    assert {found.id for found in verdict.unaccounted} >= {bought[1], f"x{bought[1]}"}


async def judged(evidence: Evidence) -> Verdict:
    return await asyncio.to_thread(judge, evidence)


def about(verdict: Verdict, job_id: UUID) -> list[Finding]:
    """What it says of one job."""
    found = (*verdict.lost, *verdict.duplicated, *verdict.unaccounted, *verdict.stuck)
    return [one for one in found if str(job_id) in f"{one.id} {one.sentence}"]
