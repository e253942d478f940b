"""The ingress on a real socket and a real broker: what it takes, and one answer for every fault."""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import aiohttp
import psutil
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from deploy.local.stack import Stack
from services.ingress import wiring
from services.ingress.settings import Settings
from services.ingress.wiring import workers
from shared import serving
from shared.clock import utc_now
from shared.connections import Connections
from shared.domain import identity
from shared.health import Health
from shared.messaging import topology
from shared.messaging.apply import apply
from tests.support.ports import a_port
from tests.support.signing import signed
from tests.support.waiting import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ANOTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATH = "/webhooks/replicate"
JOB = UUID("0a4d6e8e-6f3f-4a52-9a54-0a2ce5a3d0aa")
SLOT = f"{JOB}.2.1.abcdefghijklmnopqrstuv"


def a_prediction(status: str = "succeeded", **fields: Any) -> bytes:
    # Spaces and an escape that no writer of ours would make: what arrives must be what came.
    told = {"id": "vcscvthbaxrm80cq9xqtcbaw4m", "status": status, "output": ["é"], **fields}
    return json.dumps(told, indent=1).encode() + b"\n"


@dataclass
class Ingress:
    """A running ingress, as a sender and as the broker see it."""

    amqp_url: str
    port: int
    stop: asyncio.Event
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def post(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        *,
        query: str = "",
        method: str = "POST",
    ) -> tuple[int, dict[str, Any]]:
        """The status and the problem, if any. Signed unless ``headers`` are given."""
        async with self.session.request(
            method,
            f"{self.url}{PATH}{query}",
            data=body,
            headers=signed(body, SECRET) if headers is None else headers,
        ) as answer:
            problem = {} if answer.status == 204 else await answer.json(content_type=None)
            if answer.status != 204:
                assert answer.content_type == "application/problem+json"
                assert problem["status"] == answer.status
            return answer.status, problem

    async def send_raw(self, request: bytes) -> bytes:
        """What comes back on a bare socket until the ingress closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(), timeout=10)
        finally:
            writer.close()

    async def queued(
        self, queue: topology.Queue = topology.STORAGE_OUTPUTS
    ) -> list[aio_pika.abc.AbstractIncomingMessage]:
        """Everything in a queue, taken out."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection:
            channel = await connection.channel()
            source = await channel.get_queue(queue.name, ensure=False)
            found = []
            while (message := await source.get(no_ack=True, fail=False)) is not None:
                found.append(message)
            return found

    async def is_shut(self) -> bool:
        # Not by knocking: whom a door lets in at the moment when it closes, Python 3.11 forgets.
        return not any(
            link.status == psutil.CONN_LISTEN and link.laddr.port == self.port
            for link in psutil.Process().net_connections("tcp")
        )

    async def ready(self) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/readyz") as answer:
            told: dict[str, Any] = await answer.json()
            return told


@asynccontextmanager
async def an_ingress(amqp_url: str, **options: Any) -> AsyncIterator[Ingress]:
    """The ingress as it ships, on a free port; stopped and drained at the end."""
    with a_port() as port:
        told: dict[str, Any] = {"replicate_webhook_secret": SecretStr(SECRET), **options}
        settings = Settings(
            amqp_url=SecretStr(amqp_url), ingress_host="127.0.0.1", ingress_port=port, **told
        )
        stop = asyncio.Event()
        async with (
            Connections(Health("ingress")) as connections,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        ):
            running = asyncio.gather(*(w(stop) for w in await workers(settings, connections)))
            ingress = Ingress(amqp_url, port, stop, session)
            try:
                await eventually("the ingress listens", lambda: _listens(ingress))
                yield ingress
            finally:
                stop.set()
                await running


async def _listens(ingress: Ingress) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


@pytest.fixture
async def ingress(amqp_url: str) -> AsyncIterator[Ingress]:
    async with an_ingress(amqp_url) as running:
        await eventually("it is ready", running.ready, holds=lambda told: told["ready"])
        yield running


