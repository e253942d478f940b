"""What the ingress did not take can be looked at: a little of each, and never too much of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest
from prometheus_client import REGISTRY

from services.ingress import refusals
from services.reconciler.forget import MOST_REFUSED, REFUSED_KEPT, SUSPECTS_KEPT, Forget
from services.reconciler.refused import KeepRefused
from shared.db import refused
from shared.db.connection import Database
from shared.db.parked import Parked
from shared.domain.refusal import BODY_KEPT, WEBHOOK_REFUSED, RefusedWebhook, to_json
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.messaging import topology
from shared.messaging.consumer import open_subscriptions
from tests.integration.test_ingress import SECRET, Ingress, a_prediction, an_ingress
from tests.support.consuming import depth, working
from tests.support.signing import signed
from tests.support.waiting import eventually

ANOTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
async def ingress(amqp_url: str) -> AsyncIterator[Ingress]:
    async with an_ingress(amqp_url) as running:
        await eventually("it is ready", running.ready, holds=lambda told: told["ready"])
        yield running


@asynccontextmanager
async def keeping(amqp_url: str, database: Database) -> AsyncIterator[None]:
    """A reconciler that keeps what is refused."""
    async with (
        open_subscriptions(amqp_url, name="t") as subscriptions,
        working(
            subscriptions,
            KeepRefused(database=database).hear,
            parking=Parked(database),
            queue=topology.RECONCILER_REFUSED,
            concurrency=1,
        ),
    ):
        yield


async def kept(database: Database, count: int = 1) -> list[RefusedWebhook]:
    async def look() -> list[RefusedWebhook]:
        async with database.connection() as tx:
            return await refused.listing(tx, since=None, outcomes=None, limit=MOST_REFUSED)

    return await eventually(f"{count} are kept", look, holds=lambda found: len(found) >= count)


def a_refused(**fields: Any) -> RefusedWebhook:
    told: dict[str, Any] = {
        "id": uuid4(),
        "received_at": NOW,
        "outcome": "bad_signature",
        "status": 401,
        "reason": "no signature fits",
        "sender": "203.0.113.7",
        "query": "",
        "headers": (("webhook-id", "msg_1"),),
        "body": b"{}",
        "body_bytes": 2,
    }
    return RefusedWebhook(**(told | fields))


async def test_a_forged_webhook_is_kept_as_it_came_with_the_reason(
    ingress: Ingress, amqp_url: str, database: Database
) -> None:
    body = a_prediction()
    headers = signed(body, ANOTHER_SECRET, webhook_id="msg_forged")
    async with keeping(amqp_url, database):
        status, problem = await ingress.post(
            body, headers | {"Authorization": "Bearer r8_abc"}, query="?slot=x"
        )
        [one] = await kept(database)

    assert status == one.status == 401
    assert (one.outcome, one.reason) == ("bad_signature", problem["detail"])
    assert (one.body, one.body_bytes, one.query) == (body, len(body), "slot=x")
    told = {name.lower(): value for name, value in one.headers}
    assert told["webhook-id"] == "msg_forged"
    assert told["webhook-signature"] == headers["webhook-signature"]
    assert "authorization" not in told
    assert one.sender == "127.0.0.1"


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"webhook-timestamp": "1674087231"}, "stale"),
        ({"webhook-signature": "rubbish"}, "malformed"),
        ({"webhook-id": "a b"}, "malformed"),
    ],
)
async def test_what_its_headers_betray_is_kept_with_the_body_that_came_along(
    ingress: Ingress, amqp_url: str, database: Database, changed: dict[str, str], outcome: str
) -> None:
    body = a_prediction()
    async with keeping(amqp_url, database):
        await ingress.post(body, signed(body, SECRET) | changed)
        [one] = await kept(database)

    assert (one.outcome, one.body) == (outcome, body)


async def test_a_signed_body_that_is_no_prediction_is_kept(
    ingress: Ingress, amqp_url: str, database: Database
) -> None:
    async with keeping(amqp_url, database):
        await ingress.post(b'{"id": "p"}')
        [one] = await kept(database)

    assert (one.outcome, one.body) == ("malformed", b'{"id": "p"}')


async def test_of_a_large_body_only_the_beginning_is_kept(
    ingress: Ingress, amqp_url: str, database: Database
) -> None:
    body = a_prediction(logs="x" * 300_000)
    async with keeping(amqp_url, database):
        await ingress.post(body, signed(body, ANOTHER_SECRET))
        [one] = await kept(database)

    assert one.body == body[:BODY_KEPT]
    assert one.body_bytes == len(body)


async def test_not_even_the_broker_gets_more_of_a_large_body(ingress: Ingress) -> None:
    body = a_prediction(logs="x" * 300_000)
    await ingress.post(body, signed(body, ANOTHER_SECRET))

    async def there() -> list[int]:
        return [len(one.body) for one in await ingress.queued(topology.RECONCILER_REFUSED)]

    [size] = await eventually("it is told", there)
    assert BODY_KEPT < size < 2 * BODY_KEPT


async def test_headers_that_no_database_can_hold_do_not_keep_a_webhook_out(
    ingress: Ingress, amqp_url: str, database: Database
) -> None:
    lines = b"".join(b"webhook-%d: \xff\xfe\r\n" % number for number in range(60))
    async with keeping(amqp_url, database):
        answer = await ingress.send_raw(
            b"POST /webhooks/replicate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + lines
            + b"Content-Length: 2\r\n\r\n{}"
        )
        [one] = await kept(database)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(one.headers) == 32


async def test_of_a_flood_a_few_are_kept_and_every_one_is_answered_and_counted(
    ingress: Ingress, amqp_url: str
) -> None:
    before = _count("kept") + _count("dropped")
    body = a_prediction()
    headers = signed(body, ANOTHER_SECRET)
    clock = asyncio.get_running_loop().time
    began = clock()

    answers = await asyncio.gather(*(ingress.post(body, headers) for _ in range(200)))

    async def told() -> float:
        return _count("kept") + _count("dropped") - before

    await eventually("each is kept or dropped", told, holds=lambda n: n == 200)
    assert {status for status, _ in answers} == {401}
    at_most = refusals.PER_SECOND * (2 + clock() - began)  # its burst, and its pace
    assert await depth(amqp_url, topology.RECONCILER_REFUSED.name) <= at_most


async def test_a_webhook_that_is_taken_is_not_delayed_by_what_cannot_be_kept(
    ingress: Ingress, amqp_url: str
) -> None:
    # As on an installation whose topology is older than its services.
    await _delete_queue(amqp_url, topology.RECONCILER_REFUSED.name)
    before = _count("dropped")
    body = a_prediction()

    assert (await ingress.post(body, signed(body, ANOTHER_SECRET)))[0] == 401
    assert (await ingress.post(body))[0] == 204

    async def dropped() -> float:
        return _count("dropped") - before

    await eventually("it is dropped", dropped)


async def test_neither_a_stranger_s_junk_nor_our_own_faults_are_kept(
    ingress: Ingress, amqp_url: str
) -> None:
    before = _count("kept") + _count("dropped")
    body = a_prediction()

    assert (await ingress.post(body, signed(body, SECRET) | {"content-type": "text/html"}))[
        0
    ] == 415
    assert (await ingress.post(body, method="PUT"))[0] == 405

    assert _count("kept") + _count("dropped") == before
    assert await depth(amqp_url, topology.RECONCILER_REFUSED.name) == 0


def test_the_queue_of_refused_webhooks_is_bounded_and_loses_its_oldest() -> None:
    queue = topology.RECONCILER_REFUSED

    assert queue.drops_oldest
    assert queue.keeps * BODY_KEPT * 2 < 64 * 1024 * 1024
    assert queue.hears == (WEBHOOK_REFUSED,)


async def test_the_same_refusal_delivered_twice_is_kept_once(database: Database) -> None:
    fact = an_event(to_json(a_refused()))

    for _ in range(2):
        await KeepRefused(database=database).hear(fact)

    assert len(await kept(database)) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": "x"}', b"\xff"])
async def test_what_is_no_refusal_is_for_an_operator(database: Database, body: bytes) -> None:
    with pytest.raises(Permanent, match="cannot be read"):
        await KeepRefused(database=database).hear(an_event(body))


async def test_old_ones_and_more_than_the_most_are_forgotten_the_oldest_first(
    database: Database,
) -> None:
    ages = [timedelta(minutes=number) for number in range(5)]
    async with database.transaction() as tx:
        now: datetime = await tx.fetchval("SELECT now()")
        for age in (*ages, REFUSED_KEPT + timedelta(minutes=1)):
            await refused.keep(tx, a_refused(received_at=now - age))

    async with database.transaction() as tx:
        by_age = await refused.forget(tx, older_than=REFUSED_KEPT, but_at_most=MOST_REFUSED)
        by_number = await refused.forget(tx, older_than=REFUSED_KEPT, but_at_most=3)

    assert (by_age, by_number) == (1, 2)
    assert [now - one.received_at for one in await kept(database, 3)] == ages[:3]


async def test_the_notes_of_suspicious_starts_are_forgotten_after_their_time(
    database: Database,
) -> None:
    event = an_event(b"{}")
    for queue in ("old", "young"):
        await Parked(database).note_start(queue, event)
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE suspect_start SET last_at = now() - $1::interval WHERE queue = 'old'",
            SUSPECTS_KEPT + timedelta(hours=1),
        )

    counts = await Forget(database=database).run_once()

    async with database.connection() as tx:
        left = await tx.fetch("SELECT queue FROM suspect_start")
    assert counts == {"suspects_forgotten": 1, "refused_forgotten": 0}
    assert [row["queue"] for row in left] == ["young"]


def an_event(body: bytes) -> Envelope:
    return Envelope(
        id=str(UUID(int=1)), type=WEBHOOK_REFUSED, source="darkroom/ingress", time=NOW, body=body
    )


def _count(what: str) -> float:
    name = f"{refusals.TOLD._name}_total"
    return REGISTRY.get_sample_value(name, {"what": what}) or 0.0


async def _delete_queue(amqp_url: str, name: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        await (await connection.channel()).queue_delete(name)
