"""When a process may say that work can be sent to it."""

import asyncio

from aiohttp import web

from shared.health import Health
from shared.serving import serve


async def is_ready(health: Health) -> bool:
    return health.is_ready(await health.report())


async def test_whoever_does_not_know_all_of_its_parts_yet_is_not_ready() -> None:
    health = Health("storage")
    health.starting = True
    began = await is_ready(health)
    health.starting = False

    assert (began, await is_ready(health)) == (False, True)


async def test_whoever_serves_is_ready_once_its_door_is_open() -> None:
    health, stop = Health("ingress"), asyncio.Event()

    async def nothing_in_hand() -> None:
        return

    worker = serve(
        web.Application(),
        health,
        name="ingress",
        host="127.0.0.1",
        port=0,
        connections=10,
        leave=lambda: None,
        drain=nothing_in_hand,
        drain_s=1.0,
    )
    before = await health.report()
    running = asyncio.create_task(worker(stop))
    async with asyncio.timeout(10):
        while (now := await health.report()) != {"http": "ok"}:
            await asyncio.wait({running}, timeout=0.01)
    stop.set()
    await running

    assert before == {"http": "RuntimeError: it does not listen yet"}
    assert now == {"http": "ok"}
    assert health.draining
