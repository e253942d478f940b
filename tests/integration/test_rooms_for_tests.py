"""Each test has a database, a virtual host and a bucket to itself, on parts that all share."""

from datetime import UTC, datetime

import aio_pika
import asyncpg
import pytest

from deploy.local.stack import Isolation, sigv4


@pytest.mark.parametrize("who", ["one", "another"])
async def test_a_database_begins_empty_whoever_wrote_in_his_own_before(
    bare_database_url: str, who: str
) -> None:
    connection = await asyncpg.connect(bare_database_url)
    try:
        await connection.execute("CREATE TABLE note (who text)")
        await connection.execute("INSERT INTO note VALUES ($1)", who)

        assert await connection.fetchval("SELECT count(*) FROM note") == 1
    finally:
        await connection.close()


@pytest.mark.parametrize("who", ["one", "another"])
async def test_a_virtual_host_begins_without_queues_whoever_declared_some_before(
    bare_amqp_url: str, who: str
) -> None:
    connection = await aio_pika.connect(bare_amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            "notes", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await channel.default_exchange.publish(aio_pika.Message(who.encode()), "notes")

        message = await queue.get(timeout=10)

    assert message.body == who.encode()


@pytest.mark.parametrize("who", ["one", "another"])
def test_a_bucket_takes_the_first_file_of_a_name_whoever_used_that_name_before(
    bucket: dict[str, str], who: str
) -> None:
    status = sigv4.send(
        "PUT",
        bucket["S3_ENDPOINT_URL"],
        f"/{bucket['S3_BUCKET']}/notes/{who}",
        access_key=bucket["AWS_ACCESS_KEY_ID"],
        secret_key=bucket["AWS_SECRET_ACCESS_KEY"],
        region=bucket["AWS_DEFAULT_REGION"],
        now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
        body=who.encode(),
    )

    assert status == 200


@pytest.mark.parametrize("who", ["one", "another"])
async def test_a_migrated_database_has_the_tables_and_no_rows(database_url: str, who: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        before = await connection.fetchval("SELECT count(*) FROM job")
        await connection.execute("DROP TABLE journal")
    finally:
        await connection.close()

    assert before == 0


@pytest.mark.parametrize("who", ["one", "another"])
async def test_a_virtual_host_with_the_topology_takes_our_facts(amqp_url: str, who: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("darkroom")
        queue = await channel.get_queue("darkroom.storage.outputs")

        await exchange.publish(aio_pika.Message(who.encode()), "prediction.succeeded")
        message = await queue.get(timeout=10)

    assert message.body == who.encode()


def test_the_environment_names_all_that_the_services_read(stack: Isolation) -> None:
    expected = {"AMQP_URL", "DATABASE_URL", "S3_ENDPOINT_URL", "S3_BUCKET"}
    expected |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}

    assert expected <= set(stack.environment())
