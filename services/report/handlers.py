"""Report: a job is completed, so make its page, store it, and say so once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram

from services.report.compose import (
    Copies,
    Material,
    People,
    compose,
    sections_of,
    to_play,
    to_show,
)
from services.report.pictures import Undisplayable
from services.report.render import render
from services.report.view import Picture, ReportView, Sound
from shared.clock import Clock
from shared.db import artifacts, jobs, journal, predictions, slots
from shared.db.connection import Database
from shared.db.jobs import Job
from shared.domain import identity, keys
from shared.domain.backoff import MAX_ATTEMPTS
from shared.domain.job import JobState
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, Permanent, Transient
from shared.events import Artifact, JobCompleted, ReportFailed, ReportPublished, read, state
from shared.objects import Bucket, ObjectDiffers, ObjectMissing, ObjectTooLarge
from shared.recipes.recipe import Recipe

log = structlog.get_logger()

HTML = "text/html"
CONTENT_TYPE = "text/html; charset=utf-8"

REPORTS = Counter("darkroom_reports_total", "Reports by what became of them.", ["outcome"])
for outcome in ("published", "duplicate", "failed"):
    REPORTS.labels(outcome)
MAKING = Histogram(
    "darkroom_report_seconds",
    "From the rows of a completed job to its page in the bucket.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

# Files that a page goes without.
UNFIT = (ObjectMissing, ObjectTooLarge, ObjectDiffers)

# Decodes a picture and gives back its copy for the page; raises Undisplayable.
Shrink = Callable[[bytes, int], Awaitable[Picture]]
# The same of a sound; raises Permanent where it is none, Transient where it did not work out.
Listen = Callable[[bytes], Awaitable[Sound]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReports:
    """Hears ``job.completed``. The job stays completed whatever becomes of its report."""

    database: Database
    bucket: Bucket
    shrink: Shrink
    listen: Listen
    recipes: Mapping[str, Recipe]
    people: People
    file_max_bytes: int
    now: Clock

    async def hear(self, envelope: Envelope) -> None:
        try:
            await self._publish(envelope)
        except DatabaseUnavailable:
            raise  # held, not failed: it says nothing about this report
        except Exception as error:
            if isinstance(error, Permanent) or _is_last(envelope):
                await self._give_up(envelope, error)
            raise

    async def _publish(self, envelope: Envelope) -> None:
        # Slow and repeatable: read, fetch, render, put. The same rows give the same bytes.
        material = await self._load(envelope)
        if material.job.report == "published":
            REPORTS.labels("duplicate").inc()
            return
        with MAKING.time():
            recipe = self.recipes.get(material.job.recipe)
            copies = await self._copies(material, sections_of(recipe), last_try=_is_last(envelope))
            view = compose(material, copies, recipe=recipe, people=self.people)
            page = await asyncio.to_thread(_page, view)
            file = _artifact(material.job, page)
            await self.bucket.put(file.key, page, content_type=CONTENT_TYPE)

        # Fast and atomic: the state is the memory, so a report is published once.
        async with self.database.transaction() as tx:
            if not await jobs.set_report(tx, material.job.id, report="published", key=file.key):
                REPORTS.labels("duplicate").inc()
                return
            await artifacts.insert(tx, material.job.id, file)
            fact = ReportPublished(
                job_id=material.job.id,
                key=file.key,
                media_type=HTML,
                external_ref=material.job.external_ref,
            )
            await journal.say(tx, state(fact, source="report", now=self.now(), causation=envelope))
        REPORTS.labels("published").inc()
        log.info(fact.type, job_id=str(material.job.id), key=file.key, bytes=file.bytes)

    async def _load(self, envelope: Envelope) -> Material:
        job_id = read(JobCompleted, envelope).job_id
        async with self.database.connection() as db:
            job = await jobs.get(db, job_id)
            if job is None or job.state is not JobState.COMPLETED or job.ended_at is None:
                raise Permanent(f"job {job_id} is not a completed job of ours")
            return Material(
                job=job,
                finished_at=job.ended_at,
                slots=await slots.of_job(db, job_id),
                predictions=await predictions.of_job(db, job_id),
                artifacts=await artifacts.of_job(db, job_id),
            )

    async def _copies(
        self, material: Material, sections: Sequence[str], *, last_try: bool
    ) -> Copies:
        """What can be shown and played, one after the other, so that one is in memory at a time.

        A file that is gone or damaged leaves its place empty: the page says so, and the rest of
        the report is worth having. A bucket that does not answer raises Transient; so does a sound
        that did not work out this time, but for the ``last_try``.
        """
        pictures: dict[str, Picture] = {}
        sounds: dict[str, Sound] = {}
        for key, edge in to_show(material, sections).items():
            try:
                pictures[key] = await self.shrink(await self._file(key), edge)
            except (*UNFIT, Undisplayable) as error:
                _leave_out(material, key, error)
        for key in to_play(material, sections):
            try:
                data = await self._file(key)
            except UNFIT as error:
                _leave_out(material, key, error)
                continue
            try:
                sounds[key] = await self.listen(data)
            except Permanent as error:
                _leave_out(material, key, error)
            except Transient as error:
                if not last_try:
                    raise
                _leave_out(material, key, error)
        return Copies(pictures=pictures, sounds=sounds)

    async def _file(self, key: str) -> bytes:
        return await self.bucket.get_bytes(key, limit=self.file_max_bytes)

    async def _give_up(self, envelope: Envelope, error: Exception) -> None:
        """Say that there will be no report; the message itself is parked for a look."""
        try:
            job_id = read(JobCompleted, envelope).job_id
        except Permanent:
            return  # it names no job
        async with self.database.transaction() as tx:
            job = await jobs.lock(tx, job_id)
            if job is None or job.state is not JobState.COMPLETED:
                return  # deleted after its retention, or somebody said what is not so
            if not await jobs.set_report(tx, job_id, report="failed", key=None):
                return  # published by another delivery
            fact = ReportFailed(
                job_id=job_id, reason=_in_words(error), external_ref=job.external_ref
            )
            await journal.say(tx, state(fact, source="report", now=self.now(), causation=envelope))
        REPORTS.labels("failed").inc()
        log.error(fact.type, job_id=str(job_id), exc_info=error)


def _is_last(envelope: Envelope) -> bool:
    return envelope.attempts + 1 >= MAX_ATTEMPTS


def _leave_out(material: Material, key: str, error: Exception) -> None:
    log.warning("copy.left_out", job_id=str(material.job.id), key=key, reason=str(error))


def _page(view: ReportView) -> bytes:
    # A text that came in as half a character has no bytes; the page shows a mark in its place.
    return render(view).encode("utf-8", "replace")


def _artifact(job: Job, page: bytes) -> Artifact:
    key = keys.report(job.id)
    return Artifact(
        id=identity.artifact_id(key),
        kind="report",
        key=key,
        content_type=HTML,
        bytes=len(page),
        sha256=hashlib.sha256(page).hexdigest(),
    )


def _in_words(error: Exception) -> str:
    # Only our own errors are sentences for people; others may quote what they stumbled over.
    if isinstance(error, Transient | Permanent):
        return str(error)
    return f"the page could not be made ({type(error).__name__})"
