"""Leaving: what a service has in hand is finished, and the process ends well and in time."""

import asyncio
import json
import signal
import time

import aiohttp
import pytest

from deploy.local.stack import ports, processes
from tests.support.photos import a_tiny_photo
from tests.support.waiting import eventually
from tests.support.world import World

IN_TIME_S = 30.0


@pytest.mark.parametrize("service", ["generator", "storage", "aggregator", "report", "reconciler"])
async def test_a_service_that_leaves_under_load_ends_well_and_nothing_is_lost(
    world: World, service: str
) -> None:
    jobs = [await world.order(a_tiny_photo(), params={"count": 3}) for _ in range(4)]
    await world.some_are_under_way(jobs)
    child = world.system.child(service)
    mark, began = child.mark, time.monotonic()

    await asyncio.to_thread(child.stop, within=IN_TIME_S + 5)
    took, code = time.monotonic() - began, processes.exit_code(mark)
    world.system.start(service)

    assert (code, took <= IN_TIME_S) == (0, True)
    for job_id in jobs:
        assert (await world.ended(job_id, within=120))["stored"] == 3
        assert (await world.story(job_id)).count("job.completed") == 1


async def test_whoever_drains_says_so_and_leaves_at_once_when_told_again(world: World) -> None:
    child = world.system.child("ingress")
    child.stop(within=IN_TIME_S)
    port = ports.choose(1, seed=f"{world.system.root}/draining")[0]
    patient = {"HEALTH_PORT": str(port), "WEBHOOK_BODY_SECONDS": "60"}
    world.system.start("ingress", patient)
    world.system.wait_ready("ingress")
    mark = child.mark
    _, half = await asyncio.open_connection("127.0.0.1", world.system.layout.ports["ingress"])
    try:
        # A body that does not end is something in hand.
        half.write(
            b"POST /webhooks/replicate HTTP/1.1\r\nHost: darkroom\r\nContent-Length: 100\r\n"
            b"Content-Type: application/json\r\nwebhook-id: msg_half\r\n"
            b"webhook-timestamp: %d\r\nwebhook-signature: v1,%s=\r\n\r\n{"
            % (time.time(), b"A" * 43)  # noqa: TID251
        )
        await half.drain()

        async def in_hand() -> float:
            return await world.metric("ingress", "darkroom_webhooks_in_progress")

        await eventually("it has the webhook in hand", in_hand, holds=lambda n: n == 1)
        child.terminate()

        async def says() -> dict[str, object]:
            url = f"http://127.0.0.1:{port}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return {"status": answer.status, **json.loads(await answer.text())}

        told = await eventually(
            "it says that it drains", says, holds=lambda seen: seen["draining"] is True
        )
        assert told["status"] == 503
        assert child.running

        processes.send(mark, signal.SIGTERM)
        await eventually(
            "it is gone", lambda: asyncio.to_thread(lambda: not child.running), within=5
        )
    finally:
        half.close()

    assert processes.exit_code(mark) == 130
