"""One job, live, over HTTP: from the commit to the line, for many, and across servers that leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio

from deploy.local.stack import Stack
from shared.db import jobs, slots, tokens
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.domain.token import Scope, kept, word_of
from shared.envelope import Envelope
from shared.events import JobAccepted, state
from tests.support.front_end import Event
from tests.support.purchases import a_job, a_slot
from tests.support.serving_api import Api, an_api

SOUND = {"recipe": "sound-effect", "params": {"prompt": "rain on a tin roof"}}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(service_environment) as running:
        yield running


async def goes_on(api: Api, job_id: UUID, progress: float) -> None:
    """Its prediction is further, and the broker tells of it, as webhooks have it: in any order."""
    async with api.database.transaction() as tx:
        await tx.execute(
            "UPDATE prediction SET status = 'processing', progress = $2 WHERE job_id = $1",
            job_id,
            progress,
        )
    await api.publisher.publish(news_of(job_id), timeout=10)


def news_of(job_id: UUID) -> Envelope:
    accepted = JobAccepted(job_id=job_id, recipe="variations", n=1)
    return state(accepted, source="test", now=NOON, event_id=str(uuid4()))


async def ends(api: Api, job_id: UUID) -> None:
    async with api.database.transaction() as tx:
        canceled = await slots.cancel_open(tx, job_id)
        await jobs.end(tx, job_id, state=JobState.CANCELED, canceled=len(canceled), reason="so")
    await api.publisher.publish(news_of(job_id), timeout=10)


async def next_of(events: AsyncIterator[Event], *, within: float = 20) -> Event:
    async with asyncio.timeout(within):
        return await anext(events)


async def test_the_snapshot_comes_first_then_what_changes_then_the_end_and_it_closes(
    api: Api,
) -> None:
    job_id = (await a_slot(api.database, SlotState.RUNNING)).job_id
    async with api.front.follow(f"/v1/jobs/{job_id}/events") as events:
        first = await next_of(events)
        await goes_on(api, job_id, 0.5)
        second = await next_of(events)
        await ends(api, job_id)
        last = [event async for event in events][-1]

    assert first.name == "snapshot"
    assert [slot["ordinal"] for slot in first.data["slots"]] == [1]
    assert second.name == "change"
    assert second.data["progress"] > first.data["progress"]
    assert (last.name, last.data["state"]) == ("end", "canceled")


async def test_an_order_is_followed_before_it_is_planned(api: Api) -> None:
    ordered = await api.front.post("/v1/jobs", SOUND)

    async with api.front.follow(ordered.body["events_url"]) as events:
        first = await next_of(events)
        await a_job(api.database, id=UUID(ordered.body["id"]), recipe="sound-effect")
        await api.publisher.publish(news_of(UUID(ordered.body["id"])), timeout=10)
        second = await next_of(events)

    assert (first.name, first.data["state"], first.data["n"]) == ("snapshot", "pending", 0)
    assert (second.name, second.data["n"]) == ("change", 1)


async def test_who_comes_back_is_told_what_is_new_and_nothing_twice(api: Api) -> None:
    job_id = (await a_slot(api.database, SlotState.RUNNING)).job_id
    path = f"/v1/jobs/{job_id}/events"
    async with api.front.follow(path) as events:
        first = await next_of(events)

    async with api.front.follow(path, last=first.id) as events:
        await goes_on(api, job_id, 0.5)
        new = await next_of(events)

    assert new.id != first.id
    assert new.data["progress"] > first.data["progress"]


async def test_who_has_the_end_is_sent_away_for_good(api: Api) -> None:
    job_id = await a_job(api.database)
    await ends(api, job_id)
    path = f"/v1/jobs/{job_id}/events"
    async with api.front.follow(path) as events:
        seen = [event async for event in events]

    again = await api.front.ask("GET", path, headers={"Last-Event-ID": seen[-1].id})

    assert [event.name for event in seen] == ["snapshot", "end"]
    assert again.status == 204


async def test_another_server_goes_on_where_the_first_one_left(
    service_environment: dict[str, str],
) -> None:
    async with an_api(service_environment) as one, an_api(service_environment) as other:
        job_id = (await a_slot(one.database, SlotState.RUNNING)).job_id
        path = f"/v1/jobs/{job_id}/events"
        async with one.front.follow(path) as events:
            first = await next_of(events)
            one.stop.set()
            rest = [event async for event in events]

        async with other.front.follow(path, last=first.id) as events:
            await goes_on(other, job_id, 0.5)
            new = await next_of(events)

    assert rest == []
    assert new.data["progress"] > first.data["progress"]


async def test_many_watchers_hear_of_one_change_while_one_of_them_reads_nothing(
    api: Api,
) -> None:
    job_id = (await a_slot(api.database, SlotState.RUNNING)).job_id
    path = f"/v1/jobs/{job_id}/events"
    host, port = api.front.url.removeprefix("http://").split(":")
    _, deaf = await asyncio.open_connection(host, int(port), limit=1)
    deaf.transport.pause_reading()  # type: ignore[attr-defined]
    deaf.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())

    async with AsyncExitStack() as until:
        streams = [await until.enter_async_context(api.front.follow(path)) for _ in range(50)]
        for events in streams:
            await next_of(events)
        await goes_on(api, job_id, 0.5)
        heard = [await next_of(events) for events in streams]

    deaf.close()
    await deaf.wait_closed()
    assert {event.name for event in heard} == {"change"}
    assert len({event.id for event in heard}) == 1


async def test_a_browser_for_which_there_is_no_room_is_told_to_come_again_and_not_sent_away(
    service_environment: dict[str, str],
) -> None:
    async with an_api(service_environment, api_streams=0) as api:
        job_id = await a_job(api.database)
        word = word_of(uuid4().bytes + uuid4().bytes)
        async with api.database.transaction() as tx:
            await tokens.create(tx, name="shop", sha256=kept(word), scope=Scope.READ)
        shop = api.front.with_token(word)
        story = await shop.get(f"/v1/jobs/{job_id}")

        browser = await api.front.get(story.body["events_url"])
        program = await shop.get(f"/v1/jobs/{job_id}/events")

    # Whatever else a browser is answered, it never comes back by itself.
    assert (browser.status, browser.headers["Content-Type"]) == (200, "text/event-stream")
    assert browser.body.startswith("retry: ")
    assert "event:" not in browser.body
    assert (program.status, program.code) == (429, "too_many")


async def test_an_unknown_job_has_no_events(api: Api) -> None:
    heard = await api.front.get(f"/v1/jobs/{uuid4()}/events")

    assert (heard.status, heard.code) == (404, "unknown_job")


class TestWithoutTheBroker:
    async def test_orders_are_taken_and_streams_go_on(self, own_stack: object) -> None:
        stack: Stack = own_stack()  # type: ignore[operator]
        from shared.db.migrate import migrate

        parts = stack.environment()
        await asyncio.to_thread(migrate, parts["DATABASE_URL"])
        names = ("AMQP_URL", "DATABASE_URL", "S3_", "AWS_")
        environment = {k: v for k, v in parts.items() if k.startswith(names)}
        async with an_api(environment) as api:
            await asyncio.to_thread(stack.rabbitmq.kill)
            job_id = (await a_slot(api.database, SlotState.RUNNING)).job_id

            ordered = await api.front.post("/v1/jobs", SOUND)
            async with api.front.follow(f"/v1/jobs/{job_id}/events") as events:
                await next_of(events)
                async with api.database.transaction() as tx:
                    await tx.execute(
                        "UPDATE prediction SET status = 'processing', progress = 0.5"
                        " WHERE job_id = $1",
                        job_id,
                    )
                second = await next_of(events, within=10)
            shown = await api.front.get(ordered.body["url"])

        assert ordered.status == 202
        assert second.name == "change"
        assert shown.body["state"] == "pending"


async def test_a_stream_is_no_place_for_a_body_or_a_cookie(api: Api) -> None:
    job_id = await a_job(api.database)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{api.front.url}/v1/jobs/{job_id}/events") as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in answer.headers
