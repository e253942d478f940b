"""What every request meets, whatever it asks: problems, methods, origins, streams, and the drain."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
import pytest_asyncio
from aiohttp import web

from services.api import endpoints
from services.api.answers import Index, Ordered, Recipes, Standing
from services.api.app import Answer, ApiApp, Asked, Limits, Operation
from services.api.asked import WhichJobs, checked, key_of, query_of, read_body
from services.api.endpoints import ENDPOINTS
from services.api.fan_out import FanOut
from services.api.gate import Gate
from services.api.problems import UNKNOWN_JOB, Refused
from services.api.reading import Known, Reading
from services.api.uploads import NewUpload
from shared.db.connection import Database
from shared.domain.job import JobState
from shared.errors import DatabaseUnavailable
from shared.messaging.watch import Watch
from tests.support.front_end import FrontEnd, a_front_end

JOB = UUID("7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11")
ORIGIN = "https://app.example.com"


def a_standing(progress: float, *, over: bool = False) -> Known:
    standing = Standing(
        id=JOB,
        state=JobState.COMPLETED if over else JobState.RUNNING,
        sentence={"en": "so", "ko": "그래"},
        progress=progress,
        stored=0,
        n=1,
        report=None,
        replicate_status=None,
        last_webhook_received=None,
        notes=(),
        slots=(),
    )
    return Known(standing, over)


@dataclass
class House:
    """An API whose operations are a test's own, on a real socket."""

    front: FrontEnd
    api: ApiApp
    hub: FanOut
    known: dict[UUID, Known]
    operations: dict[str, Operation] = field(default_factory=dict)


class NobodyKnows:
    """What is asked of the reading: why a job is not there."""

    async def why_unknown(self, job_id: UUID) -> Refused:
        return Refused(UNKNOWN_JOB, f"no job {job_id} is known here")


