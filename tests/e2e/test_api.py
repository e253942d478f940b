"""A front end, on the running system: it orders, follows, fetches and cancels over HTTP alone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio

from shared.media.sniff import sniff
from tests.e2e.test_studio_concepts import COLOURS
from tests.support.front_end import FrontEnd, Heard, a_front_end
from tests.support.photos import a_photo
from tests.support.waiting import eventually
from tests.support.world import World

SOUND = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof", "seconds": 3}}


@pytest_asyncio.fixture
async def front(world: World) -> AsyncIterator[FrontEnd]:
    async with a_front_end(world.system.layout.api_url) as front:
        yield front


async def polled(front: FrontEnd, path: str, **query: str) -> Heard:
    """The job once it has ended and its report is in, as one sees it who only polls."""

    async def look() -> Heard:
        return await front.get(path, **query)

    def over(heard: Heard) -> bool:
        assert heard.status == 200, heard.body
        job = heard.body["jobs"][0] if "jobs" in heard.body else heard.body
        return bool(job["ended_at"]) and job["report"] != "pending"

    return await eventually("the job is over", look, holds=over, within=90)


async def fetched(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


@pytest.mark.system("W3")
async def test_w3_a_front_end_polls_by_our_id_and_by_its_own(world: World, front: FrontEnd) -> None:
    reference = f"story-{uuid4()}"
    ordered = await front.post("/v1/jobs", {**SOUND, "external_ref": reference})
    assert ordered.status == 202, ordered.body
    at_once = await front.get("/v1/jobs", external_ref=reference)

    by_id = await polled(front, ordered.body["url"])
    by_ref = await polled(front, "/v1/jobs", external_ref=reference)

    assert [job["id"] for job in at_once.body["jobs"]] == [ordered.body["id"]]
    assert by_id.body["state"] == "completed"
    assert [job["id"] for job in by_ref.body["jobs"]] == [ordered.body["id"]]
    sounds = [file for file in by_id.body["artifacts"] if file["kind"] == "derived"]
    assert sniff((await fetched(sounds[0]["url"]))[:4096]) == sounds[0]["content_type"]
    assert b"<html" in await fetched(by_id.body["report_url"])
    assert by_id.body["cost"]["purchases"] == len(await world.purchases(UUID(by_id.body["id"])))


@pytest.mark.system("T7")
async def test_t7_concepts_come_in_the_old_shape_with_links_that_soon_expire(
    front: FrontEnd,
) -> None:
    ordered = await front.post(
        "/v1/jobs",
        {
            "recipe": "studio-concepts",
            "params": {
                "prompt": "a river between hills",
                "surface": {"width": 4, "height": 3},
                "colours": COLOURS,
            },
        },
    )
    assert ordered.status == 202, ordered.body

    job = (await polled(front, ordered.body["url"])).body

    concepts = job["concepts"]
    assert len(concepts) == 4
    assert all(
        set(one) == {"id", "originalUrl", "quantizedUrl", "quality", "index"} for one in concepts
    )
    qualities = [one["quality"] for one in concepts]
    assert qualities == sorted(qualities, reverse=True)
    assert sniff((await fetched(concepts[0]["originalUrl"]))[:4096]) is not None
    assert sniff((await fetched(concepts[0]["quantizedUrl"]))[:4096]) == "image/png"
    left = datetime.fromisoformat(job["links_expire_at"]) - datetime.now(UTC)  # noqa: TID251
    assert left <= timedelta(minutes=15)


async def test_a_photo_goes_from_the_browser_to_its_pictures(front: FrontEnd) -> None:
    photo = a_photo()
    begun = await front.post("/v1/uploads", {"content_type": "image/jpeg", "bytes": len(photo)})
    async with aiohttp.ClientSession() as session:
        async with session.put(
            begun.body["url"], data=photo, headers=begun.body["headers"]
        ) as answer:
            assert answer.status == 200
    order = {name: begun.body[name] for name in ("job_id", "source")}

    ordered = await front.post("/v1/jobs", {"recipe": "variations", **order})
    async with front.follow(ordered.body["events_url"]) as events:
        seen = [event async for event in events]
    shown = await front.get(ordered.body["url"])

    assert seen[0].name == "snapshot"
    assert (seen[-1].name, seen[-1].data["state"]) == ("end", "completed")
    reached = [event.data["progress"] for event in seen]
    assert reached == sorted(reached)
    assert reached[-1] == 1
    kinds = [file["kind"] for file in shown.body["artifacts"]]
    assert (kinds.count("original"), kinds.count("generated"), kinds.count("report")) == (1, 3, 1)


async def test_a_job_is_cancelled_and_ordered_once_more(world: World, front: FrontEnd) -> None:
    job_id = uuid4()
    await world.misbehave(job_id, {"fault": "slow_run", "seconds": 600})
    ordered = await front.post("/v1/jobs", {**SOUND, "job_id": str(job_id)})

    wished = await front.post(f"{ordered.body['url']}/cancel", {"reason": "the customer left"})
    ended = await world.ended(job_id)
    again = await front.post(f"{ordered.body['url']}/retry")
    second = await polled(front, again.body["url"])

    assert wished.status == 202
    assert (ended["state"], ended["reason"]) == ("canceled", "the customer left")
    assert second.body["state"] == "completed"
    assert second.body["retry_of"] == str(job_id)
    row = await world.job(UUID(again.body["id"]))
    assert row is not None
    assert row["retry_of"] == job_id
