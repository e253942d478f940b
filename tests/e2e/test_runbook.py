"""Whatever a page of the runbook tells to type works: each line is run against the running system."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import photos
from tests.support.operator import darkroom
from tests.support.signing import signed
from tests.support.waiting import eventually
from tests.support.world import World

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook"
PAGES = sorted(RUNBOOK.glob("*.md"))
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# They say by their code what they found; 2 is "could not be asked", and never well.
TELLS = ("darkroom audit", "darkroom doctor", "darkroom status")


def lines(page: Path) -> list[str]:
    return [line for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]


async def a_dead_message(world: World) -> str:
    """The id of a message that waits for a person: genuine news of somebody else's prediction."""
    stranger = f"z{uuid4().hex[:25]}"
    body = json.dumps({"id": stranger, "status": "failed", "output": None}).encode()
    await world.webhook(body, headers=signed(body, world.system.layout.webhook_secret))

    async def parked() -> list[dict[str, object]]:
        return await world.dead(stranger)

    [dead, *_] = await eventually("it is parked", parked)
    return str(dead["id"])


async def what_is_looked_at(world: World) -> dict[str, str]:
    """The variables that a page's commands speak of."""
    job_id = await world.order(photos.a_photo(), params={"count": 1})
    await world.reported(job_id)
    webhooks = json.loads((await darkroom(world, "webhooks", "list", "--json")).out)
    url = world.system.layout.health_url
    return {
        "JOB": str(job_id),
        "MESSAGE": await a_dead_message(world),
        "WEBHOOK": webhooks[0]["id"],
        "INGRESS": url("ingress"),
        "GENERATOR": url("generator"),
        "RECONCILER": url("reconciler"),
        "HEALTH": url("storage"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_every_command_of_a_page_works_on_a_running_system(world: World, page: Path) -> None:
    if page.name == "README.md":
        assert lines(page) == []
        return
    typed = lines(page)
    named = await what_is_looked_at(world)
    environment = {
        **world.system.layout.environment(),
        **named,
        "DARKROOM_HOME": str(world.system.root),
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
    }

    assert typed
    for line in typed:
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", line],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        well = (0, 1) if line.startswith(TELLS) else (0,)
        assert done.returncode in well, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"{line} says nothing\n{done.stderr}"
