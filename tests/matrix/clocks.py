"""F18: a machine whose clock is ten minutes off, or runs away because nothing sets it any more.

The services' clock is turned by libfaketime (Debian's package ``faketime``): broker, database, bucket
and provider keep the right time, as other machines would.
"""

import asyncio
from pathlib import Path

from shared.clock import utc_now
from tests.matrix.ground import Ground
from tests.matrix.promises import Promise, none, told
from tests.matrix.whole import READY_WITHIN_S, a_world, all_ended, judged, order
from tests.support.waiting import a_pause
from tests.support.world import World

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), Path("/nowhere"))
SITE = Path(__file__).parents[1] / "support" / "faked_clock"
MISSING = "libfaketime is not installed (apt-get install faketime)"
OFF_S = 600
WRONG_FOR_S = 8.0
JOBS = 2
# Whose clock is wrong: of one machine, or of all.
WHO = (("ingress",), ("generator",), ("storage",), ("aggregator", "report"), ("reconciler",), ())


async def set_wrong(ground: Ground, times: int) -> list[Promise]:
    """The clock is set ten minutes off, forwards and back, and right again."""
    return await _wrong(ground, times, steps=(1.0,))


async def run_away(ground: Ground, times: int) -> list[Promise]:
    """Nothing sets the clock any more, and it drifts until it is ten minutes off."""
    return await _wrong(ground, times, steps=tuple(step / 20 for step in range(1, 21)))


async def _wrong(ground: Ground, times: int, *, steps: tuple[float, ...]) -> list[Promise]:
    if not LIBRARY.exists():
        return [Promise(what="it can run here", measured=MISSING, kept=False)]
    began, jobs = utc_now(), []
    async with a_world(ground.stack, ground.template, {"LOG_LEVEL": "WARNING"}) as world:
        await asyncio.to_thread(_with_clocks, world)
        for turn in range(times):
            who = WHO[turn // 2 % len(WHO)] or world.system.services
            sign = 1 if turn % 2 == 0 else -1
            for step in steps:
                for name in who:
                    _turn(world, name, sign * step * OFF_S)
                if step == steps[len(steps) // 2]:
                    jobs += await order(world, JOBS)
                await a_pause(WRONG_FOR_S / len(steps))
            for name in who:
                _turn(world, name, 0)
            await all_ended(world, jobs[-JOBS:])
        answers = [entry for entry in await world.ledger("delivery") if entry["heard"] is False]
        refused = [entry["status"] for entry in answers]
        promises = await judged(world, jobs, since=began)
    return [
        none("genuine webhook that was answered 401", refused.count(401)),
        none("genuine webhook that was answered 400", refused.count(400)),
        *promises,
        told("webhooks that were told to come again (503)", refused.count(503)),
    ]


def _with_clocks(world: World) -> None:
    """Start every service again with a clock that a file turns."""
    for name in world.system.services:
        _turn(world, name, 0)
        world.system.child(name).stop(within=35)
        world.system.start(
            name,
            also=turned_by(_file(world, name)),
        )
    for name in world.system.services:
        world.system.wait_ready(name, within=READY_WITHIN_S)


def turned_by(file: Path) -> dict[str, str]:
    """The variables of a Python whose clock is as many seconds off as ``file`` says."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "PYTHONPATH": str(SITE),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _turn(world: World, name: str, seconds: float) -> None:
    _file(world, name).write_text(f"{seconds:+.0f}\n")


def _file(world: World, name: str) -> Path:
    return world.system.root / f"clock-{name}"
