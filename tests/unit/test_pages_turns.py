"""Pages take turns as questions to the API do: who asks for many at once waits for itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

from aiohttp import web

from services.api.app import READ_AT_ONCE, ApiApp, Limits
from services.api.fan_out import FanOut
from services.api.gate import Gate
from services.api.pages.site import Site
from services.api.pages.visit import At, Page, Visit
from services.api.reading import Reading
from shared.db.connection import Database
from tests.support.front_end import a_front_end
from tests.support.waiting import eventually

MANY = READ_AT_ONCE * 3


def now() -> datetime:
    return datetime(2026, 11, 22, tzinfo=UTC)


async def test_of_one_senders_pages_only_a_few_are_made_at_a_time() -> None:
    gate = Gate(
        cast(Database, None), opened=True, origins=(), now=now, link_lifetime=timedelta(minutes=15)
    )
    api = ApiApp(
        {},
        gate=gate,
        reading=cast(Reading, None),
        fan_out=cast(FanOut, None),
        limits=Limits(per_second=0, answer_s=30),
        origins=(),
    )
    site = Site(
        api,
        gate=gate,
        zone="UTC",
        tongue="en",
        media="https://bucket.example.com",
        answer_s=30,
        body_s=5,
        session_s=600,
        now=now,
    )
    released = asyncio.Event()
    at_work, most = 0, 0

    async def show(_visit: Visit) -> Page:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await released.wait()
        at_work -= 1
        return Page("trouble.html", {"told": "so", "status": 200})

    runner = web.AppRunner(
        api.web_app(*site.routes([At(name="slow", path="/slow", show=show)])), access_log=None
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with a_front_end(f"http://127.0.0.1:{runner.addresses[0][1]}") as front:
            asking = [asyncio.create_task(front.get("/slow")) for _ in range(MANY)]

            async def all_came() -> bool:
                return api._in_hand == MANY

            await eventually("all of them came", all_came)
            released.set()
            answers = await asyncio.gather(*asking)
    finally:
        await runner.cleanup()

    assert {heard.status for heard in answers} == {200}
    assert most == READ_AT_ONCE
