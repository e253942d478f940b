"""The overview of a system that works: what was ordered, bought and stored stands in it."""

import json

from shared.messaging.topology import QUEUES
from tests.support import photos
from tests.support.days import the_day_lasts
from tests.support.operator import darkroom
from tests.support.world import World


async def test_a_job_that_went_through_is_seen_in_every_number(world: World) -> None:
    await the_day_lasts(120)
    # Of a day: nothing that other tests did leaves it meanwhile.
    look = ("overview", "--since", "1d", "--json")
    before = json.loads((await darkroom(world, *look)).out)
    job_id = await world.order(photos.a_photo(), params={"count": 1})
    await world.reported(job_id)

    said = await darkroom(world, *look)
    after = json.loads(said.out)
    drawn = (await darkroom(world, "overview")).out

    assert (said.code, said.err) == (0, "")
    assert after["jobs"]["completed"] > before["jobs"]["completed"]
    assert after["webhooks"]["taken"] > before["webhooks"]["taken"]
    # Every queue has somebody who listens, and that is asked with an ordinary account.
    assert {queue["name"] for queue in after["queues"]} == {queue.name for queue in QUEUES}
    assert all(queue["consumers"] for queue in after["queues"])
    [money] = [one for one in after["money"]["recipes"] if one["recipe"] == "variations"]
    assert money["paid"] >= 1
    assert 0 < after["account"]["left"]["creates"] <= 1
    assert "variations" in drawn
