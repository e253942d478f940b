"""Another team's service, by the README alone: its examples are taken from the page and run."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support import photos
from tests.support.waiting import eventually
from tests.support.world import World

ROOT = Path(__file__).parents[2]
AMQPLIB = "amqplib@0.10.9"


def example(name: str) -> str:
    """The code block that stands below ``<!-- example: name -->``."""
    found = re.search(
        rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    assert found, f"the README has no example {name}"
    return found[1]


def environment(world: World) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": "/nonexistent", **world.system.layout.parts}


@asynccontextmanager
async def running(
    *command: str, at: Path, env: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard_of(process: asyncio.subprocess.Process, job_id: UUID) -> list[str]:
    """The facts that a listener prints of one job, until its report is published."""
    assert process.stdout is not None
    facts: list[str] = []
    async with asyncio.timeout(60):
        while "report.published" not in facts:
            line = (await process.stdout.readline()).decode()
            assert line, f"the listener ended: {facts}"
            if str(job_id) in line:
                facts.append(line.split()[0])
    return facts


async def output_of(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode().strip()


async def listening(world: World, queue: str) -> None:
    async def consumers() -> int:
        return await world.consumers_of(queue)

    await eventually(f"somebody listens on {queue}", consumers)


@pytest.mark.system("W1")
async def test_w1_ten_lines_of_python_order_a_job_and_hear_its_end(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "order.py").write_text(example("order.py"))
    (tmp_path / "listen.py").write_text(example("listen.py"))
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())
    env = environment(world)

    async with running(sys.executable, "listen.py", at=tmp_path, env=env) as listener:
        await listening(world, "ours.darkroom")
        async with running(sys.executable, "order.py", at=tmp_path, env=env) as order:
            job_id = UUID(await output_of(order))
        facts = await heard_of(listener, job_id)

    assert facts == ["job.completed", "report.published"]
    # Ten lines each, the imports and the blank beside.
    assert len(example("order.py").splitlines()) <= 12
    assert len(example("listen.py").splitlines()) <= 12


@pytest.mark.system("W1")
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="Node is not here")
async def test_w1_ten_lines_of_node_order_a_job_and_hear_its_end(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "order.mjs").write_text(example("order.mjs"))
    (tmp_path / "listen.mjs").write_text(example("listen.mjs"))
    with_npm = dict(os.environ)  # noqa: TID251 - npm reads its own settings from there
    async with running(
        "npm", "install", "--no-fund", "--no-audit", AMQPLIB, at=tmp_path, env=with_npm
    ) as npm:
        await output_of(npm)
    node = shutil.which("node") or "node"
    job_id = uuid4()
    key = f"jobs/{job_id}/original/photo.jpg"
    await world.bucket.put(key, photos.a_photo(), content_type="image/jpeg")

    async with running(node, "listen.mjs", at=tmp_path, env=environment(world)) as listener:
        await listening(world, "ours.darkroom.node")
        async with running(node, "order.mjs", key, at=tmp_path, env=environment(world)) as order:
            await output_of(order)
        facts = await heard_of(listener, job_id)

    assert facts == ["job.completed", "report.published"]
