"""A service's life: together up, together down, and no end goes unnoticed."""

import asyncio

import pytest

from shared.runtime import run


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
