"""Hold the files on record against the bucket, both ways, some jobs at a time."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from shared.db import audit
from shared.db.connection import Database
from shared.domain.audit import MISSING, NO_JOB, Finding, Kept, of_bytes, of_file, of_object
from shared.errors import Transient
from shared.objects import Bucket, ObjectInfo, ObjectMissing

JOBS_AT_A_TIME = 200
AT_ONCE = 16
FOLDERS_AT_A_TIME = 1000
JOBS = "jobs/"
TRIES = 3  # to read a file to its end

T = TypeVar("T")


class Pace:
    """Lets so many bytes a second through, over all who read together."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    async def passed(self, size: int) -> None:
        """``size`` bytes were read: wait until the next ones may be."""
        now = self._clock()
        self._free_at = max(self._free_at, now) + size / self._per_second
        if self._free_at > now:
            await self._sleep(self._free_at - now)


@dataclass(slots=True)
class Seen:
    """What a sweep has held against each other so far."""

    jobs: int = 0
    files: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The files of jobs that ended from ``since`` on and had ``settled`` to come to rest.

    ``open_too``: those of open jobs as well, as far as they are on record. ``pace`` None: sizes
    only. With one, every file is read at that pace and its sha256 compared, and folders that belong
    to no job are looked for in the whole bucket.
    """

    database: Database
    bucket: Bucket
    since: datetime
    now: datetime
    settled: timedelta
    open_too: bool = False
    pace: Pace | None = None
    seen: Seen = field(default_factory=Seen)

    async def findings(self) -> AsyncIterator[Finding]:
        after: UUID | None = None
        while True:
            async with self.database.connection() as db:
                jobs = await audit.jobs_since(
                    db,
                    self.since,
                    open_too=self.open_too,
                    after=after,
                    settled=self.settled,
                    limit=JOBS_AT_A_TIME,
                )
            if not jobs:
                break
            for finding in await self.of_jobs(jobs):
                yield finding
            after = max(jobs)
        if self.pace is not None:
            async for finding in self._of_no_job():
                yield finding

    async def of_jobs(self, jobs: Mapping[UUID, bool]) -> list[Finding]:
        """What is wrong with the files of some jobs, each with whether it has ended: of an open one
        files may be on their way that nobody has entered yet."""
        async with self.database.connection() as db:
            kept = await audit.kept_by(db, list(jobs))
        by_job: defaultdict[UUID, list[Kept]] = defaultdict(list)
        for file in kept:
            by_job[file.job_id].append(file)
        found = await _some_at_once(
            [partial(self._of_job, job_id, by_job[job_id], ended) for job_id, ended in jobs.items()]
        )
        return [finding for of_job in found for finding in of_job]

    async def _of_job(self, job_id: UUID, kept: list[Kept], has_ended: bool) -> list[Finding]:
        own = f"{JOBS}{job_id}/"
        there = {info.key: info async for info in self.bucket.list(own)}
        found: list[Finding | None] = []
        for file in kept:
            # An original may lie in a folder that several jobs share.
            info = there.pop(file.key, None)
            if info is None and not file.key.startswith(own):
                info = await self.bucket.head(file.key)
            differs = of_file(file, None if info is None else info.bytes)
            if differs is None and self.pace is not None:
                differs = await self._of_bytes(file, self.pace)
            found.append(differs)
        if has_ended:
            found += [of_object(job_id, key) for key, info in there.items() if self._is_old(info)]
        self.seen.jobs += 1
        self.seen.files += len(kept)
        return [finding for finding in found if finding is not None]

    async def _of_bytes(self, file: Kept, pace: Pace) -> Finding | None:
        for tried in range(1, TRIES + 1):
            digest = hashlib.sha256()
            try:
                async with self.bucket.open_read(file.key) as pieces:
                    async for piece in pieces:
                        digest.update(piece)
                        self.seen.bytes_read += len(piece)
                        await pace.passed(len(piece))
            except ObjectMissing:
                gone = "it was deleted while the audit ran"
                return MISSING.broken_by(file.key, gone, job=str(file.job_id))
            except Transient:
                if tried == TRIES:
                    raise
                continue
            return of_bytes(file, digest.hexdigest())
        raise AssertionError("the last try returns or raises")

    async def _of_no_job(self) -> AsyncIterator[Finding]:
        folders: list[str] = []
        async for folder in self.bucket.folders(JOBS):
            folders.append(folder)
            if len(folders) == FOLDERS_AT_A_TIME:
                for finding in await self._strays(folders):
                    yield finding
                folders.clear()
        for finding in await self._strays(folders):
            yield finding

    async def _strays(self, folders: list[str]) -> list[Finding]:
        named = {_job_of(folder): folder for folder in folders}
        async with self.database.connection() as db:
            nobodys = await audit.without_job(db, [job for job in named if job is not None])
        strays = [named[job] for job in nobodys] + [f for f in folders if _job_of(f) is None]
        found = await _some_at_once([partial(self._of_folder, folder) for folder in sorted(strays)])
        return [finding for finding in found if finding is not None]

    async def _of_folder(self, folder: str) -> Finding | None:
        files = [info async for info in self.bucket.list(folder)]
        # An order comes after its original, and what lay here before ``since`` is the past's.
        latest = max((info.modified_at for info in files if info.modified_at), default=None)
        if latest is None or not self.since <= latest <= self.now - self.settled:
            return None
        size = sum(info.bytes for info in files)
        return NO_JOB.broken_by(folder, f"{len(files)} files, {size} bytes, and no such job")

    def _is_old(self, info: ObjectInfo) -> bool:
        # A file lies in the bucket a moment before it is on record.
        return info.modified_at is None or info.modified_at <= self.now - self.settled


def _job_of(folder: str) -> UUID | None:
    try:
        return UUID(folder.removeprefix(JOBS).rstrip("/"))
    except ValueError:
        return None


async def _some_at_once(work: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Do all of it, AT_ONCE pieces at a time; then raise the first error, if any."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(piece: Callable[[], Awaitable[T]]) -> T:
        async with free:
            return await piece()

    outcomes = await asyncio.gather(*map(one, work), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
