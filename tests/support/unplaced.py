"""A success whose purchase is not on record, as after a restore of a database that is older."""

from uuid import UUID

from tests.support.waiting import eventually
from tests.support.world import Row, World


async def a_success_that_could_not_be_placed(world: World, photo: bytes) -> tuple[UUID, list[Row]]:
    """A job of one picture whose success waits for storage, or is parked soon; and the rows that are
    missing, for ``put_back``."""
    world.system.child("storage").stop(within=35)
    try:
        job_id = await world.order(photo, params={"count": 1})
        await _all_news_is_here(world, job_id)
        lost = await world.rows("DELETE FROM prediction WHERE job_id = $1 RETURNING *", job_id)
    finally:
        world.system.start("storage")
    return job_id, lost


async def put_back(world: World, rows: list[Row]) -> None:
    for row in rows:
        marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await world.execute(
            f"INSERT INTO prediction ({', '.join(row)}) VALUES ({marks})",  # noqa: S608
            *row.values(),
        )


async def _all_news_is_here(world: World, job_id: UUID) -> None:
    """The success is taken in, and whatever else was told of the prediction is written down: else it
    could not be placed either."""

    async def left() -> set[str]:
        told = [
            entry
            for entry in await world.ledger("delivery")
            if entry["heard"] and f"={job_id}." in entry["webhook"]
        ]
        earlier = {entry["webhook_id"] for entry in told if entry["event"] != "completed"}
        rows = await world.rows("SELECT event_id FROM journal WHERE job_id = $1", job_id)
        awaited = {"start", "completed"} - {entry["event"] for entry in told}
        return awaited | (earlier - {row["event_id"] for row in rows})

    await eventually("the success waits for storage", left, holds=lambda n: not n, within=60)
