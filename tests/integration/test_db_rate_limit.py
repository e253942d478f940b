"""One bucket of tokens for all replicas, on the database's clock."""

import asyncio
import time
from datetime import timedelta

import pytest

from shared.db import rate_limit
from shared.db.connection import Connection, Database
from shared.db.rate_limit import CREATES
from tests.support.locks import somebody_waits_for_a_lock

SECOND = timedelta(seconds=1)


async def take(database: Database, *, per_minute: int = 60, share: float = 1.0) -> timedelta | None:
    async with database.connection() as connection:
        return await rate_limit.take(connection, CREATES, per_minute=per_minute, share=share)


async def drain(database: Database, *, per_minute: int = 60, share: float = 1.0) -> int:
    """How many tokens are there at once."""
    taken = 0
    while await take(database, per_minute=per_minute, share=share) is None:
        taken += 1
        assert taken < 1000
    return taken


class Flow:
    """How many tokens flowed in by themselves while a test looked (60 a minute)."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def most(self) -> float:
        return 1 + (time.monotonic() - self._began) * 50 / 60


async def let_pass(database: Database, time: timedelta) -> None:
    """Turn the bucket's own times back, which is as if time had passed."""
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE rate_limit SET refilled_at = refilled_at - $1::interval,"
            " slowed_at = slowed_at - $1::interval, paused_until = paused_until - $1::interval",
            time,
        )


async def test_a_burst_is_bounded_and_then_the_wait_is_told(database: Database) -> None:
    flow = Flow()

    assert 10 <= await drain(database) <= 10 + flow.most

    wait = await take(database)

    assert wait is not None
    assert timedelta(0) < wait <= 2 * SECOND


async def test_no_minute_sees_more_than_the_limit(database: Database) -> None:
    flow = Flow()
    burst = await drain(database)
    taken = burst
    for _ in range(59):
        await let_pass(database, SECOND)
        taken += await drain(database)

    assert burst > 1
    assert 50 <= taken < 60 + flow.most


async def test_a_rested_bucket_holds_no_more_than_its_burst(database: Database) -> None:
    await drain(database)

    await let_pass(database, timedelta(days=1))

    flow = Flow()
    assert 10 <= await drain(database) <= 10 + flow.most


@pytest.mark.parametrize("per_minute", [1, 2, 6])
async def test_the_smallest_limits_still_flow(database: Database, per_minute: int) -> None:
    assert await drain(database, per_minute=per_minute) == 1

    await let_pass(database, timedelta(minutes=2))

    assert await drain(database, per_minute=per_minute, share=0.5) == 1


async def test_takers_at_once_never_take_a_token_twice(database: Database) -> None:
    flow = Flow()

    taken = await asyncio.gather(*(take(database) for _ in range(40)))

    assert 10 <= sum(wait is None for wait in taken) <= 10 + flow.most


async def test_a_taker_waits_for_the_one_before_it_and_sees_what_that_left(
    database: Database,
) -> None:
    async def take_one(tx: Connection) -> timedelta | None:
        # A minute has to pass for another token to flow in.
        return await rate_limit.take(tx, CREATES, per_minute=2, burst=10)

    async def take_later() -> timedelta | None:
        async with database.transaction() as tx:
            return await take_one(tx)

    assert await take_later() is None
    async with database.transaction() as tx:
        assert await take_one(tx) is None
        later = asyncio.create_task(take_later())
        await somebody_waits_for_a_lock(database)

    assert await later is None
    async with database.connection() as connection:
        left = await connection.fetchval("SELECT tokens FROM rate_limit")
    assert 7 <= left < 8


async def test_a_smaller_share_leaves_the_rest_to_others(database: Database) -> None:
    flow = Flow()
    modest = await drain(database, share=0.8)
    rest = await drain(database)

    assert 8 <= modest <= 8 + flow.most
    assert rest >= 1


async def test_after_a_429_nothing_is_granted_until_its_time(database: Database) -> None:
    await take(database)
    async with database.connection() as connection:
        await rate_limit.throttled(connection, CREATES, 30 * SECOND)

    wait = await take(database)

    assert wait is not None
    assert 30 * SECOND <= wait <= 33 * SECOND
    await let_pass(database, wait)
    assert await take(database) is None


async def test_a_429_slows_the_flow_and_time_makes_it_whole(database: Database) -> None:
    await drain(database)
    for _ in range(3):
        async with database.connection() as connection:
            await rate_limit.throttled(connection, CREATES, SECOND)

    slow = await take(database)
    assert slow is not None
    # Three at once are one spell: the flow halves, from 50 tokens a minute to 25.
    assert 3 * SECOND < slow <= 3.5 * SECOND

    await let_pass(database, rate_limit.GROWS_BACK_IN)
    await drain(database)
    whole = await take(database)
    assert whole is not None
    assert whole <= 1.2 * SECOND


async def test_repeated_429s_slow_the_flow_down_to_what_a_poor_account_gets(
    database: Database,
) -> None:
    await take(database)
    for _ in range(12):
        async with database.connection() as connection:
            await rate_limit.throttled(connection, CREATES, SECOND)
        await let_pass(database, SECOND)

    wait = await take(database, per_minute=600)

    assert wait is not None
    assert timedelta(seconds=5) < wait <= timedelta(seconds=13)


async def test_a_paused_account_grants_nothing_until_the_pause_is_over(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await rate_limit.pause(connection, CREATES, lasting=5 * SECOND, reason="402: no credit")
        pause = await rate_limit.paused(connection, CREATES)

    wait = await take(database)

    assert pause is not None
    assert pause.reason == "402: no credit"
    assert wait is not None
    assert 4 * SECOND < wait <= 5 * SECOND
    await let_pass(database, 5 * SECOND)
    async with database.connection() as connection:
        assert await rate_limit.paused(connection, CREATES) is None
    assert await take(database) is None


async def test_a_shorter_pause_does_not_end_a_longer_one(database: Database) -> None:
    async with database.connection() as connection:
        await rate_limit.pause(connection, CREATES, lasting=60 * SECOND, reason="401")
        await rate_limit.pause(connection, CREATES, lasting=SECOND, reason="402")

    wait = await take(database)

    assert wait is not None
    assert wait > 50 * SECOND


async def test_an_operator_ends_a_pause_early(database: Database) -> None:
    async with database.connection() as connection:
        assert not await rate_limit.resume(connection, CREATES)
        await rate_limit.pause(connection, CREATES, lasting=60 * SECOND, reason="401")

        assert await rate_limit.resume(connection, CREATES)

    assert await take(database) is None
