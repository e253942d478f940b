"""Whatever a page of the runbook tells to type works: each line is run against the running system."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
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
# Python starts for each.
AT_ONCE = 3
# They say by their code what they found; 3 is "could not be asked", and never well.
TELLS = ("darkroom audit", "darkroom doctor", "darkroom ledger", "darkroom status")


def lines(page: Path) -> list[str]:
    return [line for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]


@pytest.fixture
async def stranger(world: World) -> AsyncIterator[str]:
    """A prediction of somebody else's; nothing about it is left behind."""
    prediction_id = f"z{uuid4().hex[:25]}"
    yield prediction_id
    await world.settled()  # what was brought back has been parked anew
    for row in await world.dead(prediction_id):
        await world.execute("DELETE FROM parked_message WHERE id = $1", row["id"])


async def a_dead_message(world: World, stranger: str) -> str:
    """The id of a message that waits for a person: genuine news of ``stranger``."""
    body = json.dumps({"id": stranger, "status": "failed", "output": None}).encode()
    await world.webhook(body, headers=signed(body, world.system.layout.webhook_secret))

    async def parked() -> list[dict[str, object]]:
        return await world.dead(stranger)

    [dead, *_] = await eventually("it is parked", parked)
    return str(dead["id"])


async def what_is_looked_at(world: World, stranger: str) -> dict[str, str]:
    """The variables that a page's commands speak of."""
    job_id = await world.order(photos.a_photo(), params={"count": 1})
    await world.reported(job_id)
    webhooks = json.loads((await darkroom(world, "webhooks", "list", "--json")).out)
    url = world.system.layout.health_url
    return {
        "JOB": str(job_id),
        "MESSAGE": await a_dead_message(world, stranger),
        "WEBHOOK": webhooks[0]["id"],
        "INGRESS": url("ingress"),
        "GENERATOR": url("generator"),
        "RECONCILER": url("reconciler"),
        "HEALTH": url("storage"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_but_the_index_says_what_to_type(page: Path) -> None:
    assert bool(lines(page)) is (page.name != "README.md")


@pytest.mark.timeout(900)  # some sixty commands, each an interpreter that starts
async def test_every_command_of_the_runbook_works_on_a_running_system(
    world: World, stranger: str
) -> None:
    named = await what_is_looked_at(world, stranger)
    environment = {
        **world.system.layout.environment(),
        **named,
        "DARKROOM_HOME": str(world.system.root),
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
    }
    free = asyncio.Semaphore(AT_ONCE)

    async def complaint(line: str) -> str | None:
        async with free:
            done = await asyncio.to_thread(
                subprocess.run,
                ["/bin/sh", "-c", line],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
        well = (0, 1) if line.startswith(TELLS) else (0,)
        if done.returncode in well and done.stdout.strip():
            return None
        return f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"

    typed = sorted({line for page in PAGES for line in lines(page)})
    looks = [line for line in typed if " replay " not in line]
    # What is brought back is parked anew, under another id: so the one that is named comes first.
    acts = sorted((line for line in typed if " replay " in line), key=lambda x: "$MESSAGE" not in x)
    found = await asyncio.gather(*map(complaint, looks))
    found += [await complaint(line) for line in acts]

    assert [one for one in found if one] == []
