"""Orders, and wishes about them: checked by the generator's own rules, then stated in the journal in
one short transaction. The broker may be away meanwhile."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from pydantic import ValidationError

from services.api.answers import Ordered
from services.api.asked import uuid_of
from services.api.problems import (
    CONFLICT,
    FLAWED,
    GONE,
    HAS_ENDED,
    STILL_OPEN,
    TOO_LARGE,
    UNKNOWN_JOB,
    Refused,
)
from services.api.view import events_url_of, url_of
from shared import tracing
from shared.clock import Clock
from shared.db import jobs, journal, retention
from shared.db.connection import Connection, Database
from shared.db.journal import Entry
from shared.domain import identity
from shared.domain.job import JobState
from shared.envelope import Envelope
from shared.errors import Flawed, Permanent
from shared.events import JobCancelRequested, UploadReceived, adapter, state
from shared.objects import Bucket, ObjectMissing
from shared.once_more import NotKept, once_more, said
from shared.orders import LARGEST_ORDER, check, identify
from shared.recipes.recipe import Configured
from shared.validation import faults, sentence

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Placed:
    """``again``: it had been placed before, and nothing was done now."""

    ordered: Ordered
    again: bool


def job_of(who: str, key: str | None, named: object) -> UUID:
    """The job that an order is about: the one that it names, or the one of its idempotency key, or
    a new one. Raises Refused where it names one and the key means another."""
    by_key = None if key is None else identity.job_id_of_key(who, key)
    if named is None:
        return by_key or uuid4()
    job_id = uuid_of(named)
    if job_id is None:
        raise _flawed("job_id", "must be a uuid")
    if by_key is not None and by_key != job_id:
        raise _flawed("job_id", "is not the job of this Idempotency-Key; leave one of the two out")
    return job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Places orders. ``folders`` are those beside a job's own in which originals may lie;
    ``never_called`` tells why an address could never be called back, if it could not."""

    database: Database
    bucket: Bucket
    recipes: Mapping[str, Configured]
    folders: tuple[str, ...]
    never_called: Callable[[str], str | None]
    now: Clock

    async def place(self, who: str, key: str | None, body: Body) -> Placed:
        """State the order that ``who`` gives under ``key``. Raises Refused."""
        job_id = job_of(who, key, body.get("job_id"))
        known = key is not None or body.get("job_id") is not None
        order = self._as_asked(job_id, body)
        return await self._stated(order, job_id, maybe_known=known)

    def check(self, job_id: UUID, body: Body) -> None:
        """Raise Refused for what is wrong with the order itself; nothing is placed."""
        self._as_asked(job_id, body)

    async def retry(self, who: str, key: str | None, job_id: UUID) -> Placed:
        """Order once more what an ended job was ordered for. The original is not brought again: it
        is laid beside the new job, inside the bucket. What else is stored is taken over by who plans
        it. Raises Refused."""
        async with self.database.connection() as db:
            job = await jobs.get(db, job_id)
            first = await journal.order_of(db, job_id)
            buried = job is None and await retention.is_buried(db, job_id)
        if job is None:
            if buried:
                raise Refused(GONE, f"job {job_id} was deleted after its retention")
            raise _unknown(job_id) if first is None else _still_open(job_id)
        if job.is_open:
            raise _still_open(job_id)
        again = job_of(who, key, None)
        try:
            wanted = once_more(job, first, again)
            order = self._checked(again, wanted.body)
            if key is not None:
                await self._must_fit(order, again)
            if wanted.original is not None and wanted.to is not None:
                await self.bucket.copy(wanted.original, wanted.to)
        except NotKept as gone:
            raise Refused(GONE, str(gone)) from None
        except ObjectMissing:
            raise Refused(GONE, "the original of this job is not kept any more") from None
        return await self._stated(order, again, maybe_known=key is not None)

    async def cancel(self, job_id: UUID, reason: str) -> None:
        """State the wish that a job ends; nothing happens where it was stated before. Raises
        Refused where there is no such job, or where it has ended."""
        wish = JobCancelRequested(job_id=job_id, reason=reason)
        with tracing.step("POST cancel", kind="server", parent=tracing.current()) as step:
            async with self.database.transaction() as tx:
                job = await jobs.get(tx, job_id)
                if job is None and await journal.order_of(tx, job_id) is None:
                    raise await _not_there(tx, job_id)
                if job is not None and job.state is not JobState.CANCELED and not job.is_open:
                    raise Refused(HAS_ENDED, f"the job has ended before: it is {job.state}")
                if job is None or job.is_open:
                    fact = state(wish, source="api", now=self.now())
                    await journal.say(tx, _traced(fact, step.traceparent))

    def _as_asked(self, job_id: UUID, body: Body) -> Envelope:
        """What somebody asks for is told now what a callback would die of later. A retry is not: it
        repeats what was taken once."""
        order = self._checked(job_id, {**body, "job_id": str(job_id)})
        url = body.get("callback_url")
        why = self.never_called(url) if isinstance(url, str) else None
        if why is not None:
            raise _flawed("callback_url", why)
        return order

    def _checked(self, job_id: UUID, body: Body) -> Envelope:
        """The order as a fact. Raises Refused with every fault by its path."""
        # Written one way only, so that the same order is the same bytes.
        data = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        order = Envelope(
            id=identity.fact_id(job_id, UploadReceived.type),
            type=UploadReceived.type,
            source="darkroom/api",
            time=self.now(),
            body=data,
            subject=str(job_id),
        )
        if len(data) > LARGEST_ORDER:
            raise Refused(TOO_LARGE, f"an order may have {LARGEST_ORDER // 1024} KiB at most")
        try:
            check(order, identify(order), recipes=self.recipes, folders=self.folders)
            # On the bus a number in quotes is a number; what the document says is not so kind.
            adapter(UploadReceived).validate_json(data, strict=True)
        except Flawed as error:
            raise Refused(FLAWED, str(error), faults=error.faults) from None
        except ValidationError as error:
            raise Refused(
                FLAWED, sentence(error, whole="body"), faults=faults(error, whole="body")
            ) from None
        except Permanent as error:
            raise _flawed("body", str(error)) from None
        return order

    async def _must_fit(self, order: Envelope, job_id: UUID) -> None:
        """Raise Refused where something else was ordered for the job: its original may lie where
        the one of this order would be put."""
        async with self.database.connection() as db:
            before = await journal.by_event_id(db, order.id)
            if before is None:
                await _must_be_new(db, job_id)
        _must_be_the_same(before, json.loads(order.body), job_id)

    async def _stated(self, order: Envelope, job_id: UUID, *, maybe_known: bool) -> Placed:
        body = json.loads(order.body)
        with tracing.step(
            "POST order",
            kind="server",
            parent=tracing.current(),
            attributes={"darkroom.job_id": str(job_id), "darkroom.event_id": order.id},
        ) as step:
            async with self.database.transaction() as tx:
                before = None
                if maybe_known:
                    before = await journal.by_event_id(tx, order.id)
                    if before is None:
                        await _must_be_new(tx, job_id)
                if before is None and not await journal.say(tx, _traced(order, step.traceparent)):
                    # Somebody placed it at the very moment; their commit is what we waited for.
                    before = await journal.by_event_id(tx, order.id)
        _must_be_the_same(before, body, job_id)
        retry_of = body.get("retry_of")
        return Placed(
            Ordered(
                id=job_id,
                url=url_of(job_id),
                events_url=events_url_of(job_id),
                external_ref=body.get("external_ref"),
                retry_of=UUID(str(retry_of)) if retry_of else None,
            ),
            again=before is not None,
        )


