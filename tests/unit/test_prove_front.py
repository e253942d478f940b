"""Whoever orders in a proof asks the API the same again until it answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from deploy.local.prove import front as front_module
from deploy.local.prove.front import Front
from deploy.local.prove.orders import Load, Order
from shared.domain.identity import job_id_of_key

KEY = "prove-1-1"
JOB = job_id_of_key("", KEY)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "AGAIN_AFTER_S", 0.01)


@dataclass
class Door:
    """Answers what it is told to, in turn, and the last of it for ever; None: nothing at all."""

    says: list[tuple[int, dict[str, Any]] | None]
    heard: list[tuple[str, str | None, Any]] = field(default_factory=list)
    url: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key")
        self.heard.append((request.path, key, await request.json()))
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if said is None:
            await self.over.wait()
            return web.Response(status=503)
        return web.json_response(said[1], status=said[0])


@asynccontextmanager
async def opened(*doors: Door) -> AsyncIterator[Front]:
    runners = []
    for door in doors:
        app = web.Application()
        app.router.add_post("/{path:.*}", door.take)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        runners.append(runner)
    try:
        async with Front([door.url for door in doors]) as front:
            yield front
    finally:
        for door in doors:
            door.over.set()
        for runner in runners:
            await runner.cleanup()


def taken(job_id: UUID = JOB) -> tuple[int, dict[str, Any]]:
    return 202, {"id": str(job_id)}


async def test_an_answer_that_is_not_waited_for_is_asked_for_again_under_the_same_key() -> None:
    door = Door([None, taken()])
    async with opened(door) as front:
        said = await front.post("/v1/jobs", {"a": 1}, key=KEY, hangs_up_after=0.2)

    assert (said.status, said.repeated) == (202, 1)
    assert door.heard == [("/v1/jobs", KEY, {"a": 1})] * 2


@pytest.mark.parametrize(
    "first", [(503, {}), (429, {}), (409, {"code": "still_open"})], ids=lambda one: one[0]
)
async def test_what_passes_is_waited_for(first: tuple[int, dict[str, Any]]) -> None:
    async with opened(Door([first, taken()])) as front:
        said = await front.post("/v1/jobs", {})

    assert (said.status, said.repeated) == (202, 1)


async def test_the_other_door_is_tried_where_one_is_shut() -> None:
    door = Door([taken()])
    async with opened(door) as open_front:
        del open_front
        async with Front(["http://127.0.0.1:9", door.url]) as front:
            said = await front.post("/v1/jobs", {})

    assert said.status == 202


def load(front: Front) -> Load:
    return Load(None, front, now=lambda: 5.0)  # type: ignore[arg-type]


def an_order(**more: Any) -> Order:
    return Order(job_id=JOB, predictions=2, body={"recipe": "variations"}, key=KEY, **more)


async def test_an_order_that_is_answered_is_waited_for_as_a_job() -> None:
    async with opened(Door([taken()])) as front:
        placing = load(front)
        await placing.place_one(an_order())

    placed = placing.placed
    assert (placed.jobs, placed.predictions, placed.by_api) == (1, 2, 1)
    assert (placed.waiting, placed.contradicted) == ({str(JOB): 5.0}, [])


@pytest.mark.parametrize("said", [taken(UUID(int=9)), (409, {"code": "conflict"}), (404, {})])
async def test_an_answer_that_cannot_be_is_told(said: tuple[int, dict[str, Any]]) -> None:
    async with opened(Door([said])) as front:
        placing = load(front)
        await placing.place_one(an_order())

    assert len(placing.placed.contradicted) == 1
    assert placing.placed.waiting == {}


async def test_who_gives_up_and_comes_again_asks_for_both() -> None:
    again = job_id_of_key("", f"{KEY}-again")
    door = Door([taken(), (409, {"code": "has_ended"}), taken(again)])
    async with opened(door) as front:
        placing = load(front)
        await placing.place(iter([an_order(given_up_after=0.0, again=True)]), per_second=100)

    assert [path for path, _, _ in door.heard] == [
        "/v1/jobs",
        f"/v1/jobs/{JOB}/cancel",
        f"/v1/jobs/{JOB}/retry",
    ]
    placed = placing.placed
    assert (placed.jobs, placed.given_up, placed.once_more) == (2, 1, 1)
    assert (placed.contradicted, set(placed.waiting)) == ([], {str(JOB), str(again)})
