"""What a job that is done again brings along: slots whose files are stored, copied beside the new job.

A crash after the copies and before the job's commit leaves objects that nobody names, under keys
that nothing else gets. The order comes again, and finds them there.
"""

import asyncio
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from services.generator.kept import Before, Kept, kept_of
from shared.db import artifacts, jobs, slots
from shared.db.connection import Database
from shared.errors import Permanent, Transient
from shared.events import Artifact
from shared.objects import Bucket, BucketRefuses
from shared.orders import Request
from shared.recipes import RECIPES

log = structlog.get_logger()

REUSED = Counter(
    "darkroom_slots_reused_total",
    "Slots of jobs that were done again which were not bought again, since they are stored.",
    ["recipe"],
)
for _recipe in RECIPES:
    REUSED.labels(_recipe.name)

COPIES_AT_ONCE = 8  # inside the bucket: no byte of them comes here


@dataclass(frozen=True, slots=True)
class Reused:
    """What a new job takes over. ``considered`` are the slots that are stored in the job before;
    files of those among them that are not taken over may lie beside the new job all the same."""

    kept: tuple[Kept, ...] = ()
    considered: frozenset[int] = frozenset()

    @property
    def ordinals(self) -> frozenset[int]:
        return frozenset(one.slot.ordinal for one in self.kept)

    @property
    def prepared(self) -> tuple[Artifact, ...]:
        """The files that were made for them before they were bought, each once."""
        by_key = {copy.to.key: copy.to for one in self.kept for copy in one.prepared}
        return tuple(by_key.values())

    @property
    def files(self) -> tuple[Artifact, ...]:
        return (*self.prepared, *(copy.to for one in self.kept for copy in one.made))

    @property
    def left_behind(self) -> frozenset[int]:
        return self.considered - self.ordinals


class Reuse:
    """Takes over what is stored of the job that an order does again. What cannot be taken over is
    bought: nothing here fails an order."""

    def __init__(self, database: Database, bucket: Bucket) -> None:
        self._database = database
        self._bucket = bucket
        self._copying = asyncio.Semaphore(COPIES_AT_ONCE)

    async def take_over(
        self, request: Request, original: Artifact | None, *, last_try: bool
    ) -> Reused:
        """The slots of the new job that need no purchase, with all their files in its folder.

        The same order gives the same copies. Raises Transient where the bucket does not answer, but
        for the ``last_try``: then only what was copied by now is taken over.
        """
        before = await self._before(request)
        if before is None:
            return Reused()
        candidates = kept_of(before, request, original)
        tried = await asyncio.gather(
            *(self._copied(one, last_try) for one in candidates), return_exceptions=True
        )
        for failed in tried:
            if isinstance(failed, BaseException):
                raise failed  # none of the others is under way any more
        kept = tuple(one for one, there in zip(candidates, tried, strict=True) if there)
        reused = Reused(kept=kept, considered=before.stored)
        log.info(
            "slots.reused",
            job_id=str(request.order.job_id),
            retry_of=str(before.job.id),
            reused=sorted(reused.ordinals),
            left_behind=sorted(reused.left_behind),
        )
        return reused

    async def _before(self, request: Request) -> Before | None:
        """The job that is done again, as it is kept; None: there is none, or it is no more."""
        job_id = request.fact.retry_of
        if job_id is None or job_id == request.order.job_id:
            return None
        async with self._database.connection() as db:
            job = await jobs.get(db, job_id)
            if job is None or not job.n:
                return None
            return Before(
                job=job,
                slots=tuple(await slots.of_job(db, job_id)),
                files=tuple(await artifacts.of_job(db, job_id)),
                not_kept=await artifacts.not_kept(db, job_id),
            )

    async def _copied(self, one: Kept, last_try: bool) -> bool:
        """Whether all files of a slot lie beside the new job, byte for byte."""
        try:
            return all([await self._lies(copy.of, copy.to) for copy in one.copies])
        except BucketRefuses as refused:
            # The original was read by the same account a moment ago: its rights are of before.
            log.error("reuse.refused", ordinal=one.slot.ordinal, why=str(refused))
            return False
        except Transient:
            if not last_try:
                raise
            return False
        except Permanent as gone:
            log.warning("reuse.not_there", ordinal=one.slot.ordinal, why=str(gone))
            return False

    async def _lies(self, of: Artifact, to: Artifact) -> bool:
        async with self._copying:
            info = await self._bucket.head(to.key)
            if info is None:
                await self._bucket.copy(of.key, to.key)
                info = await self._bucket.head(to.key)
        # Damaged, or replaced by somebody: then it is no file that can be vouched for.
        return info is not None and (info.bytes, info.sha256) == (of.bytes, of.sha256)
