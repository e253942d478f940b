"""``darkroom doctor`` and ``darkroom env`` beside a running system."""

import asyncio
import shlex
import subprocess
import sys

import pytest

from deploy.local.stack.processes import PATH
from tests.support.operator import Said, darkroom
from tests.support.waiting import eventually
from tests.support.world import World


@pytest.mark.timeout(600)
async def test_the_doctor_finds_a_running_system_well_and_names_what_nobody_listens_to(
    world: World,
) -> None:
    async def doctor() -> Said:
        return await darkroom(world, "doctor")

    await eventually("all is well", doctor, holds=lambda said: said.code == 0, within=120)
    world.system.child("storage").kill()
    try:
        missed = "nobody listens to darkroom.storage.outputs"
        await eventually(
            "storage is missed",
            doctor,
            holds=lambda said: said.code == 1 and missed in said.out,
            within=120,
        )
    finally:
        world.system.start("storage")
        world.system.wait_ready("storage")


async def test_other_programs_get_the_variables_of_the_system_that_runs_here(world: World) -> None:
    here = {"DARKROOM_HOME": str(world.system.root), "PATH": PATH}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.cli", "env"],
        env=here,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    told = [shlex.split(line) for line in ended.stdout.splitlines()]
    assert {word for word, _ in told} == {"export"}
    layout = world.system.layout
    assert dict(pair.split("=", 1) for _, pair in told) == {
        **layout.environment(),
        "DARKROOM_URL": layout.api_url,
    }
