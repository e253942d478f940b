"""What each account really may do at a real broker: its own work, and nothing of anybody else's."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused
from typer.testing import CliRunner

from deploy.local.logins import as_party, create_users
from deploy.local.stack import Isolation
from deploy.local.stack.rabbitmq import MANAGEMENT
from services.cli.app import app
from shared.messaging.apply import apply
from shared.messaging.topology import EXCHANGE, QUEUES

Channel = Callable[[str], AbstractAsyncContextManager[AbstractChannel]]


@pytest.fixture(scope="module")
def vhost(stack: Isolation) -> Iterator[str]:
    """The administrator's address of a virtual host with the topology and all accounts: nothing
    here depends on what lies in its queues."""
    name = f"rights-{secrets.token_hex(6)}"
    url = stack.create_vhost(name)
    asyncio.run(apply(url))
    create_users(stack.environment() | {"AMQP_URL": url})
    yield url
    stack.drop_vhost(name)


@pytest.fixture
def channel_of(vhost: str) -> Channel:
    @asynccontextmanager
    async def opened(party: str) -> AsyncIterator[AbstractChannel]:
        connection = await aio_pika.connect(as_party(vhost, party))
        async with connection:
            yield await connection.channel(publisher_confirms=True, on_return_raises=True)

    return opened


async def publish(channel: AbstractChannel, fact: str, *, exchange: str = EXCHANGE) -> None:
    where = (
        channel.default_exchange
        if exchange == ""
        else await channel.get_exchange(exchange, ensure=False)
    )
    assert where is not None
    # Not mandatory: whether anybody hears it is not the question here.
    await where.publish(aio_pika.Message(b"{}"), fact, mandatory=False, timeout=10)


async def look_into(channel: AbstractChannel, queue: str) -> None:
    source = await channel.get_queue(queue, ensure=False)
    await source.get(fail=False, timeout=10)


@pytest.mark.parametrize(
    ("party", "fact"),
    [
        ("ingress", "prediction.succeeded"),
        ("storage", "artifacts.stored"),
        ("aggregator", "job.completed"),
        ("report", "report.published"),
        ("publisher", "upload.received"),
        ("operator", "job.cancel_requested"),
        ("api", "upload.received"),
        ("reconciler", "job.completed"),
    ],
)
async def test_an_account_states_what_is_its_own_to_state(
    channel_of: Channel, party: str, fact: str
) -> None:
    async with channel_of(party) as channel:
        await publish(channel, fact)


@pytest.mark.parametrize(
    ("party", "fact"),
    [
        ("ingress", "upload.received"),
        ("storage", "job.completed"),
        ("report", "artifacts.stored"),
        ("generator", "prediction.succeeded"),
        ("publisher", "job.completed"),
        ("api", "job.completed"),
        ("subscriber", "upload.received"),
        ("keda", "upload.received"),
    ],
)
async def test_an_account_cannot_state_what_is_somebody_elses(
    channel_of: Channel, party: str, fact: str
) -> None:
    async with channel_of(party) as channel:
        with pytest.raises(ChannelAccessRefused):
            await publish(channel, fact)


@pytest.mark.parametrize("party", ["ingress", "generator", "storage", "publisher", "operator"])
async def test_nobody_but_the_reconciler_goes_straight_into_a_queue(
    channel_of: Channel, party: str
) -> None:
    async with channel_of(party) as channel:
        with pytest.raises(ChannelAccessRefused):
            await publish(channel, "darkroom.storage.urgent", exchange="")
    async with channel_of("reconciler") as channel:
        await publish(channel, "darkroom.storage.urgent", exchange="")


@pytest.mark.parametrize(
    "party", ["ingress", "report", "api", "publisher", "subscriber", "operator", "keda"]
)
async def test_a_queue_of_somebody_else_cannot_be_read(channel_of: Channel, party: str) -> None:
    async with channel_of(party) as channel:
        with pytest.raises(ChannelAccessRefused):
            await look_into(channel, "darkroom.storage.outputs")
    async with channel_of("storage") as channel:
        await look_into(channel, "darkroom.storage.outputs")


@pytest.mark.parametrize("party", ["storage", "reconciler", "publisher", "subscriber", "operator"])
async def test_no_account_deletes_or_empties_a_queue_of_ours(
    channel_of: Channel, party: str
) -> None:
    async with channel_of(party) as channel:
        queue = await channel.get_queue("darkroom.aggregator.slots", ensure=False)
        with pytest.raises(ChannelAccessRefused):
            await queue.delete(if_unused=False, if_empty=False)


async def test_the_api_looks_on_at_facts_of_jobs_and_at_nothing_else(channel_of: Channel) -> None:
    async with channel_of("api") as channel, channel_of("aggregator") as aggregator:
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(EXCHANGE, routing_key="job.completed")

        await publish(aggregator, "job.completed")

        assert await queue.get(timeout=10, no_ack=True) is not None
        with pytest.raises(ChannelAccessRefused):
            await queue.bind(EXCHANGE, routing_key="webhook.refused")


async def test_another_team_hears_our_ends_in_a_queue_of_its_own(channel_of: Channel) -> None:
    async with channel_of("subscriber") as channel, channel_of("aggregator") as aggregator:
        queue = await channel.declare_queue("subscriber.shop", durable=True)
        await queue.bind(EXCHANGE, routing_key="job.completed")

        await publish(aggregator, "job.completed")

        message = await queue.get(timeout=10)
        assert message is not None
        await message.ack()


@pytest.mark.parametrize("key", ["#", "*.*", "prediction.succeeded", "upload.received"])
async def test_another_team_hears_nothing_of_the_provider_and_no_orders(
    channel_of: Channel, key: str
) -> None:
    async with channel_of("subscriber") as channel:
        queue = await channel.declare_queue("subscriber.shop", durable=True)

        with pytest.raises(ChannelAccessRefused):
            await queue.bind(EXCHANGE, routing_key=key)


async def test_another_teams_queue_cannot_dead_letter_into_ours(channel_of: Channel) -> None:
    async with channel_of("subscriber") as channel:
        with pytest.raises(ChannelAccessRefused):
            await channel.declare_queue(
                "subscriber.back_door",
                durable=True,
                arguments={
                    "x-dead-letter-exchange": EXCHANGE,
                    "x-dead-letter-routing-key": "job.completed",
                },
            )


async def test_a_forgotten_queue_of_another_team_is_bounded(
    stack: Isolation, channel_of: Channel
) -> None:
    async with channel_of("subscriber") as channel:
        await channel.declare_queue("subscriber.forgotten", durable=True)
        # A bound below what is asked for is the policy at work.
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed):
            await channel.declare_queue(
                "subscriber.forgotten", durable=True, arguments={"x-max-length": 10**9}
            )


async def test_the_autoscaler_counts_messages_without_a_single_right(
    channel_of: Channel,
) -> None:
    async with channel_of("keda") as channel:
        declared = await channel.declare_queue("darkroom.storage.outputs", passive=True)

        assert declared.declaration_result.message_count is not None


async def test_the_topology_is_applied_by_its_own_account(
    stack: Isolation, bare_amqp_url: str
) -> None:
    await asyncio.to_thread(create_users, stack.environment() | {"AMQP_URL": bare_amqp_url})
    url = as_party(bare_amqp_url, "topology")

    assert len(await apply(url)) == len(QUEUES) + 1
    assert await apply(url) == []


def test_the_command_makes_users_that_have_a_password_and_leaves_the_others(
    stack: Isolation, bare_amqp_url: str, tmp_path: Path
) -> None:
    # Accounts are the whole broker's: with another password the tests beside this one were shut out.
    password = urlsplit(as_party(bare_amqp_url, "publisher")).password or ""
    (tmp_path / "publisher").write_text(password)
    environment = {
        "AMQP_URL": bare_amqp_url,
        "AMQP_MANAGEMENT_URL": stack.environment()[MANAGEMENT],
    }
    command = ["topology", "users", "--apply", "--passwords", str(tmp_path)]

    done = CliRunner().invoke(app, command, env=environment)

    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == ["darkroom_publisher may do what the table says"]
    assert password not in done.output


async def test_a_wrong_password_opens_nothing(vhost: str) -> None:
    url = as_party(vhost, "storage").replace("darkroom_storage:", "darkroom_storage:x")

    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(url)
