"""Plan: an order becomes a job with its slots, or a job that failed with a sentence. Never both."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.generator.original import Originals
from services.generator.prepare import Preparations
from services.generator.reuse import REUSED, Reuse, Reused
from shared.clock import Clock
from shared.db import artifacts, jobs, journal, retention, slots, waste
from shared.db.connection import Connection, Database
from shared.db.jobs import Job, NewJob
from shared.db.journal import Entry
from shared.db.slots import NewSlot
from shared.domain.job import JobState
from shared.envelope import Envelope
from shared.errors import Permanent
from shared.events import (
    Artifact,
    ArtifactsStored,
    JobAccepted,
    JobCanceled,
    JobCancelRequested,
    JobFailed,
    Skipped,
    callback_url_in,
    read,
    state,
)
from shared.orders import Ordered, Request, check, identify
from shared.recipes import RECIPES
from shared.recipes.recipe import Configured, SlotInput
from shared.recipes.standing import notes_of

log = structlog.get_logger()

ORDERS = Counter("darkroom_orders_total", "Orders by what became of them.", ["recipe", "outcome"])
for _recipe in (*(recipe.name for recipe in RECIPES), "unknown"):
    for _outcome in ("planned", "refused", "canceled", "duplicate"):
        ORDERS.labels(_recipe, _outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanJobs:
    """Hears ``upload.received``. ``attempts`` is how often the consumer tries one order: with the
    last one, an original that cannot be fetched ends its job."""

    database: Database
    originals: Originals
    preparations: Preparations
    reuse: Reuse
    recipes: Mapping[str, Configured]
    folders: tuple[str, ...]  # beside the job's own, where originals may lie
    attempts: int
    now: Clock

    async def hear(self, envelope: Envelope) -> None:
        taken_at = self.now()
        last_try = envelope.attempts + 1 >= self.attempts
        ordered = identify(envelope)
        async with self.database.connection() as db:
            before = await jobs.get(db, ordered.job_id)
            buried = before is None and await retention.is_buried(db, ordered.job_id)
            unwanted = before is None and await _wish(db, ordered.job_id) is not None
        if before is not None:
            await self._note_duplicate(envelope, ordered, before)
            return
        if buried:
            # It was here, ended, and was deleted after its retention: it is not made once more.
            async with self.database.transaction() as tx:
                await journal.hear(tx, envelope, outcome="duplicate", job_id=ordered.job_id)
            ORDERS.labels(_known(ordered, self.recipes), "duplicate").inc()
            return
        if unwanted:
            # Its wish to be canceled came first: nothing is fetched, made or bought.
            await self._enter(envelope, ordered)
            return

        # Slow and repeatable, with no transaction open: the same order gives the same files.
        try:
            request = self._check(envelope, ordered)
            original = await self._original(request, last_try=last_try)
            if original is not None:
                order = replace(request.order, source_key=original.key)
                request = replace(request, order=order)
            inputs = _inputs(request)
            reused = await self.reuse.take_over(request, original, last_try=last_try)
            prepared = await self.preparations.make(_to_buy(inputs, reused))
        except Permanent as refusal:
            await self._enter(envelope, ordered, refusal=str(refusal))
            return

        # Fast and atomic: job, slots and files commit as one. Nothing can be bought before.
        job = self._job(envelope, ordered, request, n=len(inputs))
        files = (*((original,) if original else ()), *prepared, *reused.files)
        accepted = JobAccepted(
            job_id=job.id,
            recipe=job.recipe,
            n=job.n,
            external_ref=job.external_ref,
            notes=tuple(note["en"] for note in notes_of(request.recipe.recipe, job)),
            taken_at=taken_at,
            reused=len(reused.kept),
        )
        async with self.database.transaction() as tx:
            await jobs.hold_order(tx, job.id)
            unwanted = await _wish(tx, job.id) is not None
            if not unwanted:
                if not await jobs.insert(tx, job):
                    await journal.hear(tx, envelope, outcome="duplicate", job_id=job.id)
                    return
                await slots.insert_all(tx, job.id, _purchases(request.recipe, inputs, reused))
                if reused.kept:
                    await slots.insert_stored(tx, job.id, [one.slot for one in reused.kept])
                for ordinal in reused.left_behind:
                    await waste.note(tx, job.id, ordinal)
                for file in files:
                    await artifacts.insert(tx, job.id, file)
                await journal.hear(tx, envelope, outcome="planned", job_id=job.id)
                await self._say(tx, accepted, envelope)
                for fact in _stored_already(job.id, reused):
                    await self._say(tx, fact, envelope, ordinal=fact.ordinal)
        if unwanted:
            # What was taken over stays an object that nobody names: there is no slot to hold it.
            made = (*((original,) if original else ()), *prepared)
            await self._enter(envelope, ordered, files=made)
            return
        REUSED.labels(job.recipe).inc(len(reused.kept))
        ORDERS.labels(job.recipe, "planned").inc()
        log.info(
            "job.accepted",
            job_id=str(job.id),
            recipe=job.recipe,
            n=job.n,
            prepared=len(prepared),
            reused=len(reused.kept),
            external_ref=job.external_ref,
            unread=list(job.unread),
        )

    def _check(self, envelope: Envelope, ordered: Ordered) -> Request:
        return check(envelope, ordered, recipes=self.recipes, folders=self.folders)

    async def _original(self, request: Request, *, last_try: bool) -> Artifact | None:
        order, accepted = request.order, request.recipe.recipe.source_types
        if request.source_url is not None:
            return await self.originals.copy(
                order.job_id, request.source_url, accepted, last_try=last_try
            )
        if order.source_key is not None:
            return await self.originals.inspect(order.job_id, order.source_key, accepted)
        return None

    async def _enter(
        self,
        envelope: Envelope,
        ordered: Ordered,
        *,
        refusal: str | None = None,
        files: Sequence[Artifact] = (),
    ) -> None:
        """Enter an order as a job that has ended: canceled by the wish that came before it, or
        failed for ``refusal``, so that whoever ordered it can see why."""
        async with self.database.transaction() as tx:
            await jobs.hold_order(tx, ordered.job_id)
            wish = await _wish(tx, ordered.job_id)
            end = JobState.CANCELED if refusal is None else JobState.FAILED
            reason = _reason_of(wish) if refusal is None else refusal
            entered = await jobs.insert(
                tx,
                NewJob(
                    id=ordered.job_id,
                    recipe=ordered.recipe,
                    n=0,
                    ordered_at=envelope.time,
                    external_ref=ordered.external_ref,
                    metadata=dict(ordered.metadata),
                    callback_url=callback_url_in(envelope.body),
                    unread=ordered.unread,
                    traceparent=envelope.traceparent,
                ),
            )
            ended = entered and await jobs.end(
                tx, ordered.job_id, state=end, canceled=0, reason=reason
            )
            if not ended:
                await journal.hear(tx, envelope, outcome="duplicate", job_id=ordered.job_id)
                return
            for file in files:
                await artifacts.insert(tx, ended.id, file)
            what = "canceled" if end is JobState.CANCELED else "refused"
            await journal.hear(tx, envelope, outcome=what, job_id=ended.id)
            if wish is not None:
                became = "cancels" if end is JobState.CANCELED else "too_late"
                await journal.no_longer_wait(tx, ended.id, wish.type, outcome=became)
            fact = _end_of(ended)
            await self._say(tx, fact, envelope)
        ORDERS.labels(_known(ordered, self.recipes), what).inc()
        log.warning(
            fact.type,
            job_id=str(ended.id),
            recipe=ended.recipe,
            reason=ended.reason,
            unread=list(ended.unread),
        )

    async def _note_duplicate(self, envelope: Envelope, ordered: Ordered, job: Job) -> None:
        """The first order of a job stands; another one changes nothing, and is seen."""
        same = self._asks_for(envelope, ordered, job)
        async with self.database.transaction() as tx:
            await journal.hear(
                tx, envelope, outcome="duplicate" if same else "conflicting", job_id=job.id
            )
        ORDERS.labels(job.recipe if job.recipe in self.recipes else "unknown", "duplicate").inc()
        if not same:
            log.warning(
                "order.conflicting", job_id=str(job.id), stands=job.recipe, ignored=ordered.recipe
            )

    def _asks_for(self, envelope: Envelope, ordered: Ordered, job: Job) -> bool:
        """Whether this order is the one that ``job`` was made from, as far as the job tells."""
        if (ordered.recipe, ordered.external_ref) != (job.recipe, job.external_ref):
            return False
        try:
            params = self._check(envelope, ordered).order.params
        except Permanent:
            return job.n == 0  # it could not be planned then either
        # Parameters that the recipe got since are none of the job's.
        return all(params.get(name) == value for name, value in job.params.items())

    def _job(self, envelope: Envelope, ordered: Ordered, request: Request, *, n: int) -> NewJob:
        fact = request.fact
        limit = fact.deadline_seconds
        return NewJob(
            id=request.order.job_id,
            recipe=request.recipe.name,
            n=n,
            ordered_at=envelope.time,
            external_ref=fact.external_ref,
            source_key=request.order.source_key,
            source_url=_without_query(request.source_url),
            params=dict(request.order.params),
            metadata=fact.metadata,
            timezone=fact.timezone,
            locale=fact.locale,
            callback_url=fact.callback_url,
            retry_of=fact.retry_of,
            deadline=None if limit is None else self.now() + timedelta(seconds=limit),
            unread=ordered.unread,
            traceparent=envelope.traceparent,
        )

    async def _say(
        self,
        tx: Connection,
        fact: JobAccepted | ArtifactsStored | JobFailed | JobCanceled,
        cause: Envelope,
        *,
        ordinal: int | None = None,
    ) -> None:
        said = state(fact, source="generator", now=self.now(), causation=cause)
        await journal.say(tx, said, ordinal=ordinal)


def _known(ordered: Ordered, recipes: Mapping[str, Configured]) -> str:
    """The recipe's name for a metric: what strangers write must not make labels."""
    return ordered.recipe if ordered.recipe in recipes else "unknown"


