"""Whoever an order names is called back: signed, again where need be, and nowhere else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult
from prometheus_client import REGISTRY

from services.api.callbacks import CallBack, Declined, NotTaken
from shared.db.connection import Database
from shared.domain.breaker import MOST_DEAD_IN_A_ROW
from shared.events import CallbackDelivered, CallbackFailed, read
from shared.guard import Rules, open_outside
from shared.messaging import topology
from shared.signatures import new_secret
from shared.timeline import words_of
from tests.integration.test_cli import darkroom
from tests.integration.test_downloads import Misled
from tests.support.calling import (
    NOON,
    SECRET,
    SOON,
    Request,
    a_completed_job,
    calling,
    calls_about,
    counted,
)
from tests.support.file_host import a_file_host
from tests.support.forbidden import LITERALS
from tests.support.scripted_http import answer, scripted_server
from tests.support.waiting import eventually

OK = answer(200, "thank you")
HIDDEN = "a-token-of-the-receiver"


@pytest.fixture
def parts(database_url: str, amqp_url: str) -> tuple[str, str]:
    return database_url, amqp_url


# ---- told


@pytest.mark.system("W2")
async def test_w2_a_job_that_ends_is_told_once_under_the_id_of_the_fact(
    parts: tuple[str, str],
) -> None:
    before = counted("duplicate")
    async with scripted_server(OK) as receiver, calling(*parts, receiver.url) as desk:
        fact = await desk.completes(f"{receiver.url}/told?by={HIDDEN}")
        [line] = await desk.called(fact, "callback.delivered")
        await desk.publisher.publish(fact)
        await desk.publisher.publish(fact)

        async def seen_again() -> bool:
            return counted("duplicate") == before + 2

        await eventually("both copies were seen", seen_again)

    [request] = map(Request.of, receiver.requests)
    assert request.line == f"POST /told?by={HIDDEN} HTTP/1.1"
    assert request.headers["webhook-id"] == fact.id
    assert request.headers["content-type"] == "application/json"
    assert request.is_signed_by(SECRET)
    assert not request.is_signed_by(new_secret())
    body = json.loads(request.body)
    assert (body["type"], body["timestamp"]) == ("job.completed", NOON.isoformat())
    assert body["data"] == json.loads(fact.body)
    assert body["data"]["metadata"] == {"customer": "한국"}
    told = read(CallbackDelivered, line.envelope)
    assert (told.told_id, told.host, told.status, told.tries) == (fact.id, "127.0.0.1", 200, 1)
    assert told.external_ref == "order-17"


async def test_the_timeline_says_it_in_plain_words(parts: tuple[str, str]) -> None:
    async with scripted_server(OK) as receiver, calling(*parts, receiver.url) as desk:
        fact = await desk.completes(receiver.url)
        [line] = await desk.called(fact, "callback.delivered")
        code, shown, _ = await darkroom(
            {"DATABASE_URL": parts[0]}, "jobs", "show", str(fact.subject), "--locale", "ko"
        )

    words = words_of(line.type, line.body)
    assert words is not None
    assert words["en"] == "127.0.0.1 was told that the job is completed (answer 200)"
    assert code == 0
    assert "127.0.0.1에 작업이 완료되었다고 알렸습니다(응답 200)" in shown


async def test_every_key_signs_while_it_is_changed(parts: tuple[str, str]) -> None:
    old, new = new_secret(), new_secret()
    async with (
        scripted_server(OK) as receiver,
        calling(*parts, receiver.url, callback_secret=f"{new}, {old}") as desk,
    ):
        await desk.called(await desk.completes(receiver.url), "callback.delivered")

    [request] = map(Request.of, receiver.requests)
    assert request.is_signed_by(old)
    assert request.is_signed_by(new)


async def test_an_order_without_an_address_is_told_at_the_one_of_its_recipe(
    parts: tuple[str, str],
) -> None:
    async with scripted_server(OK) as receiver:
        urls = f"restoration={receiver.url}/restored"
        async with calling(*parts, receiver.url, callback_urls=urls) as desk:
            nobody = await desk.completes(None, recipe="variations")
            fact = await desk.completes(None, recipe="restoration")
            await desk.called(fact, "callback.delivered")
            assert await desk.calls(nobody) == []

    [request] = map(Request.of, receiver.requests)
    assert request.line == "POST /restored HTTP/1.1"


async def test_what_a_receiver_answers_beside_its_status_is_left_there(
    parts: tuple[str, str],
) -> None:
    sent = 0

    async def without_end(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(10_000):
            writer.write(bytes(64 * 1024))
            await writer.drain()
            sent += 64 * 1024

    async with a_file_host() as host, calling(*parts, host.origin) as desk:
        fact = await desk.completes(host.answer_with("/told", without_end))
        await desk.called(fact, "callback.delivered")

    assert sent < 32 * 1024 * 1024


# ---- told later


@pytest.mark.system("W2")
async def test_w2_who_fails_is_told_again_with_the_same_words(parts: tuple[str, str]) -> None:
    async with (
        scripted_server(answer(500, "oh"), answer(302, "", "Location: /there"), OK) as receiver,
        calling(*parts, receiver.url) as desk,
    ):
        fact = await desk.completes(receiver.url)
        [line] = await desk.called(fact, "callback.delivered")

    first, second, third = map(Request.of, receiver.requests)
    assert first.body == second.body == third.body
    assert {r.headers["webhook-id"] for r in (first, second, third)} == {fact.id}
    assert third.is_signed_by(SECRET)
    assert read(CallbackDelivered, line.envelope).tries == 3


async def test_who_is_silent_is_left_after_its_time_and_told_again(
    parts: tuple[str, str],
) -> None:
    async with (
        scripted_server(None, OK) as receiver,
        calling(*parts, receiver.url, callback_within_seconds=2.0) as desk,
    ):
        [line] = await desk.called(await desk.completes(receiver.url), "callback.delivered")

    assert len(receiver.requests) == 2
    assert read(CallbackDelivered, line.envelope).tries == 2


async def test_who_hangs_keeps_one_place_and_not_all_of_them(database: Database) -> None:
    async with (
        scripted_server(None, None, OK, OK) as receiver,
        a_handler(database, receiver.url, within_s=2.0) as handler,
    ):
        first, second, third = [await a_completed_job(database, receiver.url) for _ in range(3)]
        with pytest.raises(NotTaken, match="took too long"):
            await handler.hear(first)

        finding_out = asyncio.create_task(handler.hear(second))

        async def is_called() -> bool:
            return len(receiver.requests) == 2

        await eventually("one finds out", is_called)
        with pytest.raises(NotTaken, match="did not answer others a moment ago"):
            await handler.hear(third)
        with pytest.raises(NotTaken, match="took too long"):
            await finding_out
        assert len(receiver.requests) == 2

        await handler.hear(second)
        await handler.hear(third)

    assert len(receiver.requests) == 4


async def test_who_asks_for_time_gets_it(database: Database) -> None:
    async with (
        scripted_server(answer(429, "", "Retry-After: 120")) as receiver,
        a_handler(database, receiver.url) as handler,
    ):
        fact = await a_completed_job(database, receiver.url)
        with pytest.raises(NotTaken) as later:
            await handler.hear(fact)

    assert later.value.retry_after == timedelta(seconds=120)


# ---- given up


@pytest.mark.system("W2")
async def test_w2_what_is_given_up_is_said_and_a_replay_delivers_it(
    parts: tuple[str, str],
) -> None:
    refusals = [answer(500, "")] * 2
    async with (
        scripted_server(*refusals, OK) as receiver,
        calling(*parts, receiver.url, waits=[SOON]) as desk,
    ):
        fact = await desk.completes(receiver.url)
        [line] = await desk.called(fact, "callback.failed")
        message = await desk.is_dead(fact)
        code, said, _ = await darkroom(
            {"DATABASE_URL": parts[0]},
            *("parked", "replay", "--all", "--queue", topology.API_CALLBACKS.name),
        )
        _, delivered = await desk.called(fact, "callback.failed", "callback.delivered")
        left = await desk.dead()

    lost = read(CallbackFailed, line.envelope)
    assert (lost.reason, lost.tries) == ("127.0.0.1 answers 500", 2)
    assert (message.queue, message.attempts) == (topology.API_CALLBACKS.name, 2)
    assert (code, said.split()[0]) == (0, "1")
    assert read(CallbackDelivered, delivered.envelope).tries == 1
    assert left == []
    assert {Request.of(raw).headers["webhook-id"] for raw in receiver.requests} == {fact.id}


async def test_who_wants_no_more_is_given_up_at_once(parts: tuple[str, str]) -> None:
    async with (
        scripted_server(answer(410, "gone")) as receiver,
        calling(*parts, receiver.url) as desk,
    ):
        fact = await desk.completes(receiver.url)
        [line] = await desk.called(fact, "callback.failed")
        message = await desk.is_dead(fact)

    assert len(receiver.requests) == 1
    assert message.reason == "127.0.0.1 wants no more of these (410)"
    words = words_of(line.type, line.body)
    assert words is not None
    assert words["en"] == (
        "127.0.0.1 could not be told that the job is completed, given up after 1 try: "
        "127.0.0.1 wants no more of these (410)"
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_followed_elsewhere(parts: tuple[str, str], status: int) -> None:
    async with (
        scripted_server() as elsewhere,
        scripted_server(answer(status, "", f"Location: {elsewhere.url}/told")) as receiver,
        calling(*parts, receiver.url, waits=[]) as desk,
    ):
        message = await desk.is_dead(await desk.completes(receiver.url))

    assert message.reason == f"127.0.0.1 answers {status}, and we do not go elsewhere"
    assert elsewhere.requests == []


async def test_without_a_key_nobody_is_called_and_it_is_said_why(
    parts: tuple[str, str],
) -> None:
    async with (
        scripted_server() as receiver,
        calling(*parts, receiver.url, callback_secret="") as desk,
    ):
        message = await desk.is_dead(await desk.completes(receiver.url))

    assert "CALLBACK_SECRET" in message.reason
    assert receiver.requests == []


async def test_receivers_that_are_gone_keep_nobody_else_from_being_told(
    parts: tuple[str, str],
) -> None:
    async with a_file_host() as host, calling(*parts, host.origin) as desk:
        gone = host.serve("/gone", b"", status="410 Gone")
        there = host.serve("/there", b"")
        lost = [await desk.completes(gone) for _ in range(MOST_DEAD_IN_A_ROW + 5)]
        for fact in lost:
            await desk.called(fact, "callback.failed")
        queue = {"queue": topology.API_CALLBACKS.name}
        stopped = REGISTRY.get_sample_value("darkroom_consumer_stopped", queue)

        await desk.called(await desk.completes(there), "callback.delivered")

    assert stopped == 0


# ---- nowhere else


@asynccontextmanager
async def a_handler(
    database: Database,
    origin: str | None = None,
    resolver: AbstractResolver | None = None,
    within_s: float = 5.0,
) -> AsyncIterator[CallBack]:
    rules = Rules(
        hosts=None,
        allowed_origin=origin,
        setting="CALLBACK_HOSTS",
        within_s=within_s,
        once=True,
    )
    async with open_outside(rules, resolver=resolver) as outside:
        yield CallBack(
            database=database,
            outside=outside,
            keys=[SECRET],
            address_of_recipe={},
            waits=[SOON, SOON],
            now=lambda: NOON,
            chance=lambda: 0.0,
        )


@pytest.mark.system("W2")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1"])
async def test_w2_a_name_that_leads_inside_is_not_called(database: Database, address: str) -> None:
    async with a_file_host() as canary:
        misled = Misled(canary.port, address)
        async with a_handler(database, resolver=misled) as handler:
            fact = await a_completed_job(database, "https://shop.example.com/told")
            with pytest.raises(Declined, match="not of the open internet"):
                await handler.hear(fact)

    assert canary.connections == 0


async def test_an_address_that_is_a_number_is_not_called(database: Database) -> None:
    async with a_handler(database) as handler:
        fact = await a_completed_job(database, None)
        for literal in LITERALS:
            there = replace(handler, address_of_recipe={"variations": f"https://{literal}/told"})
            with pytest.raises(Declined):
                await there.hear(fact)


class Nobody(AbstractResolver):
    """Knows no name."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        raise OSError(f"no address of {host}")

    async def close(self) -> None:
        pass