async def test_a_genuine_webhook_reaches_the_queue_byte_for_byte(ingress: Ingress) -> None:
    body = a_prediction()
    headers = signed(body, SECRET, webhook_id="msg_abc")

    status, _ = await ingress.post(body, headers, query=f"?slot={SLOT}")

    [message] = await ingress.queued()
    told = message.headers
    assert status == 204
    assert message.body == body
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert told["cloudEvents:type"] == message.routing_key == "prediction.succeeded"
    assert told["cloudEvents:source"] == "replicate"
    assert told["cloudEvents:subject"] == str(JOB)
    assert told["webhook-id"] == "msg_abc"
    assert told["darkroom-origin"] == "webhook"
    assert told["darkroom-slot"] == SLOT
    received, handed = (
        datetime.fromisoformat(str(told[name])) for name in ("received-at", "handed-at")
    )
    assert received.tzinfo is not None
    assert received < handed  # its signature was looked at in between
    # The reconciler, which never sees a webhook, mints the same id for the same end.
    assert told["cloudEvents:id"] == identity.verdict_id("vcscvthbaxrm80cq9xqtcbaw4m", "succeeded")


@pytest.mark.parametrize(
    ("status", "fact", "queue"),
    [
        ("starting", "prediction.started", topology.GENERATOR_PROGRESS),
        ("processing", "prediction.progressed", topology.GENERATOR_PROGRESS),
        ("failed", "prediction.failed", topology.GENERATOR_VERDICTS),
        ("canceled", "prediction.canceled", topology.GENERATOR_VERDICTS),
        ("aborted", "prediction.aborted", topology.GENERATOR_VERDICTS),
        ("successful", "prediction.progressed", topology.GENERATOR_PROGRESS),
    ],
)
async def test_every_status_travels_under_its_own_name_and_a_new_one_as_progress(
    ingress: Ingress, status: str, fact: str, queue: topology.Queue
) -> None:
    body = a_prediction(status)

    assert await ingress.post(body, signed(body, SECRET, webhook_id="msg_1")) == (204, {})

    [message] = await ingress.queued(queue)
    assert message.routing_key == fact
    assert message.body == body
    ended = status in ("failed", "canceled", "aborted")
    assert (message.headers["cloudEvents:id"] == "msg_1") is not ended


async def test_a_webhook_sent_again_is_taken_again_as_the_same_fact(ingress: Ingress) -> None:
    body = a_prediction()
    headers = signed(body, SECRET)

    assert [(await ingress.post(body, headers))[0] for _ in range(2)] == [204, 204]

    first, second = await ingress.queued()
    assert first.headers["cloudEvents:id"] == second.headers["cloudEvents:id"]
    assert first.message_id != second.message_id


async def test_the_slot_in_the_signed_body_goes_before_the_one_in_the_query(
    ingress: Ingress,
) -> None:
    other = f"{uuid4()}.1.1.abcdefghijklmnopqrstuv"
    body = a_prediction(webhook=f"https://example.com{PATH}?slot={SLOT}")

    await ingress.post(body, query=f"?slot={other}")

    [message] = await ingress.queued()
    assert message.headers["cloudEvents:subject"] == str(JOB)
    assert message.headers["darkroom-slot"] == other


@pytest.mark.parametrize("query", ["", "?slot=junk", f"?slot={SLOT}&slot={SLOT}", "?slot=%ff%00"])
async def test_a_query_that_names_no_slot_is_no_obstacle_and_no_header(
    ingress: Ingress, query: str
) -> None:
    assert (await ingress.post(a_prediction(), query=query))[0] == 204

    [message] = await ingress.queued()
    assert "darkroom-slot" not in message.headers
    assert "cloudEvents:subject" not in message.headers


async def test_a_body_of_ten_mebibytes_is_taken(ingress: Ingress) -> None:
    body = a_prediction(logs="x" * (10 * 1024 * 1024 - 200))

    assert (await ingress.post(BytesIO(body), signed(body, SECRET)))[0] == 204

    [message] = await ingress.queued()
    assert message.body == body


