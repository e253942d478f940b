"""The reconciler's measures of what waits, as Prometheus reads them."""

import math

import pytest
from prometheus_client import REGISTRY

from services.reconciler.levels import MeasureLevels, MeasureQueues
from shared.db.connection import Database
from shared.domain.slot import SlotState
from shared.errors import BrokerUnavailable
from shared.messaging.consumer import open_subscriptions
from shared.messaging.publisher import open_publisher
from shared.messaging.topology import AGGREGATOR_SLOTS, QUEUES
from tests.support.consuming import an_event
from tests.support.purchases import a_job, a_slot
from tests.support.waiting import eventually


def told(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"{name}{labels} is not told"
    return value


async def test_what_waits_in_postgres_is_told_for_every_queue_and_kind(database: Database) -> None:
    await a_slot(database, SlotState.FAILED)
    await a_slot(database, SlotState.IN_DOUBT)
    await a_job(database, n=2)

    await MeasureLevels(database=database).run_once()

    assert told("darkroom_outbox_pending") == 1
    assert told("darkroom_outbox_oldest_age_seconds") > 0
    assert told("darkroom_slots_in_doubt") == 1
    assert told("darkroom_slots_due") == 2
    assert told("darkroom_jobs_open") == 3
    for queue in QUEUES:
        for state in ("waiting", "dead"):
            assert told("darkroom_parked_messages", queue=queue.name, state=state) == 0


async def test_what_waits_in_the_broker_is_told_and_no_old_number_survives_its_silence(
    amqp_url: str,
) -> None:
    name = AGGREGATOR_SLOTS.name
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        await publisher.publish(an_event())
        measure = MeasureQueues(queues=subscriptions.levels())

        async def ready() -> float:
            await measure.run_once()
            return told("darkroom_queue_messages_ready", queue=name)

        await eventually("one waits", ready, holds=lambda n: n == 1)
        assert told("darkroom_queue_consumers", queue=name) == 0

    with pytest.raises(BrokerUnavailable):  # the link is closed for good now
        await measure.run_once()
    assert math.isnan(told("darkroom_queue_messages_ready", queue=name))