async def test_a_host_that_is_not_there_is_tried_again_and_then_given_up(
    database: Database,
) -> None:
    async with a_handler(database, resolver=Nobody()) as handler:
        fact = await a_completed_job(database, f"https://nobody.example.com/{HIDDEN}")
        with pytest.raises(NotTaken, match=r"nobody\.example\.com could not be asked"):
            await handler.hear(fact)
        assert await calls_about(database, fact) == []
        with pytest.raises(NotTaken):
            await handler.hear(replace(fact, attempts=2))

    [line] = await calls_about(database, fact)
    assert read(CallbackFailed, line.envelope).tries == 3


async def test_of_an_erased_job_nobody_is_told(database: Database) -> None:
    async with scripted_server() as receiver, a_handler(database, receiver.url) as handler:
        fact = await a_completed_job(database, None)
        async with database.transaction() as tx:
            await tx.execute("UPDATE job SET erased_at = now()")
        await replace(handler, address_of_recipe={"variations": receiver.url}).hear(fact)

    assert receiver.requests == []


async def test_a_trace_that_shows_its_values_shows_no_address_and_no_key(
    database: Database,
) -> None:
    async with a_handler(database) as handler:
        job = await a_completed_job(database, None)
        named = replace(handler, address_of_recipe={"variations": f"https://a.example/{HIDDEN}"})
        call = await named._wanted(job)

    assert call is not None
    assert call.url.endswith(HIDDEN)
    assert HIDDEN not in f"{named} {call}"
    assert SECRET not in f"{named} {call}"


async def test_an_address_and_a_key_are_told_to_nobody(parts: tuple[str, str]) -> None:
    with structlog.testing.capture_logs() as logs:
        async with (
            scripted_server(answer(500, HIDDEN)) as receiver,
            calling(*parts, receiver.url, waits=[]) as desk,
        ):
            fact = await desk.completes(f"{receiver.url}/{HIDDEN}?key={HIDDEN}")
            message = await desk.is_dead(fact)
            [line] = await desk.calls(fact)

    assert logs
    told = f"{logs} {message} {line}"
    assert HIDDEN not in told
    assert SECRET not in told
    assert UUID(str(fact.subject)) == line.job_id
