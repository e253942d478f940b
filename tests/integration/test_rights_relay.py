"""Whose facts a relay publishes: its own service's; the reconciler's relay those of everybody."""

from collections.abc import Callable

import pytest

from deploy.local.logins import as_party, create_users
from deploy.local.stack import Isolation
from shared.clock import utc_now
from shared.db import journal
from shared.db.connection import Database
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.publisher import Publisher, open_publisher
from shared.messaging.relay import relay_once
from shared.messaging.topology import AGGREGATOR, API, RECONCILER, STORAGE, Service, relayed_by
from tests.support.waiting import eventually

OF_EACH = ("artifacts.stored", "job.completed", "prediction.succeeded", "upload.received")


@pytest.fixture
def url_of(stack: Isolation, amqp_url: str) -> Callable[[Service], str]:
    create_users(stack.environment() | {"AMQP_URL": amqp_url})
    return lambda service: as_party(amqp_url, service.name)


async def owed(database: Database) -> set[str]:
    async with database.connection() as tx:
        return {entry.type for entry in await journal.claim_owed(tx, 100)}


async def answers(publisher: Publisher) -> bool:
    try:
        await publisher.ping()
    except BrokerUnavailable:
        return False
    return True


@pytest.mark.parametrize(
    ("service", "left"),
    [
        (STORAGE, set(OF_EACH) - {"artifacts.stored"}),
        (AGGREGATOR, set(OF_EACH) - {"job.completed"}),
        (API, set(OF_EACH) - {"upload.received"}),
        (RECONCILER, set()),
    ],
    ids=lambda case: case.name if isinstance(case, Service) else "",
)
async def test_a_relay_publishes_what_its_own_account_may_and_leaves_the_rest(
    database: Database, url_of: Callable[[Service], str], service: Service, left: set[str]
) -> None:
    async with database.transaction() as tx:
        for fact in OF_EACH:
            said = Envelope(id=fact, type=fact, source="test", time=utc_now(), body=b"{}")
            await journal.say(tx, said)

    async with open_publisher(url_of(service), name="test") as publisher:
        await eventually("the broker answers", lambda: answers(publisher))
        await relay_once(database, publisher, types=relayed_by(service))

    assert await owed(database) == left
