"""Originals that orders name by address, on the whole running system."""

from uuid import uuid4

from tests.support.photos import a_photo
from tests.support.world import World

SECRET = "X-Signature=s3cr3t-of-somebody-else"


async def test_what_one_job_made_is_fetched_by_address_and_made_into_the_next(
    world: World,
) -> None:
    first = await world.order(a_photo(), params={"count": 1})
    await world.ended(first)
    (bought,) = await world.purchases(first)
    (made,) = await world.files(first)
    address = f"{await world.output_of(bought['prediction_id'])}?{SECRET}"
    job_id = uuid4()

    await world.publish(
        "upload.received",
        {"recipe": "restoration", "job_id": str(job_id), "source": {"url": address}},
    )

    job = await world.ended(job_id)
    (original,) = await world.files(job_id, "original")
    assert (job["state"], job["source_key"]) == ("completed", original["key"])
    assert job["source_url"] == address.partition("?")[0]
    assert original["sha256"] == made["sha256"]
    assert "s3cr3t" not in world.logs()


async def test_an_address_elsewhere_ends_its_job_with_the_name_of_the_setting(
    world: World,
) -> None:
    job_id = uuid4()
    address = f"https://files.example.com/photo.jpg?{SECRET}"

    await world.publish(
        "upload.received",
        {"recipe": "restoration", "job_id": str(job_id), "source": {"url": address}},
    )

    job = await world.ended(job_id)
    assert job["state"] == "failed"
    assert "SOURCE_HOSTS" in job["reason"]
    assert await world.purchases(job_id) == []
    assert "s3cr3t" not in world.logs() + str(job)
