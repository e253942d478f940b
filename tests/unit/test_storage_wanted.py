"""Slow work goes on for as long as it is wanted, and no longer."""

import asyncio
from datetime import timedelta

import pytest

from services.storage.wanted import while_wanted
from shared.errors import DatabaseUnavailable, Transient

OFTEN = timedelta(milliseconds=5)
SELDOM = timedelta(seconds=60)


class Slow:
    """Work that ends when it is let go, and knows how it ended."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.stopped = False

    async def do(self) -> str:
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return "done"


async def test_quick_work_costs_no_question() -> None:
    async def quick() -> str:
        return "done"

    async def never_asked() -> bool:
        raise AssertionError("it was asked")

    assert await while_wanted(quick(), never_asked, look_every=SELDOM) == "done"


async def test_work_that_nobody_wants_any_more_is_stopped() -> None:
    slow = Slow()
    answers = iter([True, True, False])

    async def wanted() -> bool:
        return next(answers)

    assert await while_wanted(slow.do(), wanted, look_every=OFTEN) is None
    assert slow.stopped


async def test_work_goes_on_where_nobody_can_say_whether_it_is_wanted() -> None:
    slow = Slow()
    asked = 0

    async def away() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            slow.let_go.set()
        raise DatabaseUnavailable("it is away")

    assert await while_wanted(slow.do(), away, look_every=OFTEN) == "done"


async def test_what_the_work_raises_is_raised() -> None:
    async def fails() -> str:
        raise Transient("the host is away")

    async def wanted() -> bool:
        return True

    with pytest.raises(Transient, match="the host is away"):
        await while_wanted(fails(), wanted, look_every=OFTEN)


async def test_who_is_cancelled_takes_the_work_along() -> None:
    slow = Slow()
    asked = asyncio.Event()

    async def wanted() -> bool:
        asked.set()
        return True

    task = asyncio.create_task(while_wanted(slow.do(), wanted, look_every=OFTEN))
    await asked.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.stopped
