"""Aggregator: count closed slots, ask the recipe's rule, end the job, all in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from services.aggregator.ending import how_it_ended, missing_of, reason_of_end
from shared.db import artifacts, jobs, journal, predictions, slots
from shared.db.connection import Connection, Database
from shared.db.jobs import Job
from shared.domain.job import ALL, ENDED, Call, Completion, JobState, Tally, decide_end
from shared.domain.slot import SlotState
from shared.envelope import Envelope
from shared.errors import Permanent, Transient
from shared.events import (
    MISSING_TOLD,
    ArtifactsStored,
    JobCancelRequested,
    JobDeadlineReached,
    SlotFailed,
    read,
    state,
)
from shared.recipes.recipe import Recipe
from shared.recipes.standing import notes_of

log = structlog.get_logger()

Heard = ArtifactsStored | SlotFailed | JobCancelRequested | JobDeadlineReached
HEARD: dict[str, type[Heard]] = {
    fact.type: fact
    for fact in (ArtifactsStored, SlotFailed, JobCancelRequested, JobDeadlineReached)
}


@dataclass(frozen=True, slots=True)
class EndJobs:
    """Hears that slots closed, and whatever else may end a job."""

    database: Database
    recipes: Mapping[str, Recipe]
    now: Callable[[], datetime]

    async def one(self, envelope: Envelope) -> None:
        await self.many([envelope])

    async def many(self, envelopes: Sequence[Envelope]) -> None:
        """Work through what lies here job by job: one lock and one commit for each job's share."""
        by_job: defaultdict[UUID, list[tuple[Envelope, Heard]]] = defaultdict(list)
        for envelope in envelopes:
            fact = _read(envelope)
            by_job[fact.job_id].append((envelope, fact))
        for job_id, heard in by_job.items():
            async with self.database.transaction() as tx:
                await self._settle(tx, job_id, heard)

    async def _settle(
        self, tx: Connection, job_id: UUID, heard: Sequence[tuple[Envelope, Heard]]
    ) -> None:
        job = await jobs.lock(tx, job_id)
        if job is None:
            # A wish can overtake the order that it is about; the order's own news cannot.
            raise Transient(f"job {job_id} is not known here yet")
        for envelope, fact in heard:
            if isinstance(fact, JobCancelRequested):
                await journal.hear(tx, envelope, outcome="heard", job_id=job_id)

        # What asks for the end counts everything that is closed by now, also what the queue still
        # holds the news of: a picture that is stored does not count as canceled.
        closings = [f.ordinal for _, f in heard if isinstance(f, ArtifactsStored | SlotFailed)]
        counted = await slots.count_closed(
            tx, job_id, closings if len(closings) == len(heard) else None
        )
        if job.state in ENDED:
            return  # what closed after the end is kept and shown, and changes no count
        if counted:
            states = [slot.state for slot in counted]
            job = await jobs.add_counts(
                tx,
                job_id,
                stored=states.count(SlotState.STORED),
                failed=states.count(SlotState.FAILED),
            )

        for call, reason, cause in _calls(heard):
            end = decide_end(_tally(job), self._rule(job), call)
            if end is not None:
                await self._end(tx, job, end, reason=reason, cause=cause)
                return

    def _rule(self, job: Job) -> Completion:
        recipe = self.recipes.get(job.recipe)
        return recipe.completion(job.params) if recipe else ALL

    async def _end(
        self, tx: Connection, job: Job, end: JobState, *, reason: str | None, cause: Envelope
    ) -> None:
        missing = missing_of(await slots.lacking(tx, job.id, limit=MISSING_TOLD))
        if end is not JobState.CANCELED:
            reason = reason_of_end(_tally(job), missing, given=reason)
        # Open slots are canceled by the generator when it hears of the end; they count as canceled
        # here, in the transaction that ends the job, because they cannot count any other way now.
        open_slots = job.n - job.stored - job.failed - job.canceled
        ended = await jobs.end(tx, job.id, state=end, canceled=open_slots, reason=reason)
        if ended is None:
            raise Permanent(f"job {job.id} ended under our own lock")
        fact = how_it_ended(
            ended,
            await artifacts.of_job(tx, job.id),
            await predictions.of_job(tx, job.id),
            missing,
            self._notes(job),
        )
        await journal.say(tx, state(fact, source="aggregator", now=self.now(), causation=cause))
        log.info(
            fact.type,
            job_id=str(job.id),
            n=job.n,
            stored=job.stored,
            failed=job.failed,
            reason=reason,
        )

    def _notes(self, job: Job) -> tuple[str, ...]:
        recipe = self.recipes.get(job.recipe)
        return tuple(words["en"] for words in notes_of(recipe, job)) if recipe else ()


def _read(envelope: Envelope) -> Heard:
    kind = HEARD.get(envelope.type)
    if kind is None:
        raise Permanent(f"the aggregator does not hear {envelope.type}")
    return read(kind, envelope)


def _tally(job: Job) -> Tally:
    return Tally(n=job.n, stored=job.stored, failed=job.failed, canceled=job.canceled)


def _calls(
    heard: Sequence[tuple[Envelope, Heard]],
) -> list[tuple[Call, str | None, Envelope]]:
    """What asks whether the job ends. The closings first, always: the last slot beats a wish."""
    calls: list[tuple[Call, str | None, Envelope]] = [(Call.SLOTS_CLOSED, None, heard[-1][0])]
    for envelope, fact in heard:
        match fact:
            case JobCancelRequested(reason=reason):
                calls.append((Call.CANCEL_REQUESTED, reason, envelope))
            case JobDeadlineReached(reason=reason):
                calls.append((Call.DEADLINE_REACHED, reason, envelope))
            case _:
                pass
    return calls