def _must_be_the_same(before: Entry | None, body: Mapping[str, Any], job_id: UUID) -> None:
    """Raises Refused where what was ordered before says something else."""
    if before is not None and before.body is not None and said(before) != body:
        raise Refused(
            CONFLICT,
            "another order was placed under this key, or for this job; it stands",
            instance=url_of(job_id),
        )


async def _must_be_new(tx: Connection, job_id: UUID) -> None:
    """Raises Refused where the job is, or was, here by another way than an order of ours."""
    if await jobs.get(tx, job_id) is not None:
        raise Refused(
            CONFLICT,
            "there is a job of this id, and it was ordered elsewhere",
            instance=url_of(job_id),
        )
    if await retention.is_buried(tx, job_id):
        raise Refused(GONE, f"job {job_id} was deleted after its retention")


async def _not_there(tx: Connection, job_id: UUID) -> Refused:
    if await retention.is_buried(tx, job_id):
        return Refused(GONE, f"job {job_id} was deleted after its retention")
    return _unknown(job_id)


def _unknown(job_id: UUID) -> Refused:
    return Refused(UNKNOWN_JOB, f"no job {job_id} is known here")


def _still_open(job_id: UUID) -> Refused:
    return Refused(STILL_OPEN, f"job {job_id} has not ended; cancel it first, or wait")


def _flawed(path: str, what: str) -> Refused:
    return Refused(FLAWED, f"{path}: {what}", faults=[(path, what)])


def _traced(fact: Envelope, traceparent: str) -> Envelope:
    return Envelope(
        id=fact.id,
        type=fact.type,
        source=fact.source,
        time=fact.time,
        body=fact.body,
        subject=fact.subject,
        traceparent=traceparent,
    )
