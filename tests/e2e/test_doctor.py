"""``darkroom doctor`` and ``darkroom env`` beside a running system."""

import asyncio
import shlex
import subprocess
import sys

from deploy.local.stack.processes import PATH
from tests.support.operator import darkroom
from tests.support.waiting import eventually
from tests.support.world import World


async def test_the_doctor_finds_a_running_system_well_and_names_what_nobody_listens_to(
    world: World,
) -> None:
    async def well() -> bool:
        return (await darkroom(world, "doctor")).code == 0

    await eventually("all is well", well, within=60)
    world.system.child("storage").kill()
    try:

        async def missed() -> bool:
            done = await darkroom(world, "doctor")
            return done.code == 1 and "nobody listens to darkroom.storage.outputs" in done.out

        await eventually("storage is missed", missed, within=60)
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
