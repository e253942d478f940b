"""The links of a proof: they fall silent without an end, answer ill, and share work."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web

from deploy.local.prove.links import Link, link
from tests.support.waiting import eventually

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def a_server(name: str, *, slow: Handler | None = None) -> AsyncIterator[str]:
    """Answers every request with its name, but those that ``slow`` answers."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    if slow is not None:
        app.router.add_post("/slow", slow)
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(through: Link, *, timeout: float = 5.0) -> str:
    limit = aiohttp.ClientTimeout(total=timeout)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        # A client may repeat what is idempotent by itself: then we would not see it fail.
        session.post(f"http://127.0.0.1:{through.port}/") as response,
    ):
        return f"{response.status} {await response.text()}"


async def test_a_silent_link_tells_no_end_and_what_was_sent_comes_late() -> None:
    async with a_server("a") as url, link(url, dice=random.Random(1)) as through:
        through.fall_silent()
        asking = asyncio.create_task(asked(through, timeout=30))
        done, _ = await asyncio.wait({asking}, timeout=0.3)
        assert not done

        through.speak()

        assert await asking == "200 a"


async def test_a_front_door_shares_the_work_and_passes_by_a_replica_that_is_dead() -> None:
    async with AsyncExitStack() as until:
        first = await until.enter_async_context(a_server("a"))
        async with a_server("b") as second:
            front = await until.enter_async_context(link(first, second, dice=random.Random(1)))
            heard = {await asked(front) for _ in range(4)}
        assert heard == {"200 a", "200 b"}

        assert [await asked(front) for _ in range(4)] == ["200 a"] * 4


async def test_an_ill_link_turns_requests_away_and_is_well_once_it_is_healed() -> None:
    async with a_server("a") as url, link(url, dice=random.Random(3)) as through:

        async def once() -> str:
            try:
                return await asked(through, timeout=10)
            except aiohttp.ClientError:
                return "cut"

        through.sicken()
        seen = set(await asyncio.gather(*(once() for _ in range(60))))
        through.heal()

        assert {"200 a", "503 ", "500 ", "cut"} <= seen
        assert through.spoiled > 0
        assert {await once() for _ in range(20)} == {"200 a"}


async def test_an_address_that_leads_nowhere_yet_is_closed_at_once() -> None:
    async with link(dice=random.Random(1)) as through:

        async def refused() -> bool:
            try:
                await asked(through)
            except aiohttp.ClientError:
                return True
            return False

        await eventually("the link turns us away", refused)


async def test_a_front_door_leads_connections_over_between_two_requests() -> None:
    asked_for, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked_for.set()
        await may_answer.wait()
        return web.Response(text="slow")

    async with AsyncExitStack() as until:
        first = await until.enter_async_context(a_server("a", slow=slow))
        second = await until.enter_async_context(a_server("b"))
        front = await until.enter_async_context(link(first, dice=random.Random(1)))
        session = await until.enter_async_context(aiohttp.ClientSession())

        async def post(path: str) -> str:
            async with session.post(f"http://127.0.0.1:{front.port}{path}") as response:
                return await response.text()

        under_way = asyncio.create_task(post("/slow"))
        await asked_for.wait()
        assert await post("/") == "a"  # on a connection of its own, which is open from now on

        front.lead_to(second)
        leading_over = asyncio.create_task(front.lead_over())
        await eventually("it is led over", lambda: post("/"), holds=lambda by: by == "b", every=0.2)
        assert not leading_over.done()
        may_answer.set()
        assert await under_way == "slow"
        async with asyncio.timeout(10):
            await leading_over

        assert await asyncio.gather(*(post("/") for _ in range(4))) == ["b"] * 4
