"""F19: a disk that is full, nothing left to open, every connection taken, a row that is locked.

The parts stand on small disks of their own (tmpfs), so this needs the right to mount.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import psutil

from deploy.local.logins import create_roles
from deploy.local.stack import Stack
from deploy.local.stack.part import Part
from shared.clock import utc_now
from shared.db.migrate import migrate
from tests.matrix.ground import Ground
from tests.matrix.promises import Promise, at_most, none, told
from tests.matrix.whole import a_world, all_ended, judged, order, pids
from tests.support.stack import PREFIX, TOOLS
from tests.support.waiting import a_pause
from tests.support.world import World

JOBS = 3
FOR_S = 10.0
LOCKED_FOR_S = 60.0
SETTLES_WITHIN_S = 300.0
SMALL_MIB = {"rabbitmq": 192, "postgres": 384, "s3": 384}
TEMPLATE = "matrix_template"
CANNOT_MOUNT = "no right to mount a small disk here"

# In it the fault lasts; after it everything can go on.
Trouble: TypeAlias = Callable[[World], AbstractAsyncContextManager[None]]


async def disk_of_the_broker(_ground: Ground, times: int) -> list[Promise]:
    return await _on_a_small_disk("rabbitmq", times)


async def disk_of_the_database(_ground: Ground, times: int) -> list[Promise]:
    return await _on_a_small_disk("postgres", times)


async def disk_of_the_bucket(_ground: Ground, times: int) -> list[Promise]:
    return await _on_a_small_disk("s3", times)


async def nothing_left_to_open(ground: Ground, times: int) -> list[Promise]:
    """No service may open another file or socket."""
    return await _troubled(ground, times, _no_descriptors)


async def every_connection_taken(ground: Ground, times: int) -> list[Promise]:
    """Each connection of each pool waits for a table that somebody holds."""
    return await _troubled(ground, times, _pool_taken)


async def row_locked(ground: Ground, times: int) -> list[Promise]:
    """Somebody holds the rows of the jobs for a minute."""
    return await _troubled(ground, times, _rows_locked)


async def _on_a_small_disk(name: str, times: int) -> list[Promise]:
    """Not a byte is left on the disk of one part, which is started again if it ends for that."""
    died = 0
    try:
        async with _a_stack(name) as stack:
            part = _part(stack, name)

            @asynccontextmanager
            async def full(_world: World) -> AsyncIterator[None]:
                nonlocal died
                async with _full(part):
                    yield
                if not part.running:
                    died += 1
                    await asyncio.to_thread(part.start)

            promises = await _troubled(Ground(stack=stack, template=TEMPLATE), times, full)
    except PermissionError:
        return [Promise(what="it can run here", measured=CANNOT_MOUNT, kept=False)]
    return [*promises, told("times that the part itself ended for it", died)]


async def _troubled(ground: Ground, times: int, trouble: Trouble) -> list[Promise]:
    jobs: list[UUID] = []
    settled: list[float] = []
    async with a_world(ground.stack, ground.template, {"LOG_LEVEL": "WARNING"}) as world:
        began, first = utc_now(), pids(world)
        for _ in range(times):
            jobs += await order(world, JOBS)
            async with trouble(world):
                ordering = asyncio.create_task(_order_whatever_happens(world, jobs))
                await a_pause(FOR_S)
            since = time.monotonic()
            await ordering
            await all_ended(world, jobs)
            settled.append(time.monotonic() - since)
        restarts = [name for name, pid in pids(world).items() if first.get(name) != pid]
        promises = await judged(world, jobs, since=began)
    return [
        *promises,
        none("service that had to be started again", restarts),
        at_most("settled", SETTLES_WITHIN_S, max(settled)),
    ]


async def _order_whatever_happens(world: World, jobs: list[UUID]) -> None:
    """More orders meanwhile, as long as it takes until the broker takes them."""
    jobs += await order(world, JOBS)


# ---- the troubles


@asynccontextmanager
async def _full(part: Part) -> AsyncIterator[None]:
    ballast = part.directory / "ballast"
    await asyncio.to_thread(_fill, ballast)
    try:
        yield
    finally:
        ballast.unlink()


def _fill(ballast: Path) -> None:
    for size in (1 << 20, 1 << 12, 1):
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * size)


@asynccontextmanager
async def _no_descriptors(world: World) -> AsyncIterator[None]:
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids(world).values()}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds(), hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@asynccontextmanager
async def _pool_taken(world: World) -> AsyncIterator[None]:
    connection = await asyncpg.connect(world.system.layout.parts["DATABASE_URL"])
    try:
        async with asyncio.timeout(60):
            while not await _taken(connection):
                pass
        yield
    finally:
        await connection.close()  # and with it what it held


async def _taken(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Whether every table could be taken: whoever works on two of them may be in the way."""
    await connection.execute("BEGIN")
    try:
        await connection.execute("LOCK TABLE job, slot, prediction, journal, parked_message")
    except asyncpg.DeadlockDetectedError:
        await connection.execute("ROLLBACK")
        return False
    return True


@asynccontextmanager
async def _rows_locked(world: World) -> AsyncIterator[None]:
    connection = await asyncpg.connect(world.system.layout.parts["DATABASE_URL"])
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT 1 FROM job WHERE ended_at IS NULL ORDER BY id FOR UPDATE"
            )
            await connection.execute("SELECT 1 FROM slot WHERE counted_at IS NULL FOR UPDATE")
            yield
            await a_pause(max(0.0, LOCKED_FOR_S - FOR_S))
    finally:
        await connection.close()


# ---- the stack


@asynccontextmanager
async def _a_stack(small: str) -> AsyncIterator[Stack]:
    """Parts of its own, one of them on a small disk; migrated, as a template."""
    root = Path(tempfile.mkdtemp(prefix=PREFIX))
    stack = Stack(root, throwaway=True, owner=os.getpid(), tools=TOOLS)
    try:
        await asyncio.to_thread(_laid_out, stack, small)
        yield stack
    finally:
        await asyncio.to_thread(_removed, stack, small)


def _laid_out(stack: Stack, small: str) -> None:
    stack.root.chmod(0o755)
    stack.up()
    _move_to_a_small_disk(_part(stack, small), SMALL_MIB[small])
    url = stack.create_database(TEMPLATE)
    migrate(url)
    create_roles(url)


def _removed(stack: Stack, small: str) -> None:
    disk = _part(stack, small).directory
    stack.down()
    if disk.is_mount():
        subprocess.run(["umount", "-l", str(disk)], check=True)
    stack.nuke()
    shutil.rmtree(stack.root, ignore_errors=True)


def _part(stack: Stack, name: str) -> Part:
    parts: dict[str, Part] = {
        "rabbitmq": stack.rabbitmq,
        "postgres": stack.postgres,
        "s3": stack.s3,
    }
    return parts[name]


def _move_to_a_small_disk(part: Part, mib: int) -> None:
    """Put the part's directory on a disk of its own. Raises PermissionError."""
    part.end_kindly()
    home, aside = part.directory, part.directory.with_name(f"{part.name}.aside")
    home.rename(aside)
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        home.rmdir()
        aside.rename(home)
        part.start()
        raise PermissionError(CANNOT_MOUNT)
    owner = aside.stat()
    os.chown(home, owner.st_uid, owner.st_gid)
    home.chmod(owner.st_mode & 0o7777)
    subprocess.run(["cp", "-a", f"{aside}/.", str(home)], check=True)
    shutil.rmtree(aside)
    part.start()
