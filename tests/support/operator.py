"""``darkroom`` as an operator types it, against the running system."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.world import World


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str


async def darkroom(
    world: World, *typed: str, within: float = 120.0, home: Path | None = None
) -> Said:
    """Run one command with the installation's variables and nothing of ours; ``home`` is where it
    may lay files of its own."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.cli", *typed],
        env=world.system.layout.environment() | ({"DARKROOM_HOME": str(home)} if home else {}),
        capture_output=True,
        text=True,
        timeout=within,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)
