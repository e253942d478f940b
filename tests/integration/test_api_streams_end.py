"""A stream that is open ends soon after what opened it: a token, a visit, or that there was none."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID, uuid4

import aiohttp
import pytest

from services.api import app, gate, wiring
from shared.clock import utc_now
from shared.db import tokens
from shared.db.connection import Connection
from shared.db.tokens import Token
from shared.domain.slot import SlotState
from shared.domain.token import Scope, kept, word_of
from shared.events import JobAccepted, state
from tests.support.front_end import Event
from tests.support.purchases import a_slot
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEVER_S = 3600.0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams beat, and tokens are read, fifty times as often as they are."""
    monkeypatch.setattr(app, "BEAT_S", 0.3)
    monkeypatch.setattr(gate, "LOOK_AGAIN_S", 0.2)
    monkeypatch.setattr(gate, "BELIEVED_S", 0.1)


async def a_token(api: Api, name: str) -> str:
    word = word_of(uuid4().bytes + uuid4().bytes)
    async with api.database.transaction() as tx:
        assert await tokens.create(tx, name=name, sha256=kept(word), scope=Scope.OPERATE)
    return word


async def revoke(api: Api, name: str) -> None:
    async with api.database.transaction() as tx:
        assert await tokens.revoke(tx, name)


async def a_running_job(api: Api) -> UUID:
    return (await a_slot(api.database, SlotState.RUNNING)).job_id


async def goes_on(api: Api, job_id: UUID, progress: float) -> None:
    async with api.database.transaction() as tx:
        await tx.execute(
            "UPDATE prediction SET status = 'processing', progress = $2 WHERE job_id = $1",
            job_id,
            progress,
        )
    accepted = JobAccepted(job_id=job_id, recipe="variations", n=1)
    news = state(accepted, source="test", now=NOON, event_id=str(uuid4()))
    await api.publisher.publish(news, timeout=10)


async def next_of(events: AsyncIterator[Event]) -> Event:
    async with asyncio.timeout(20):
        return await anext(events)


async def rest_of(events: AsyncIterator[Event]) -> list[Event]:
    """What still comes until the server ends the stream."""
    async with asyncio.timeout(20):
        return [event async for event in events]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("by_ticket", [False, True], ids=["header", "ticket"])
async def test_the_streams_of_a_revoked_token_end_and_those_of_others_go_on(
    service_environment: dict[str, str], *, by_ticket: bool
) -> None:
    async with an_api(service_environment) as api:
        job_id = await a_running_job(api)
        path = f"/v1/jobs/{job_id}/events"
        kim = api.front.with_token(await a_token(api, "kim"))
        lee = api.front.with_token(await a_token(api, "lee"))
        mine = (await kim.get(f"/v1/jobs/{job_id}")).body["events_url"]
        opened = api.front.follow(mine) if by_ticket else kim.follow(path)
        async with opened as kims, lee.follow(path) as lees:
            await next_of(kims)
            await next_of(lees)

            await revoke(api, "kim")
            more = await rest_of(kims)
            await goes_on(api, job_id, 0.5)
            news = await next_of(lees)
        again = await api.front.get(mine) if by_ticket else await kim.get(path)

    assert more == []
    assert news.name == "change"
    assert (again.status, again.code) == (401, "no_token")


async def test_what_happens_after_the_end_of_its_token_is_told_to_nobody(
    service_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BEAT_S", NEVER_S)
    async with an_api(service_environment) as api:
        job_id = await a_running_job(api)
        kim = api.front.with_token(await a_token(api, "kim"))
        async with kim.follow(f"/v1/jobs/{job_id}/events") as events:
            await next_of(events)
            await revoke(api, "kim")

            async def is_out() -> bool:
                return (await kim.get("/v1/jobs")).status == 401

            await eventually("the token is known to be revoked", is_out)
            await goes_on(api, job_id, 0.5)
            more = await rest_of(events)

    assert more == []


@pytest.mark.usefixtures("hurried")
async def test_a_hundred_streams_ask_about_their_tokens_by_one_question(
    service_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    listing = tokens.listing

    async def counted(tx: Connection) -> list[Token]:
        nonlocal asked
        asked += 1
        return await listing(tx)

    monkeypatch.setattr(tokens, "listing", counted)
    async with an_api(service_environment, api_requests_per_second=0) as api:
        word = await a_token(api, "kim")
        url = f"{api.front.url}/v1/jobs/{await a_running_job(api)}/events"
        loop = asyncio.get_running_loop()
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {word}"},
                connector=aiohttp.TCPConnector(limit=0),
            ) as session,
            AsyncExitStack() as until,
        ):
            streams = [await until.enter_async_context(session.get(url)) for _ in range(100)]
            asked, began = 0, loop.time()
            beats = await asyncio.gather(*(_beats(stream, 5) for stream in streams))
            took = loop.time() - began

    assert sum(beats) == 500
    # A look that takes longer than what it tells is believed is followed by another one at once.
    assert asked <= 2 * (took / gate.LOOK_AGAIN_S + 1)


async def _beats(stream: aiohttp.ClientResponse, enough: int) -> int:
    """How many beats came, up to ``enough``."""
    seen = 0
    async with asyncio.timeout(20):
        async for line in stream.content:
            seen += line.rstrip() == b":"
            if seen == enough:
                break
    return seen


@pytest.mark.usefixtures("hurried")
async def test_a_visit_that_is_over_ends_what_its_page_listens_to(
    service_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = timedelta()
    monkeypatch.setattr(wiring, "utc_now", lambda: utc_now() + later)
    async with an_api(service_environment, api_session_seconds=300) as api:
        job_id = await a_running_job(api)
        word = await a_token(api, "kim")
        kim = api.front.with_token(word)
        by_api = (await kim.get(f"/v1/jobs/{job_id}")).body["events_url"]
        entered = await api.front.ask(
            "POST", "/login", data={"token": word}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        page = await api.front.with_headers(Cookie=cookie).get(f"/jobs/{job_id}")
        [by_page] = re.findall(r'data-live="([^"]+)"', page.body)
        async with (
            api.front.follow(unescape(by_page)) as of_page,
            api.front.follow(by_api) as of_program,
        ):
            await next_of(of_page)
            await next_of(of_program)

            later = timedelta(seconds=301)
            more = await rest_of(of_page)
            later = timedelta(seconds=901)
            await goes_on(api, job_id, 0.5)
            news = await next_of(of_program)
        again = [(await api.front.get(url)).status for url in (unescape(by_page), by_api)]

    assert more == []
    assert news.name == "change"
    assert again == [401, 401]


@pytest.mark.usefixtures("hurried")
async def test_who_was_let_in_because_there_was_no_token_is_out_when_there_is_one(
    service_environment: dict[str, str],
) -> None:
    async with an_api(service_environment) as api:
        async with api.front.follow(f"/v1/jobs/{await a_running_job(api)}/events") as events:
            await next_of(events)
            await a_token(api, "kim")
            more = await rest_of(events)

    assert more == []
