"""The bell: nobody who waits for work sleeps through a ring."""

import asyncio

from shared.db.connection import Bell


async def test_a_ring_wakes_everybody_who_waits() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(30)) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0)

    bell.ring()

    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [True, True, True]


async def test_a_ring_before_the_wait_ends_it_at_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()

    async with asyncio.timeout(5):
        assert await bell.wait(30)


async def test_a_ring_is_answered_once() -> None:
    bell = Bell()
    bell.ring()
    await bell.wait(0)

    assert not await bell.wait(0)


async def test_silence_ends_the_wait_with_false() -> None:
    assert not await Bell().wait(0.01)


async def test_a_ring_during_the_work_ends_the_next_wait_at_once() -> None:
    bell = Bell()
    bell.ring()
    await bell.wait(0)

    bell.ring()

    async with asyncio.timeout(5):
        assert await bell.wait(30)


async def test_a_ring_that_meets_a_canceled_wait_is_not_lost() -> None:
    bell = Bell()
    canceled = asyncio.create_task(bell.wait(30))
    await asyncio.wait([canceled], timeout=0)
    bell.ring()
    canceled.cancel()
    await asyncio.wait([canceled])

    async with asyncio.timeout(5):
        assert await bell.wait(30)
