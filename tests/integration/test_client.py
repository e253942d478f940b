"""The client of others over a real wire, against an API that says exactly what a test scripts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import pytest

from darkroom_client import AsyncDarkroom, Darkroom, Refused, Unanswered
from tests.support.calling import Request
from tests.support.ports import a_port
from tests.support.scripted_http import ScriptedServer, answer, scripted_server
from tests.support.told_by_api import JOB, ORDERED, a_slot, an_event, standing

T = TypeVar("T")

TOKEN = "dk_a-token"
A_MOMENT = {"at": "2026-11-21T12:00:00Z", "type": "job.accepted", "source": "darkroom/generator"}
PHOTO = b"\xff\xd8 a photo"


class Caller:
    """Either client, called alike."""

    def __init__(self, client: Darkroom | AsyncDarkroom) -> None:
        self._client = client

    async def __call__(self, name: str, *about: Any, **more: Any) -> Any:
        method = getattr(self._client, name)
        if isinstance(self._client, AsyncDarkroom):
            found = method(*about, **more)
            if hasattr(found, "__aiter__"):
                return [one async for one in found]
            return await found

        def there() -> Any:
            found = method(*about, **more)
            return list(found) if hasattr(found, "__next__") else found

        return await asyncio.to_thread(there)


Open = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture(params=[Darkroom, AsyncDarkroom])
def opened(request: pytest.FixtureRequest) -> Open:
    @asynccontextmanager
    async def client(api: ScriptedServer, **more: Any) -> AsyncIterator[Caller]:
        if request.param is AsyncDarkroom:
            async with AsyncDarkroom(api.url, TOKEN, **more) as asynchronous:
                yield Caller(asynchronous)
        else:
            with Darkroom(api.url, TOKEN, **more) as synchronous:
                yield Caller(synchronous)

    return client


def said(status: int, body: object, *headers: str) -> bytes:
    return answer(status, json.dumps(body), *headers)


def told(*events: bytes) -> bytes:
    return b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(events)


async def test_an_order_is_put_with_its_photo_and_its_token(opened: Open) -> None:
    async with scripted_server() as bucket, scripted_server() as api:
        bucket.answers = [answer(200, "")]
        place = {
            "job_id": JOB,
            "source": {"key": f"jobs/{JOB}/original/photo.jpg"},
            "method": "PUT",
            "url": f"{bucket.url}/photo.jpg?X-Amz-Signature=a%2Bb",
            "headers": {"Content-Type": "image/jpeg", "Content-Length": str(len(PHOTO))},
            "expires_at": "2026-11-21T12:00:00Z",
        }
        api.answers = [said(201, place), said(202, ORDERED)]
        async with opened(api) as darkroom:
            source = await darkroom("upload", PHOTO, "image/jpeg")
            order = await darkroom(
                "submit", "variations", source=source, callback_url="https://a.example/told"
            )

    asked, ordered = map(Request.of, api.requests)
    assert json.loads(asked.body) == {"content_type": "image/jpeg", "bytes": len(PHOTO)}
    assert "idempotency-key" not in ordered.headers  # the order names its job
    [put] = map(Request.of, bucket.requests)
    assert order.id == UUID(JOB)
    assert asked.line == "POST /v1/uploads HTTP/1.1"
    assert ordered.line == "POST /v1/jobs HTTP/1.1"
    assert {r.headers["authorization"] for r in (asked, ordered)} == {f"Bearer {TOKEN}"}
    assert json.loads(ordered.body) == {
        "recipe": "variations",
        "job_id": JOB,
        "source": {"key": f"jobs/{JOB}/original/photo.jpg"},
        "callback_url": "https://a.example/told",
    }
    assert (put.line, put.body) == ("PUT /photo.jpg?X-Amz-Signature=a%2Bb HTTP/1.1", PHOTO)
    assert put.headers["content-type"] == "image/jpeg"
    assert "authorization" not in put.headers


async def test_a_proxy_of_the_environment_brings_files_away_and_never_reads_the_token(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with scripted_server(answer(200, "")) as proxy, scripted_server() as api:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        place = {
            "job_id": JOB,
            "source": {"key": f"jobs/{JOB}/original/photo.jpg"},
            "method": "PUT",
            "url": "http://bucket.example/photo.jpg",
            "headers": {"Content-Type": "image/jpeg", "Content-Length": str(len(PHOTO))},
            "expires_at": "2026-11-21T12:00:00Z",
        }
        api.answers = [said(201, place), said(202, ORDERED)]
        async with opened(api) as darkroom:
            await darkroom(
                "submit", "variations", source=await darkroom("upload", PHOTO, "image/jpeg")
            )

    [carried] = map(Request.of, proxy.requests)
    assert carried.line == "PUT http://bucket.example/photo.jpg HTTP/1.1"
    assert "authorization" not in carried.headers
    assert len(api.requests) == 2


async def test_an_order_whose_answer_is_lost_is_sent_again_under_one_key(opened: Open) -> None:
    async with (
        scripted_server(b"", said(503, {}), said(202, ORDERED)) as api,
        opened(api) as darkroom,
    ):
        order = await darkroom("submit", "variations")

    keys = {Request.of(raw).headers["idempotency-key"] for raw in api.requests}
    assert order.id == UUID(JOB)
    assert (len(api.requests), len(keys)) == (3, 1)


async def test_a_silent_api_is_given_up(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom_client.asking.TRIES", 2)
    async with scripted_server(None, None) as api, opened(api, timeout_s=1.0) as darkroom:
        with pytest.raises(Unanswered, match="does not answer"):
            await darkroom("job", JOB)

    assert len(api.requests) <= 2


async def test_an_api_that_is_away_is_named_by_its_address(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom_client.asking.TRIES", 1)
    with a_port() as nobodys:
        away = ScriptedServer(f"http://127.0.0.1:{nobodys}")
        async with opened(away) as darkroom:
            with pytest.raises(Unanswered) as unanswered:
                await darkroom("job", JOB)

    assert str(unanswered.value) == f"the API at {away.url} does not answer: ConnectError"


async def test_a_no_is_told_with_its_fields(opened: Open) -> None:
    problem = {"detail": "no", "code": "flawed", "faults": [{"path": "recipe", "what": "is none"}]}
    async with (
        scripted_server(said(422, problem, "Content-Type: application/problem+json")) as api,
        opened(api) as darkroom,
    ):
        with pytest.raises(Refused, match="recipe: is none"):
            await darkroom("submit", "no-such")


async def test_who_comes_again_after_the_order_is_told_its_job(opened: Open) -> None:
    problem = {"detail": "it is ordered", "code": "ordered", "instance": f"/v1/jobs/{JOB}"}
    async with (
        scripted_server(said(409, problem, "Content-Type: application/problem+json")) as api,
        opened(api) as darkroom,
    ):
        with pytest.raises(Refused) as refused:
            await darkroom("upload", PHOTO, "image/jpeg", idempotency_key="order-17")

    assert (refused.value.code, refused.value.instance) == ("ordered", f"/v1/jobs/{JOB}")


async def test_a_redirect_does_not_take_the_token_elsewhere(opened: Open) -> None:
    async with scripted_server() as elsewhere, scripted_server() as api:
        api.answers = [answer(307, "", f"Location: {elsewhere.url}/v1/jobs")]
        async with opened(api) as darkroom:
            with pytest.raises(Refused):
                await darkroom("submit", "variations")

    assert elsewhere.requests == []


async def test_jobs_are_listed_to_the_last_page(opened: Open) -> None:
    other = JOB.replace("7", "8")
    pages = [
        said(200, {"jobs": [standing()], "next": "c2"}),
        said(200, {"jobs": [standing(id=other)], "next": None}),
    ]
    async with scripted_server(*pages) as api, opened(api) as darkroom:
        found = await darkroom("jobs", external_ref="order 17")

    assert [str(job.id) for job in found] == [JOB, other]
    assert [Request.of(raw).line for raw in api.requests] == [
        "GET /v1/jobs?external_ref=order+17 HTTP/1.1",
        "GET /v1/jobs?external_ref=order+17&cursor=c2 HTTP/1.1",
    ]


async def test_waiting_ends_with_the_job_and_its_files(opened: Open) -> None:
    file = {
        "id": JOB,
        "kind": "generated",
        "content_type": "image/png",
        "bytes": 9,
        "sha256": "ab",
        "key": f"jobs/{JOB}/generated/1-1-0.png",
        "url": "https://files.example/1.png",
        "ordinal": 1,
        "of_a_later_release": True,
    }
    story = standing(
        state="completed",
        report="published",
        artifacts=[file],
        timeline=[A_MOMENT],
        cost={"dollars": 0.01, "purchases": 2, "unpriced": 0, "predict_seconds": 3.5},
    )
    async with (
        scripted_server(said(200, standing()), said(200, story)) as api,
        opened(api) as darkroom,
    ):
        job = await darkroom("wait", JOB, within_s=30)

    assert (job.state, job.is_final, job.cost.dollars) == ("completed", True, 0.01)
    assert [(a.kind, a.ordinal, a.url) for a in job.artifacts] == [
        ("generated", 1, "https://files.example/1.png")
    ]
    assert [m.type for m in job.timeline] == ["job.accepted"]


async def test_a_stream_that_breaks_goes_on_where_it_was(opened: Open) -> None:
    first = told(b"retry: 10\n\n", an_event("snapshot", standing()), b"event: change\nid: torn\nda")
    second = told(
        an_event("change", standing(stored=1, slots=[a_slot(2, "stored")])),
        an_event("end", standing(state="completed", report="published", stored=2)),
        an_event("change", standing()),
    )
    async with (
        scripted_server(first, said(503, {}), second) as api,
        opened(api) as darkroom,
    ):
        seen = await darkroom("stream", JOB)

    assert [(one.state, one.stored) for one in seen] == [
        ("running", 0),
        ("running", 1),
        ("completed", 2),
    ]
    assert [slot.state for slot in seen[1].slots] == ["running", "stored"]
    asked = [Request.of(raw) for raw in api.requests]
    assert [r.headers.get("last-event-id") for r in asked] == [None, "snapshot", "snapshot"]
    assert asked[0].line == f"GET /v1/jobs/{JOB}/events HTTP/1.1"


async def test_a_stream_whose_end_was_told_before_is_over(opened: Open) -> None:
    first = told(b"retry: 10\n\n", an_event("snapshot", standing()))
    over = answer(204, "")
    async with scripted_server(first, over) as api, opened(api) as darkroom:
        seen = await darkroom("stream", JOB)

    assert [one.state for one in seen] == ["running"]


async def test_a_stream_of_a_job_that_is_not_there_is_told(opened: Open) -> None:
    problem = said(404, {"detail": "there is no such job", "code": "unknown_job"})
    async with scripted_server(problem) as api, opened(api) as darkroom:
        with pytest.raises(Refused, match="no such job"):
            await darkroom("stream", JOB)


async def test_cancel_and_retry_ask_for_what_they_say(opened: Open) -> None:
    async with scripted_server(said(202, {"id": JOB}), said(202, ORDERED)) as api:
        async with opened(api) as darkroom:
            await darkroom("cancel", JOB, reason="a mistake")
            again = await darkroom("retry", JOB)

    cancel, retry = map(Request.of, api.requests)
    assert cancel.line == f"POST /v1/jobs/{JOB}/cancel HTTP/1.1"
    assert json.loads(cancel.body) == {"reason": "a mistake"}
    assert retry.line == f"POST /v1/jobs/{JOB}/retry HTTP/1.1"
    assert again.id == UUID(JOB)
