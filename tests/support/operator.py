"""``darkroom`` as an operator types it, against the running system."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass

from tests.support.world import World


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


async def darkroom(world: World, *typed: str, within: float = 120.0) -> Said:
    """Run one command with the installation's variables and nothing of ours."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.cli", *typed],
        env=world.system.layout.environment(),
        capture_output=True,
        text=True,
        timeout=within,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)