def _inputs(request: Request) -> tuple[SlotInput, ...]:
    inputs = request.recipe.inputs(request.order)
    if not inputs:
        raise Permanent(f"{request.recipe.name} finds nothing to make of this order")
    return inputs


def _to_buy(inputs: Sequence[SlotInput], reused: Reused) -> list[SlotInput]:
    """What is taken over needs no file to be bought with."""
    return [
        replace(slot, prepare=()) if ordinal in reused.ordinals else slot
        for ordinal, slot in enumerate(inputs, start=1)
    ]


def _stored_already(job_id: UUID, reused: Reused) -> Iterator[ArtifactsStored]:
    """That those slots are closed, for who counts them."""
    for one in reused.kept:
        yield ArtifactsStored(
            job_id=job_id,
            ordinal=one.slot.ordinal,
            attempt=one.slot.winner,
            artifacts=tuple(copy.to for copy in one.made),
            skipped=tuple(Skipped(**skip) for skip in one.slot.skipped),
            reused_from=one.slot.reused_from,
        )


def _purchases(recipe: Configured, inputs: Sequence[SlotInput], reused: Reused) -> list[NewSlot]:
    return [
        NewSlot(
            ordinal=ordinal,
            model=recipe.model,
            input=dict(slot.input),
            seed=slot.seed,
            finish=[asdict(step) for step in slot.finish],
        )
        for ordinal, slot in enumerate(inputs, start=1)
        if ordinal not in reused.ordinals
    ]


def _without_query(url: str | None) -> str | None:
    """Where an original came from, for people; what follows the path may be a credential."""
    return None if url is None else urlsplit(url)._replace(query="", fragment="").geturl()


async def _wish(tx: Connection, job_id: UUID) -> Entry | None:
    """The wish to cancel a job that came before its order."""
    return await journal.waiting(tx, job_id, JobCancelRequested.type)


def _reason_of(wish: Entry | None) -> str:
    if wish is None or wish.body is None:
        return "asked for"
    return read(JobCancelRequested, wish.envelope).reason


def _end_of(job: Job) -> JobFailed | JobCanceled:
    kind = JobCanceled if job.state is JobState.CANCELED else JobFailed
    return kind(
        job_id=job.id,
        recipe=job.recipe,
        n=job.n,
        stored=job.stored,
        failed=job.failed,
        external_ref=job.external_ref,
        metadata=job.metadata,
        created_at=job.created_at,
        ended_at=job.ended_at,
        reason=job.reason,
        notes=tuple(note["en"] for note in notes_of(None, job)),
    )