async def test_a_body_that_comes_in_chunks_is_taken_whole(ingress: Ingress) -> None:
    body = a_prediction()

    async def drop_by_drop() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    assert (await ingress.post(drop_by_drop(), signed(body, SECRET)))[0] == 204

    [message] = await ingress.queued()
    assert message.body == body


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"status":"succeeded"}', "no prediction id"),
        (b'{"id":"p"}', "no status"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id":"p","status":"\xff"}', "UTF-8"),
    ],
)
async def test_a_signed_body_that_is_no_prediction_is_400(
    ingress: Ingress, body: bytes, names: str
) -> None:
    status, problem = await ingress.post(body)

    assert status == 400
    assert names in problem["detail"]
    assert await ingress.queued() == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"webhook-signature": "rubbish"}, 400),
        ({"webhook-signature": "v1,%%%"}, 400),
        ({"webhook-signature": "v1,a,b"}, 400),
        ({"webhook-timestamp": "1674087231.9"}, 400),
        ({"webhook-id": "a b"}, 400),
        ({"svix-id": "msg_1"}, 400),
        ({"webhook-signature": "v1," + "A" * 43 + "="}, 401),
        ({"webhook-id": "msg_another"}, 401),
        ({"webhook-timestamp": "1674087231"}, 401),
    ],
)
async def test_malformed_headers_are_400_and_what_does_not_fit_is_401(
    ingress: Ingress, changed: dict[str, str], status: int
) -> None:
    body = a_prediction()

    assert (await ingress.post(body, signed(body, SECRET) | changed))[0] == status
    assert await ingress.queued() == []


class WrongClock:
    """Our clock, as far off as a test sets it."""

    def __init__(self) -> None:
        self.off = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.off


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_genuine_webhook_is_503_and_never_401_while_our_clock_is_wrong(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    clock = WrongClock()
    monkeypatch.setattr(wiring, "utc_now", clock)
    body = a_prediction()
    async with an_ingress(amqp_url) as ingress:
        clock.off = timedelta(minutes=minutes)
        since_it_started = await ingress.post(body)
        clock.off = timedelta(0)
        right = await ingress.post(body)
        clock.off = timedelta(minutes=minutes)
        since_it_was_set = await ingress.post(body)
        forged = await ingress.post(body, signed(body, ANOTHER))
        clock.off = timedelta(0)
        again = await ingress.post(body)

    assert (since_it_started[0], since_it_was_set[0], forged[0]) == (503, 503, 401)
    assert since_it_was_set[1]["detail"] == "our clock may be wrong"
    assert (right[0], again[0]) == (204, 204)


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_genuine_webhook_of_another_time_is_401_while_our_clock_is_vouched_for(
    ingress: Ingress, minutes: int
) -> None:
    body = a_prediction()
    replay = signed(body, SECRET, at=utc_now().timestamp() + 60 * minutes)

    now, _ = await ingress.post(body)
    then, _ = await ingress.post(body, replay)

    assert (now, then) == (204, 401)


async def test_a_signature_under_another_secret_is_401(ingress: Ingress) -> None:
    body = a_prediction()

    status, problem = await ingress.post(
        body, signed(body, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    )

    assert (status, problem["title"]) == (401, "The signature does not fit")


async def test_a_header_that_comes_twice_is_400(ingress: Ingress) -> None:
    body = a_prediction()
    lines = [f"{name}: {value}\r\n" for name, value in signed(body, SECRET).items()]

    answer = await ingress.send_raw(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{''.join(lines)}{lines[2]}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"comes twice" in answer


async def test_another_method_is_405_and_another_path_404(ingress: Ingress) -> None:
    async with ingress.session.get(f"{ingress.url}{PATH}") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
    async with ingress.session.post(f"{ingress.url}/webhooks/other") as answer:
        assert answer.status == 404


async def test_a_request_without_a_body_is_411(ingress: Ingress) -> None:
    answer = await ingress.send_raw(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 411 ")


async def test_a_length_over_the_cap_is_413_before_a_byte_is_sent(ingress: Ingress) -> None:
    answer = await ingress.send_raw(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_chunks_that_go_over_the_cap_are_413(amqp_url: str) -> None:
    async with an_ingress(amqp_url, webhook_max_bytes=2048) as ingress:
        body = a_prediction(logs="x" * 4096)

        async def chunks() -> AsyncIterator[bytes]:
            yield body[:1500]
            yield body[1500:]

        assert (await ingress.post(chunks(), signed(body, SECRET)))[0] == 413


async def test_a_compressed_body_is_415_and_so_is_another_content_type(ingress: Ingress) -> None:
    body = a_prediction()
    headers = signed(body, SECRET)

    squeezed = gzip.compress(body)
    assert (await ingress.post(squeezed, headers | {"content-encoding": "gzip"}))[0] == 415
    assert (await ingress.post(body, headers | {"content-type": "text/html"}))[0] == 415
    assert await ingress.queued() == []


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/cloudevents+json"]
)
async def test_whatever_says_json_is_taken(ingress: Ingress, kind: str) -> None:
    body = a_prediction()

    assert (await ingress.post(body, signed(body, SECRET) | {"content-type": kind}))[0] == 204


@pytest.mark.parametrize("sent", [0, 5])
async def test_a_body_that_does_not_come_is_408_within_its_time(amqp_url: str, sent: int) -> None:
    async with an_ingress(amqp_url, webhook_body_seconds=0.4) as ingress:
        body = a_prediction()
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body, SECRET).items())
        began = asyncio.get_running_loop().time()

        answer = await ingress.send_raw(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:sent]
        )

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert asyncio.get_running_loop().time() - began < 3


async def test_headers_that_do_not_come_end_with_the_connection(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FIRST_REQUEST_S", 0.5)
    async with an_ingress(amqp_url) as ingress:
        assert await ingress.send_raw(b"") == b""
        assert await ingress.send_raw(f"POST {PATH} HTTP/1.1\r\nHost: ".encode()) == b""


async def test_a_body_shorter_than_it_says_is_never_published(ingress: Ingress) -> None:
    body = a_prediction()
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body, SECRET).items())
    _, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    with capture_logs() as logs:
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body) + 9}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

        async def refused() -> list[Any]:
            return [line for line in logs if line["event"] == "webhook.refused"]

        [line] = await eventually("it is refused", refused)

    assert line["outcome"] == "malformed"
    assert await ingress.queued() == []


