"""How full the queues are and who listens, asked of a real broker."""

import pytest

from shared.errors import BrokerUnavailable
from shared.messaging.consumer import open_subscriptions
from shared.messaging.levels import QueueLevel
from shared.messaging.publisher import open_publisher
from shared.messaging.topology import AGGREGATOR_SLOTS, QUEUES, REPORT_JOBS, Queue
from tests.support.consuming import Seen, an_event, working
from tests.support.proxy import proxied
from tests.support.waiting import eventually

MISSING = Queue(name="darkroom.nowhere")


async def test_what_is_ready_and_who_listens_is_known_at_once(amqp_url: str) -> None:
    async with (
        open_publisher(amqp_url, name="t") as publisher,
        open_subscriptions(amqp_url, name="t") as subscriptions,
    ):
        asking = subscriptions.levels()
        for _ in range(3):
            await publisher.publish(an_event())

        async def ready() -> int:
            level = (await asking.read(QUEUES))[AGGREGATOR_SLOTS.name]
            return level.ready if level else -1

        await eventually("three wait", ready, holds=lambda n: n == 3)
        before = await asking.read(QUEUES)
        async with working(subscriptions, Seen()):
            heard = await asking.read([AGGREGATOR_SLOTS])

    assert set(before) == {queue.name for queue in QUEUES}
    assert before[AGGREGATOR_SLOTS.name] == QueueLevel(ready=3, consumers=0)
    assert before[REPORT_JOBS.name] == QueueLevel(ready=0, consumers=0)
    level = heard[AGGREGATOR_SLOTS.name]
    assert level is not None
    assert level.consumers == 1


async def test_a_missing_queue_is_told_and_hides_no_other(amqp_url: str) -> None:
    async with open_subscriptions(amqp_url, name="t") as subscriptions:
        asking = subscriptions.levels()

        found = await asking.read([MISSING, REPORT_JOBS])

    assert found == {MISSING.name: None, REPORT_JOBS.name: QueueLevel(ready=0, consumers=0)}


async def test_a_link_that_breaks_is_an_error_and_the_next_one_answers_again(
    amqp_url: str,
) -> None:
    async with (
        proxied(amqp_url) as (proxy, url),
        open_subscriptions(url, name="t") as subscriptions,
    ):
        asking = subscriptions.levels()
        await asking.read([REPORT_JOBS])
        await proxy.cut()

        with pytest.raises(BrokerUnavailable):
            await asking.read([REPORT_JOBS])

        proxy.speak()

        async def answers() -> bool:
            try:
                return REPORT_JOBS.name in await asking.read([REPORT_JOBS])
            except BrokerUnavailable:
                return False

        await eventually("it answers again", answers)