@asynccontextmanager
async def silence() -> AsyncIterator[Watch]:
    yield Watch()


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    known = {JOB: a_standing(0.1)}

    async def standings(job_ids: Sequence[UUID]) -> Mapping[UUID, Known]:
        return {job_id: known[job_id] for job_id in job_ids if job_id in known}

    hub = FanOut(standings, watching=silence, at_most=2)
    gate = Gate(
        cast(Database, None),
        opened=True,
        origins=(),
        now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        link_lifetime=timedelta(minutes=15),
    )
    operations: dict[str, Operation] = {endpoint.name: _nothing for endpoint in ENDPOINTS}
    api = ApiApp(
        operations,
        gate=gate,
        reading=cast(Reading, NobodyKnows()),
        fan_out=hub,
        limits=Limits(per_second=0, answer_s=0.5),
        origins=(ORIGIN,),
    )
    stop = asyncio.Event()
    working = asyncio.create_task(hub.worker(stop))
    runner = web.AppRunner(api.web_app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with a_front_end(f"http://127.0.0.1:{runner.addresses[0][1]}") as front:
            yield House(front, api, hub, known, operations)
    finally:
        stop.set()
        await working
        await runner.cleanup()


async def _nothing(_asked: Asked) -> Answer:
    return Answer(Index(service="darkroom", documentation="/", openapi="/"))


async def test_what_is_nowhere_and_what_is_not_done_there_are_problems(house: House) -> None:
    nowhere = await house.front.get("/v1/nothing")
    wrong = await house.front.ask("DELETE", "/v1/jobs")

    assert (nowhere.status, nowhere.code) == (404, "unknown_path")
    assert (wrong.status, wrong.code) == (405, "wrong_method")
    assert wrong.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_head_has_no_body_and_a_stream_has_no_head(house: House) -> None:
    head = await house.front.ask("HEAD", "/v1")
    stream = await house.front.ask("HEAD", f"/v1/jobs/{JOB}/events")

    assert (head.status, head.body) == (200, "")
    assert stream.status == 405


async def test_nothing_is_stored_by_others_or_read_as_something_else(house: House) -> None:
    for path in ("/v1", "/v1/nothing"):
        headers = (await house.front.get(path)).headers

        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_a_page_may_read_answers_and_errors_alike(house: House) -> None:
    page = house.front.with_headers(Origin=ORIGIN)

    for path in ("/v1", "/v1/nothing", f"/v1/jobs/{UUID(int=1)}/events"):
        heard = await page.get(path)
        assert heard.headers["Access-Control-Allow-Origin"] == ORIGIN, path
    strange = await house.front.with_headers(Origin="https://evil.example").get("/v1")
    assert "Access-Control-Allow-Origin" not in strange.headers


async def test_a_fault_of_ours_says_nothing_of_its_inside(house: House) -> None:
    async def broken(_asked: Asked) -> Answer:
        raise RuntimeError("the password is hunter2")

    house.operations[endpoints.RECIPES.name] = broken

    heard = await house.front.get("/v1/recipes")

    assert (heard.status, heard.code) == (500, "broken")
    assert "hunter2" not in str(heard.body)


async def test_a_database_that_is_away_is_a_reason_to_come_again(house: House) -> None:
    async def away(_asked: Asked) -> Answer:
        raise DatabaseUnavailable("no connection to db.internal")

    house.operations[endpoints.RECIPES.name] = away

    heard = await house.front.get("/v1/recipes")

    assert (heard.status, heard.code) == (503, "unavailable")
    assert heard.headers["Retry-After"] == "2"
    assert "db.internal" not in str(heard.body)


async def test_an_answer_that_never_comes_is_one_too(house: House) -> None:
    async def hanging(_asked: Asked) -> Answer:
        await asyncio.Event().wait()
        return Answer(Recipes(recipes=()))

    house.operations[endpoints.RECIPES.name] = hanging

    heard = await house.front.get("/v1/recipes")

    assert (heard.status, heard.code) == (503, "unavailable")


async def test_bodies_are_read_within_their_limits(house: House) -> None:
    read: list[Any] = []

    async def place(asked: Asked) -> Answer:
        read.append(await read_body(asked.request, seconds=1, at_most=100))
        return Answer(Ordered(id=JOB, url="/", events_url="/"))

    house.operations[endpoints.PLACE.name] = place
    kind = {"Content-Type": "application/json"}

    async def sent(data: bytes, headers: Mapping[str, str] = kind) -> tuple[int, str]:
        heard = await house.front.ask("POST", "/v1/jobs", data=data, headers=headers)
        return heard.status, heard.body.get("code", "")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" "

    assert await sent(b'{"a": 1}') == (202, "")
    assert read == [{"a": 1}]
    assert await sent(b" " * 101) == (413, "too_large")
    assert await sent(b"{") == (400, "unreadable")
    assert await sent(b'{"a": Infinity}') == (422, "flawed")
    assert await sent(b'"a"') == (422, "flawed")
    assert await sent(b"{}", {"Content-Type": "text/plain"}) == (415, "not_json")
    assert await sent(b"{}", {**kind, "Content-Encoding": "gzip"}) in (
        (415, "not_json"),
        (400, "unreadable"),
    )
    assert await sent(cast(bytes, pieces())) == (413, "too_large")


async def test_what_is_asked_is_checked_name_by_name(house: House) -> None:
    async def listing(asked: Asked) -> Answer:
        query_of(WhichJobs, asked.request)
        key_of(asked.request)
        return await _nothing(asked)

    house.operations[endpoints.LIST.name] = listing

    wrong = await house.front.get("/v1/jobs", limit="0", state="lost")
    twice = await house.front.ask("GET", "/v1/jobs?limit=1&limit=2")
    strange = await house.front.get("/v1/jobs", stat="failed")

    assert {fault["path"] for fault in wrong.body["faults"]} == {"limit", "state"}
    assert twice.body["faults"] == [{"path": "limit", "what": "is given twice"}]
    assert [fault["path"] for fault in strange.body["faults"]] == ["stat"]


def test_a_number_in_quotes_is_no_number() -> None:
    assert checked(NewUpload, {"content_type": "image/png", "bytes": 1}).bytes == 1
    with pytest.raises(Refused) as refused:
        checked(NewUpload, {"content_type": "image/png", "bytes": "1"})

    assert [fault.path for fault in refused.value.problem.faults] == ["bytes"]


async def test_a_stream_tells_goes_on_and_ends(house: House) -> None:
    async with house.front.follow(f"/v1/jobs/{JOB}/events") as events:
        first = await anext(events)
        house.known[JOB] = a_standing(1.0, over=True)
        house.hub._rooms[JOB].heard(asyncio.get_running_loop().time())
        house.hub._wake.set()
        rest = [event async for event in events]

    assert (first.name, first.data["progress"]) == ("snapshot", 0.1)
    assert [(event.name, event.data["progress"]) for event in rest] == [("end", 1.0)]
    again = await house.front.ask(
        "GET", f"/v1/jobs/{JOB}/events", headers={"Last-Event-ID": rest[-1].id}
    )
    assert again.status == 204


async def test_a_stream_of_no_job_is_a_problem(house: House) -> None:
    unknown = await house.front.get(f"/v1/jobs/{UUID(int=1)}/events")
    nonsense = await house.front.get("/v1/jobs/17/events")

    assert (unknown.status, unknown.code) == (404, "unknown_job")
    assert (nonsense.status, nonsense.code) == (404, "unknown_job")


async def test_a_drain_ends_streams_and_waits_for_what_is_in_hand(house: House) -> None:
    async with house.front.follow(f"/v1/jobs/{JOB}/events") as events:
        await anext(events)

        house.api.leave()
        rest = [event async for event in events]
        await asyncio.wait_for(house.api.drain(), 5)

    refused = await house.front.get(f"/v1/jobs/{JOB}/events")
    assert rest == []
    # Not a no, which a browser would take for the last word.
    assert (refused.status, refused.headers["Content-Type"]) == (200, "text/event-stream")
    assert "retry:" in refused.body
    assert refused.headers.get("Connection") == "close"


async def test_streams_have_a_most_and_give_their_place_back(house: House) -> None:
    path = f"/v1/jobs/{JOB}/events"
    async with house.front.follow(path) as one, house.front.follow(path) as two:
        await anext(one)
        await anext(two)
        assert (await house.front.get(path)).code == "too_many"