async def test_what_is_not_http_is_400_and_not_quoted_in_the_log(
    ingress: Ingress, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        answer = await ingress.send_raw(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\na word that must not be logged\r\n\r\n".encode()
        )

    assert answer.split(b" ")[1] == b"400"
    assert "Error handling request" in caplog.text
    assert "must not be logged" not in caplog.text


async def test_a_body_longer_than_it_says_is_refused(ingress: Ingress) -> None:
    body = a_prediction()
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body, SECRET).items())

    answer = await ingress.send_raw(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body) - 9}\r\n\r\n".encode()
        + body
    )

    # What follows the declared length is no request, and is what is answered first.
    assert answer.split(b" ")[1] in (b"400", b"401")
    assert await ingress.queued() == []


async def test_one_more_than_may_be_in_hand_is_429_and_may_come_again(amqp_url: str) -> None:
    async with an_ingress(amqp_url, webhooks_in_flight=1) as ingress:
        body = a_prediction()
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body, SECRET).items())
        reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
        )

        async def status() -> int:
            return (await ingress.post(body))[0]

        await eventually("the next one is turned away", status, holds=lambda code: code == 429)
        writer.write(body)

        assert (await reader.readline()).startswith(b"HTTP/1.1 204 ")
        await eventually("there is room again", status, holds=lambda code: code == 204)
        writer.close()


async def test_an_address_over_its_rate_is_429_before_anything_is_verified(amqp_url: str) -> None:
    async with an_ingress(amqp_url, webhooks_per_second_per_address=1) as ingress:
        statuses = [(await ingress.post(b"{}", {}))[0] for _ in range(4)]

    assert statuses == [415, 415, 429, 429]


async def test_one_connection_too_many_is_closed_and_the_others_stay(amqp_url: str) -> None:
    async with an_ingress(amqp_url, webhook_connections=3) as ingress:
        held = [await asyncio.open_connection("127.0.0.1", ingress.port) for _ in range(3)]

        assert await ingress.send_raw(b"") == b""
        for _, writer in held:
            writer.close()

        async def status() -> int:
            try:
                return (await ingress.post(a_prediction()))[0]
            except aiohttp.ClientConnectionError:
                return 0

        await eventually("there is room again", status, holds=lambda code: code == 204)


