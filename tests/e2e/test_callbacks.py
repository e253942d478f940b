"""An order over HTTP, followed live and called back: by the client of others, on the running system."""

import pytest

from darkroom_client import AsyncDarkroom, Callback, verify
from shared.signatures import new_secret
from tests.support import photos
from tests.support.asking import restarted_with
from tests.support.calling import Request
from tests.support.scripted_http import answer, scripted_server
from tests.support.waiting import eventually
from tests.support.world import World


@pytest.mark.system("W2")
async def test_w2_an_order_over_http_is_followed_called_back_and_believed(world: World) -> None:
    secret = new_secret()
    async with scripted_server(*[answer(200, "")] * 9) as receiver:
        told_there = {"CALLBACK_SECRET": secret, "CALLBACK_ALLOWED_ORIGIN": receiver.url}
        async with (
            restarted_with(world, "api", **told_there),
            AsyncDarkroom(world.system.layout.api_url) as darkroom,
        ):
            order = await darkroom.submit(
                "variations",
                source=await darkroom.upload(photos.a_photo(), "image/jpeg"),
                params={"count": 1},
                external_ref="order-17",
                callback_url=f"{receiver.url}/told",
            )
            seen = [standing async for standing in darkroom.stream(order.id)]
            job = await darkroom.wait(order.id, within_s=60)

            async def told() -> list[Callback]:
                requests = map(Request.of, receiver.requests)
                return [verify(secret, request.headers, request.body) for request in requests]

            calls = await eventually("both facts are told", told, holds=lambda c: len(c) == 2)

            async def lines() -> list[str]:
                story = await darkroom.job(order.id)
                return [one.type for one in story.timeline if one.type.startswith("callback.")]

            await eventually(
                "the timeline says so", lines, holds=lambda c: c == ["callback.delivered"] * 2
            )

    assert seen[-1].is_final
    assert (job.state, job.report, job.external_ref) == ("completed", "published", "order-17")
    assert {call.type for call in calls} == {"job.completed", "report.published"}
    assert {call.job_id for call in calls} == {order.id}
