"""Aggregator: count closed slots, ask the recipe's rule, end the job, all in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from services.aggregator.ending import JobEnd, how_it_ended, missing_of, reason_of_end
from shared import tracing
from shared.db import artifacts, jobs, journal, predictions, slots, spared
from shared.db.connection import Connection, Database
from shared.db.jobs import Job
from shared.domain.job import ALL, ENDED, Call, Completion, JobState, Tally, decide_end
from shared.domain.slot import SlotState
from shared.domain.spared import Spared
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
from shared.recipes import RECIPES
from shared.recipes.recipe import Recipe
from shared.recipes.standing import notes_of, typical_of

log = structlog.get_logger()

Heard = ArtifactsStored | SlotFailed | JobCancelRequested | JobDeadlineReached
# What became of a wish, as its job's timeline shows it.
CANCELS, TOO_LATE = "cancels", "too_late"

SPARED = Counter(
    "darkroom_purchases_spared_total",
    "Purchases that the early end of a job made unnecessary: never bought, or told to stop.",
    ["recipe", "how"],
)
SAVED = Counter(
    "darkroom_saved_dollars_total",
    "What they would have cost beyond what is paid, by the price of a typical run.",
    ["recipe"],
)

# An edge on each span that a recipe promises, and on the deadlines that people give.
JOBS = Counter("darkroom_jobs_total", "Planned jobs by how they ended.", ["recipe", "outcome"])
JOB_SECONDS = Histogram(
    "darkroom_job_seconds",
    "From the plan of a job to its end.",
    ["recipe", "outcome"],
    buckets=(0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
COST = Counter(
    "darkroom_cost_dollars_total",
    "What the purchases of ended jobs cost, as far as a price is known.",
    ["recipe"],
)
PREDICT_SECONDS = Counter(
    "darkroom_predict_seconds_total", "Provider's time that ended jobs took.", ["recipe"]
)
for _recipe in RECIPES:
    COST.labels(_recipe.name)
    PREDICT_SECONDS.labels(_recipe.name)
    for _outcome in sorted(ENDED):
        JOBS.labels(_recipe.name, _outcome)

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
            with (
                structlog.contextvars.bound_contextvars(job_id=str(job_id)),
                tracing.going_on(heard[0][0].traceparent),
            ):
                async with self.database.transaction() as tx:
                    end = await self._settle(tx, job_id, heard)
                if end is not None:
                    _tell(end)

    async def _settle(
        self, tx: Connection, job_id: UUID, heard: Sequence[tuple[Envelope, Heard]]
    ) -> JobEnd | None:
        """Count what closed and end the job if that, a wish or its deadline ends it."""
        job = await jobs.lock(tx, job_id)
        if job is None:
            job = await self._before_its_order(tx, job_id, heard)
            if job is None:
                return None

        # What asks for the end counts everything that is closed by now, also what the queue still
        # holds the news of: a picture that is stored does not count as canceled.
        closings = [f.ordinal for _, f in heard if isinstance(f, ArtifactsStored | SlotFailed)]
        counted = await slots.count_closed(
            tx, job_id, closings if len(closings) == len(heard) else None
        )
        if job.state in ENDED:
            # What closed after the end is kept and shown, and changes no count.
            await _note_wishes(tx, heard, TOO_LATE)
            return None
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
                await _note_wishes(tx, heard, CANCELS if end is JobState.CANCELED else TOO_LATE)
                return await self._end(tx, job, end, reason=reason, cause=cause)
        return None

    async def _before_its_order(
        self, tx: Connection, job_id: UUID, heard: Sequence[tuple[Envelope, Heard]]
    ) -> Job | None:
        """Leave a wish that overtook the order of its job to whoever plans it; the job, if it was
        planned just now. Nothing but a wish can be here before its job."""
        await jobs.hold_order(tx, job_id)
        job = await jobs.lock(tx, job_id)
        if job is not None:
            return job
        if not all(isinstance(fact, JobCancelRequested) for _, fact in heard):
            raise Transient(f"job {job_id} is not known here yet")
        await _note_wishes(tx, heard, journal.WAITS)
        log.info("job.cancel_waits", job_id=str(job_id))
        return None

    def _rule(self, job: Job) -> Completion:
        recipe = self.recipes.get(job.recipe)
        return recipe.completion(job.params) if recipe else ALL

    async def _end(
        self, tx: Connection, job: Job, end: JobState, *, reason: str | None, cause: Envelope
    ) -> JobEnd:
        missing = missing_of(await slots.lacking(tx, job.id, limit=MISSING_TOLD))
        if end is not JobState.CANCELED:
            reason = reason_of_end(_tally(job), missing, given=reason)
        # Open slots are canceled by the generator when it hears of the end; they count as canceled
        # here, in the transaction that ends the job, because they cannot count any other way now.
        open_slots = job.n - job.stored - job.failed - job.canceled
        ended = await jobs.end(tx, job.id, state=end, canceled=open_slots, reason=reason)
        if ended is None:
            raise Permanent(f"job {job.id} ended under our own lock")
        recipe = self.recipes.get(job.recipe)
        spares = Spared()
        if open_slots:
            spares = await spared.by_the_end_of(
                tx, job.id, typical=typical_of(recipe), now=self.now()
            )
        fact = how_it_ended(
            ended,
            await artifacts.of_job(tx, job.id),
            await predictions.of_job(tx, job.id),
            missing,
            tuple(words["en"] for words in notes_of(recipe, job)),
            spares,
        )
        await journal.say(tx, state(fact, source="aggregator", now=self.now(), causation=cause))
        return fact


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


async def _note_wishes(
    tx: Connection, heard: Sequence[tuple[Envelope, Heard]], outcome: str
) -> None:
    for envelope, fact in heard:
        if isinstance(fact, JobCancelRequested):
            await journal.hear(tx, envelope, outcome=outcome, job_id=fact.job_id)


def _tell(end: JobEnd) -> None:
    outcome = end.type.removeprefix("job.")
    JOBS.labels(end.recipe, outcome).inc()
    if end.ended_at is not None and end.created_at is not None:
        took = (end.ended_at - end.created_at).total_seconds()
        JOB_SECONDS.labels(end.recipe, outcome).observe(max(0.0, took))
    COST.labels(end.recipe).inc(end.cost or 0.0)
    PREDICT_SECONDS.labels(end.recipe).inc(end.predict_seconds)
    SPARED.labels(end.recipe, "not_bought").inc(end.not_bought)
    SPARED.labels(end.recipe, "stopped").inc(end.stopped)
    SAVED.labels(end.recipe).inc(end.saved or 0.0)
    log.info(
        end.type,
        job_id=str(end.job_id),
        n=end.n,
        stored=end.stored,
        failed=end.failed,
        canceled=end.canceled,
        reason=end.reason,
        not_bought=end.not_bought,
        stopped=end.stopped,
        saved=end.saved,
    )