async def test_without_a_secret_every_webhook_is_503_and_readiness_says_why(
    amqp_url: str,
) -> None:
    async with an_ingress(amqp_url, replicate_webhook_secret=SecretStr("")) as ingress:
        status, problem = await ingress.post(a_prediction())

        assert status == 503
        assert "secret" in problem["detail"]
        assert "darkroom secret" in (await ingress.ready())["webhook_secret"]


async def test_both_secrets_are_taken_while_rotating(amqp_url: str) -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    both = SecretStr(f"{SECRET},{other}")
    async with an_ingress(amqp_url, replicate_webhook_secret=both) as ingress:
        body = a_prediction()

        assert (await ingress.post(body, signed(body, SECRET)))[0] == 204
        assert (await ingress.post(body, signed(body, other)))[0] == 204


async def test_what_nobody_hears_is_503_and_taken_once_the_topology_stands(
    bare_amqp_url: str,
) -> None:
    connection = await aio_pika.connect(bare_amqp_url)
    async with connection, connection.channel() as channel:
        await channel.declare_exchange(topology.EXCHANGE, "topic", durable=True)
    async with an_ingress(bare_amqp_url) as ingress:
        await eventually("it is ready", ingress.ready, holds=lambda told: told["ready"])

        assert (await ingress.post(a_prediction()))[0] == 503

        await apply(bare_amqp_url)

        assert (await ingress.post(a_prediction()))[0] == 204


async def test_while_the_broker_is_blocked_or_away_every_answer_is_503_and_it_heals_by_itself(
    own_stack: Callable[..., Stack],
) -> None:
    stack = await asyncio.to_thread(own_stack)
    amqp_url = stack.environment()["AMQP_URL"]
    await apply(amqp_url)
    async with an_ingress(amqp_url) as ingress:

        async def status() -> int:
            return (await ingress.post(a_prediction()))[0]

        async def within_its_time() -> int:
            began = asyncio.get_running_loop().time()
            code = await status()
            assert asyncio.get_running_loop().time() - began < 4  # 2 s, and a busy machine
            return code

        await eventually("it is taken", status, holds=lambda code: code == 204)

        await asyncio.to_thread(stack.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.0001")
        await eventually("a memory alarm", within_its_time, holds=lambda code: code == 503)
        assert await within_its_time() == 503
        await asyncio.to_thread(stack.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.6")
        await eventually("the alarm is over", status, holds=lambda code: code == 204)

        await asyncio.to_thread(stack.rabbitmq.ctl, "stop_app")
        assert await within_its_time() == 503
        assert (await ingress.ready())["ready"] is False
        await asyncio.to_thread(stack.rabbitmq.ctl, "start_app")
        await eventually("the broker is back", status, holds=lambda code: code == 204)


async def test_a_webhook_in_hand_is_finished_while_the_door_closes(amqp_url: str) -> None:
    async with an_ingress(amqp_url) as ingress:
        body = a_prediction()
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed(body, SECRET).items())
        reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
        )

        async def in_hand() -> bool:
            async with ingress.session.get(f"{ingress.url}/metrics") as answer:
                return "darkroom_webhooks_in_progress 1.0" in await answer.text()

        await eventually("it is in hand", in_hand)
        ingress.stop.set()

        await eventually("the door is closed", ingress.is_shut)
        writer.write(body)

        assert (await reader.readline()).startswith(b"HTTP/1.1 204 ")
        writer.close()
        [message] = await ingress.queued()
        assert message.body == body


async def test_one_line_tells_of_each_webhook_and_never_its_body(ingress: Ingress) -> None:
    body = a_prediction(logs="a word that must not be logged")
    forged = signed(body, SECRET) | {"webhook-id": "msg_forged"}

    with capture_logs() as logs:
        await ingress.post(body, query=f"?slot={SLOT}")
        await ingress.post(body, forged)

    accepted, refused = (line for line in logs if line["event"].startswith("webhook."))
    assert accepted["event"] == "webhook.accepted"
    assert accepted["prediction_id"] == "vcscvthbaxrm80cq9xqtcbaw4m"
    assert accepted["status"] == "succeeded"
    assert accepted["job_id"] == str(JOB)
    assert (refused["event"], refused["outcome"]) == ("webhook.refused", "bad_signature")
    assert "must not be logged" not in str(logs)
    assert "abcdefghijklmnopqrstuv" not in str(logs)


