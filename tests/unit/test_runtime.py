"""A service's life: together up, together down, and no end goes unnoticed."""

import asyncio

import pytest

from shared.runtime import Last, run


async def test_workers_finish_what_they_have_in_hand_when_stopped() -> None:
    stop, finished = asyncio.Event(), []

    async def worker(stop: asyncio.Event) -> None:
        await stop.wait()
        finished.append("in hand")

    stop.set()
    await run(worker, worker, grace_s=5, stop=stop)

    assert finished == ["in hand", "in hand"]


async def test_one_failure_stops_the_others_and_is_told() -> None:
    others_end = asyncio.Event()

    async def broken(_stop: asyncio.Event) -> None:
        raise LookupError("no such thing")

    async def other(stop: asyncio.Event) -> None:
        await stop.wait()
        others_end.set()

    with pytest.raises(LookupError, match="no such thing"):
        await run(broken, other, grace_s=5)
    assert others_end.is_set()


async def test_a_worker_that_quietly_ends_is_a_failure() -> None:
    async def quiet(_stop: asyncio.Event) -> None:
        return

    with pytest.raises(RuntimeError, match="returned while its service was still running"):
        await run(quiet, grace_s=5)


async def test_whoever_leaves_last_sends_what_the_others_finish() -> None:
    stop, finished = asyncio.Event(), asyncio.Event()
    stated, sent = [], []

    async def working(stop: asyncio.Event) -> None:
        await stop.wait()
        asyncio.get_running_loop().call_later(0.1, finished.set)
        await finished.wait()
        stated.append("a fact")

    async def relaying(stop: asyncio.Event) -> None:
        await stop.wait()
        sent.extend(stated)

    stop.set()
    await run(Last(relaying), working, grace_s=5, stop=stop)

    assert sent == ["a fact"]


async def test_whoever_leaves_last_has_a_moment_also_where_another_hangs() -> None:
    stop, told = asyncio.Event(), asyncio.Event()

    async def stuck(_stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    async def relaying(stop: asyncio.Event) -> None:
        await stop.wait()
        told.set()

    stop.set()
    async with asyncio.timeout(5):
        await run(stuck, Last(relaying), grace_s=0.05, stop=stop)

    assert told.is_set()


async def test_the_drain_has_an_end() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(_stop: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stop.set()
    async with asyncio.timeout(5):
        await run(stuck, grace_s=0.05, stop=stop)

    assert cancelled.is_set()
