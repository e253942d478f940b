"""``kill -9`` between two durable steps: the service comes back, and its job ends as if nothing had
happened.

A plain run visits one point of each service. ``--crash-times=30`` visits every point thirty times.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from deploy.local.prove.crash_points import KINDS, POINTS, CrashPoint, point
from deploy.local.stack import Isolation
from deploy.local.system import System
from tests.support.crashing import IMPATIENT, all_at_work, crash
from tests.support.running import a_system, eyes_on
from tests.support.world import World

# The dearest moment of each service.
A_SAMPLE = (
    "ingress: webhook confirmed by the broker, not answered",
    "generator: prediction created, its answer not written",
    "generator: file copied, its job not planned",
    "storage: all files put, no row written",
    "aggregator: end committed, the closing not acknowledged",
    "report: page put, its job without it",
    "reconciler: answer told, not committed",
    "api: order committed, not answered",
    "api: retry committed, not answered",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    times = metafunc.config.getoption("--crash-times")
    points = POINTS if times else [point(name) for name in A_SAMPLE]
    visits = [(where, time) for where in points for time in range(1, max(times, 1) + 1)]
    metafunc.parametrize(
        ("where", "time"), visits, ids=[f"{where.name} #{time}" for where, time in visits]
    )


@pytest.fixture(scope="module")
def crashing_system(stack: Isolation, template_database: str) -> Iterator[System]:
    with a_system(stack, template_database, options=IMPATIENT) as system:
        yield system


@pytest_asyncio.fixture
async def crashing(crashing_system: System) -> AsyncIterator[World]:
    """Eyes on a system of which everything runs as a test begins."""
    async with eyes_on(crashing_system) as world:
        yield world
        await world.behave()
        all_at_work(world)


@pytest.mark.timeout(900)
async def test_a_service_killed_at_a_crash_point_comes_back_and_its_job_ends_right(
    crashing: World, where: CrashPoint, time: int
) -> None:
    job, verdict = await crash(crashing, where)

    assert job["state"] == KINDS[where.kind].ends, job["reason"]
    assert verdict.clean, verdict
