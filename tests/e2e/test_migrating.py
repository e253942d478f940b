"""The orders of docs/migrating, copied from the pages and placed on the running system."""

from typing import Any
from uuid import UUID

import pytest

from tests.support import photos
from tests.support.asking import said_at_the_end
from tests.support.migrating import Example, examples
from tests.support.world import World


@pytest.mark.system("W4")
@pytest.mark.parametrize("example", examples("order"), ids=lambda example: example.name)
async def test_w4_an_order_that_is_copied_from_the_page_completes_with_its_report(
    world: World, example: Example
) -> None:
    order: dict[str, Any] = example.body
    job_id = UUID(order["job_id"])
    if "source" in order:
        await world.bucket.put(order["source"]["key"], photos.a_photo(), content_type="image/jpeg")

    await world.publish("upload.received", order)
    job = await world.reported(job_id)
    told = await said_at_the_end(world, job_id)

    assert (job["state"], job["report"], job["recipe"]) == ("completed", "published", example.name)
    assert told["external_ref"] == order["external_ref"]
    assert told["metadata"] == order["metadata"]