@pytest.mark.parametrize(("wanted", "status"), [(True, 200), (False, 404)])
async def test_health_and_metrics_stand_beside_the_webhooks_only_where_wanted(
    amqp_url: str, wanted: bool, status: int
) -> None:
    async with an_ingress(amqp_url, ingress_tells_health=wanted) as ingress:
        for path in ("/healthz", "/metrics"):
            async with ingress.session.get(f"{ingress.url}{path}") as answer:
                assert answer.status == status


@pytest.mark.parametrize("seed", range(4))
async def test_no_malformed_request_ever_gets_a_500_or_through(ingress: Ingress, seed: int) -> None:
    chance = random.Random(seed)
    statuses: set[int] = set()

    for _ in range(500):
        body, headers = malformed(chance)
        async with ingress.session.post(f"{ingress.url}{PATH}", data=body, headers=headers) as got:
            statuses.add(got.status)

    assert statuses <= {400, 401, 413, 415}
    assert {400, 401} <= statuses
    assert await ingress.queued() == []


def malformed(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    """A webhook with at least one thing wrong with it, from a seed."""
    body = chance.choice([a_prediction(), b"", b"{}", b"\xff\xfe", b"[" * 2000, b'{"id":1}'])
    headers = signed(body, SECRET)
    rubbish = "".join(chance.choices("v1,=+/ .-_%aZ09é\t", k=chance.randrange(1, 80))).strip()
    match chance.randrange(6):
        case 0:
            headers["webhook-signature"] = rubbish or "v1"
        case 1:
            headers["webhook-timestamp"] = rubbish or "0"
        case 2:
            headers["webhook-id"] = (rubbish or "x") + "!"
        case 3:
            del headers[chance.choice(["webhook-id", "webhook-timestamp", "webhook-signature"])]
        case 4:
            body += b" "
        case _:
            headers["webhook-signature"] = headers["webhook-signature"][:-4] + "AAA="
    return body, headers


async def test_who_is_told_to_stop_says_so_and_still_takes_webhooks_for_a_while(
    amqp_url: str,
) -> None:
    async with an_ingress(amqp_url, ingress_linger_seconds=2.0) as ingress:
        await eventually("it is ready", ingress.ready, holds=lambda told: told["ready"])
        ingress.stop.set()

        told = await eventually(
            "it says that it leaves", ingress.ready, holds=lambda told: told["draining"]
        )
        body = a_prediction()
        headers = signed(body, SECRET, webhook_id="msg_late")
        url = f"{ingress.url}{PATH}"
        async with ingress.session.post(url, data=body, headers=headers) as answer:
            pass

    assert not told["ready"]
    assert answer.status == 204
    assert answer.headers["Connection"] == "close"


async def test_a_webhook_that_is_under_way_as_the_door_closes_is_answered(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "QUIET_S", 2.0)
    body = a_prediction()
    async with an_ingress(amqp_url) as ingress:
        await eventually("it is ready", ingress.ready, holds=lambda told: told["ready"])
        url = f"{ingress.url}{PATH}"
        first = signed(body, SECRET, webhook_id="msg_before")
        async with ingress.session.post(url, data=body, headers=first) as before:
            await before.read()
        ingress.stop.set()
        await eventually("its door is closed", ingress.is_shut)

        # The session has a connection open that it came on before, and uses that.
        late = signed(body, SECRET, webhook_id="msg_under_way")
        async with ingress.session.post(url, data=body, headers=late) as after:
            pass

    assert (before.status, before.headers.get("Connection")) == (204, None)
    assert (after.status, after.headers.get("Connection")) == (204, "close")


async def test_a_connection_that_has_asked_once_is_kept_for_the_next_request(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FIRST_REQUEST_S", 0.5)
    async with an_ingress(amqp_url) as ingress:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await ingress.send_raw(b"") == b""  # one that came later, and says nothing

        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"rabbitmq" in await asyncio.wait_for(reader.read(), timeout=10)
        writer.close()
