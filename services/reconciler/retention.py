"""Keep things so long and no longer, each by its own setting: files, bodies, whole jobs.

Nothing in the bucket is deleted unless a setting says so (``docs/decisions/0022``). Every round does
a bounded part; what is left is the next round's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.reconciler.rounds import some_at_once
from shared.clock import Clock
from shared.db import retention
from shared.db.connection import Database
from shared.db.retention import KINDS, ORPHANS, File, Kind
from shared.objects import Bucket, ObjectInfo

log = structlog.get_logger()

JOBS = "jobs/"
FILES_TOGETHER = 200
AT_ONCE = 8  # no more than the bucket's client has links for
ROWS_TOGETHER = 1000
JOBS_TOGETHER = 50
LISTED_TOGETHER = 1000  # keys that are held against the rows at a time
LONGEST_S = 20.0  # of one part of one round


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long each thing is kept; None: for ever. ``orphans`` are objects below ``jobs/`` that no
    row has, by their own age; all others count from the end of their job, or their record."""

    files: Mapping[Kind, timedelta | None] = field(default_factory=dict)
    jobs: timedelta | None = None
    orphans: timedelta | None = None
    bodies: timedelta | None = None
    dead: timedelta | None = None
    tombstones: timedelta | None = None

    @property
    def deletes_objects(self) -> bool:
        """Whether anything of it touches the bucket."""
        return any(kept is not None for kept in (*self.files.values(), self.jobs, self.orphans))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    database: Database
    bucket: Bucket
    kept: Kept
    now: Clock

    async def run_once(self) -> dict[str, int]:
        """Delete what is past its time, the largest first: whole jobs, files, orphans, bodies."""
        return {
            "jobs_deleted": await self._as_long_as(self.kept.jobs, self._jobs),
            **{
                f"{kind}_files_deleted": await self._files(kind, self.kept.files.get(kind))
                for kind in KINDS
            },
            "orphans_deleted": await self._orphans(),
            "bodies_cleared": await self._rows(self.kept.bodies, retention.clear_bodies),
            # Who keeps jobs for ever keeps what nobody could place, too: it may find its job.
            "strangers_forgotten": await self._rows(self.kept.jobs, retention.forget_strangers),
            "dead_forgotten": await self._rows(self.kept.dead, retention.forget_dead),
            "tombstones_forgotten": await self._rows(
                self.kept.tombstones, retention.forget_tombstones
            ),
        }

    # ---- rows

    async def _rows(
        self, kept: timedelta | None, forget: Callable[..., Awaitable[int | None]]
    ) -> int:
        """Part after part, each in a transaction of its own."""

        async def part(before: datetime) -> int | None:
            async with self.database.transaction() as tx:
                return await forget(tx, before=before, limit=ROWS_TOGETHER)

        return await self._as_long_as(kept, part)

    async def _as_long_as(
        self, kept: timedelta | None, part: Callable[[datetime], Awaitable[int | None]]
    ) -> int:
        """How much ``part`` did, asked again and again until it says None or the time is over."""
        if kept is None:
            return 0
        before, done = self.now() - kept, 0
        clock = asyncio.get_running_loop().time
        until = clock() + LONGEST_S
        while clock() < until:
            some = await part(before)
            if some is None:
                break
            done += some
        return done

    # ---- files

    async def _files(self, kind: Kind, kept: timedelta | None) -> int:
        async def part(before: datetime) -> int | None:
            async with self.database.connection() as db:
                files = await retention.files_past(db, kind, before=before, limit=FILES_TOGETHER)
            if not files:
                return None
            await self._delete(files)
            async with self.database.transaction() as tx:
                await retention.mark_deleted(tx, files)
            return len(files)

        return await self._as_long_as(kept, part)

    async def _delete(self, files: list[File]) -> None:
        await some_at_once(AT_ONCE, [_deletion(self.bucket, file.key) for file in files])

    async def _orphans(self) -> int:
        """Go on through the bucket where the last round ended, and begin again at its end."""
        if self.kept.orphans is None:
            return 0
        older = self.now() - self.kept.orphans
        async with self.database.connection() as db:
            at = await retention.mark(db, ORPHANS)
        clock = asyncio.get_running_loop().time
        until, deleted = clock() + LONGEST_S, 0
        listed: list[ObjectInfo] = []
        async for info in self.bucket.list(JOBS, after=at):
            listed.append(info)
            if len(listed) == LISTED_TOGETHER:
                deleted += await self._orphans_among(listed, older)
                at, listed = info.key, []
                if clock() > until:
                    break
        else:
            deleted += await self._orphans_among(listed, older)
            at = ""
        async with self.database.connection() as db:
            await retention.set_mark(db, ORPHANS, at)
        return deleted

    async def _orphans_among(self, listed: list[ObjectInfo], older: datetime) -> int:
        old = [
            File(job_id, info.key)
            for info in listed
            if info.modified_at is not None
            and info.modified_at < older
            and (job_id := _job_of(info.key)) is not None
        ]
        if not old:
            return 0
        async with self.database.connection() as db:
            orphans = await retention.orphans_among(db, old)
        await self._delete(orphans)
        for orphan in orphans:
            log.info("orphan.deleted", job_id=str(orphan.job_id), key=orphan.key)
        return len(orphans)

    # ---- whole jobs

    async def _jobs(self, before: datetime) -> int | None:
        async with self.database.connection() as db:
            past = await retention.jobs_past(db, before=before, limit=JOBS_TOGETHER)
        for job_id in past:
            await self._bury(job_id)
        return len(past) or None

    async def _bury(self, job_id: UUID) -> None:
        """First what lies in its folder, then its timeline part by part, then the job itself: who
        dies in between finds it again."""
        lying = [File(job_id, info.key) async for info in self.bucket.list(f"{JOBS}{job_id}/")]
        await self._delete(lying)
        while True:
            async with self.database.transaction() as tx:
                forgotten = await retention.forget_story(tx, job_id, limit=ROWS_TOGETHER)
            if forgotten < ROWS_TOGETHER:
                break
        async with self.database.transaction() as tx:
            buried = await retention.bury(tx, job_id)
        if buried:
            log.info("job.deleted", job_id=str(job_id), files=len(lying))


def _deletion(bucket: Bucket, key: str) -> Callable[[], Awaitable[None]]:
    return lambda: bucket.delete(key)


def _job_of(key: str) -> UUID | None:
    try:
        return UUID(key.split("/")[1])
    except (ValueError, IndexError):
        return None  # nobody's folder: it is not ours to judge
