"""Callbacks: an address that an order names is told what other teams hear on the bus of its job.

Signed as Standard Webhooks. A call may come twice, as where we die between its answer and our commit;
then it has the same ``webhook-id``, which is the fact's own.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from services.api.callback_settings import CallbackSettings
from shared import tracing
from shared.clock import Clock, utc_now
from shared.connections import Connections
from shared.db import jobs, journal
from shared.db.connection import Database
from shared.db.jobs import Job
from shared.db.parked import Parked
from shared.domain import identity
from shared.domain.calling import WAITS, Silence, wait_after
from shared.envelope import Envelope
from shared.errors import DatabaseUnavailable, NotOurs, Permanent, Transient
from shared.events import (
    CallbackDelivered,
    CallbackFailed,
    JobCanceled,
    JobCompleted,
    JobFailed,
    ReportFailed,
    ReportPublished,
    read,
    state,
)
from shared.guard import Forbidden, Outside, Rules, asked_to_wait
from shared.messaging import topology
from shared.runtime import Worker
from shared.signatures import sign

log = structlog.get_logger()

# In hand beside the call itself: two short looks at Postgres.
BESIDE_THE_CALL_S = 30.0
HOST_SHOWN = 253

CALLBACKS = Counter(
    "darkroom_callbacks_total", "Callbacks by what became of each try.", ["outcome"]
)
for outcome in ("delivered", "duplicate", "later", "failed"):
    CALLBACKS.labels(outcome)
CALLING = Histogram(
    "darkroom_callback_seconds",
    "How long a receiver took to answer, or to be given up.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

_TOLD: Mapping[str, type[JobCompleted | JobFailed | JobCanceled | ReportPublished | ReportFailed]]
_TOLD = {
    kind.type: kind
    for kind in (JobCompleted, JobFailed, JobCanceled, ReportPublished, ReportFailed)
}


class NotTaken(NotOurs, Transient):
    """The other side did not take it this time."""


class Declined(NotOurs, Permanent):
    """It cannot be told there, however often it is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who is told, and what. A trace that shows its values shows neither."""

    job: Job = field(repr=False)
    url: str = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def host(self) -> str:
        """All that may be told of the address: the rest of it may be a credential."""
        return (urlsplit(self.url).hostname or "")[:HOST_SHOWN]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBack:
    """Hears how jobs end and what becomes of their reports. Nothing of a job depends on it.

    ``keys`` sign, each of them; ``address_of_recipe`` is for orders that name none. After the last
    of ``waits`` a fact is given up: dead, for an operator to replay.
    """

    database: Database
    outside: Outside
    keys: Sequence[str] = field(repr=False)
    address_of_recipe: Mapping[str, str] = field(repr=False)
    waits: Sequence[timedelta]
    now: Clock
    chance: Callable[[], float]
    silence: Silence = field(default_factory=Silence)

    async def hear(self, envelope: Envelope) -> None:
        call = await self._wanted(envelope)
        if call is None:
            return
        try:
            # Slow and repeatable, with no transaction open: a second call has the same id.
            status = await self._tell(call, envelope)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if isinstance(error, Permanent) or self._is_last(envelope):
                await self._give_up(call, envelope, error)
            else:
                CALLBACKS.labels("later").inc()
            raise

        # Fast and atomic: from here on the fact is not told there again.
        fact = CallbackDelivered(
            job_id=call.job.id,
            told=envelope.type,
            told_id=envelope.id,
            host=call.host,
            status=status,
            tries=envelope.attempts + 1,
            external_ref=call.job.external_ref,
        )
        async with self.database.transaction() as tx:
            await journal.say(tx, state(fact, source="api", now=self.now(), causation=envelope))
        CALLBACKS.labels("delivered").inc()
        log.info(fact.type, told=envelope.type, host=call.host, status=status, tries=fact.tries)

    async def _wanted(self, envelope: Envelope) -> Call | None:
        """What is to be done about a fact; None: nobody is to be called, or was already."""
        kind = _TOLD.get(envelope.type)
        if kind is None:
            raise Permanent(f"nobody is called back about {envelope.type}")
        job_id: UUID = read(kind, envelope).job_id
        delivered = identity.fact_id(envelope.id, CallbackDelivered.type)
        async with self.database.connection() as db:
            job = await jobs.get(db, job_id)
            # Deleted after its retention, or erased: nothing of it is told any more.
            if job is None or job.erased_at is not None:
                return None
            url = job.callback_url or self.address_of_recipe.get(job.recipe)
            if url is None:
                return None
            if await journal.by_event_id(db, delivered) is not None:
                CALLBACKS.labels("duplicate").inc()
                return None
        return Call(job=job, url=url, body=_body(envelope))

    async def _tell(self, call: Call, envelope: Envelope) -> int:
        """The status by which it was taken. Raises NotTaken or Declined, which name the host."""
        if not self.keys:
            raise Declined("there is no key to sign it with: set CALLBACK_SECRET and replay it")
        if not (self.silence.may_call(call.host) or self._is_last(envelope)):
            raise self._later(f"{call.host} did not answer others a moment ago", envelope)
        try:
            with CALLING.time(), tracing.detail("call back", "client"):
                status, asked = await self._call(call, envelope)
        except Forbidden as error:
            raise Declined(str(error)) from None
        except Transient as error:
            self.silence.was_silent(call.host)
            raise self._later(str(error), envelope) from None
        finally:
            self.silence.not_called(call.host)
        self.silence.answered(call.host)
        if 200 <= status < 300:
            return status
        if status == 410:
            raise Declined(f"{call.host} wants no more of these (410)")
        moved = ", and we do not go elsewhere" if 300 <= status < 400 else ""
        raise self._later(f"{call.host} answers {status}{moved}", envelope, asked)

    async def _call(self, call: Call, envelope: Envelope) -> tuple[int, timedelta | None]:
        """How it is answered, and how long we are asked to stay away."""
        headers = self._headers(envelope.id, call.body, at=self.now())
        asking = self.outside.ask("POST", call.url, data=call.body, headers=headers)
        async with asking as (answer, _host):
            # What the body of the answer says, and how much of it there is, is left there.
            return answer.status, asked_to_wait(answer, self.now)

    def _later(self, reason: str, envelope: Envelope, asked: timedelta | None = None) -> NotTaken:
        wait = wait_after(envelope.attempts + 1, self.waits, chance=self.chance())
        return NotTaken(reason, retry_after=max(wait, asked or timedelta(0)))

    def _headers(self, webhook_id: str, body: bytes, *, at: datetime) -> dict[str, str]:
        signatures = (
            sign(key, webhook_id=webhook_id, timestamp=at, body=body) for key in self.keys
        )
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    async def _give_up(self, call: Call, envelope: Envelope, error: Exception) -> None:
        """Say that it is not tried any more by itself; its message is parked dead for a look."""
        fact = CallbackFailed(
            job_id=call.job.id,
            told=envelope.type,
            told_id=envelope.id,
            host=call.host,
            reason=_in_words(error),
            tries=envelope.attempts + 1,
            external_ref=call.job.external_ref,
        )
        async with self.database.transaction() as tx:
            await journal.say(tx, state(fact, source="api", now=self.now(), causation=envelope))
        CALLBACKS.labels("failed").inc()
        log.error(fact.type, told=envelope.type, host=call.host, why=fact.reason, tries=fact.tries)

    def _is_last(self, envelope: Envelope) -> bool:
        return envelope.attempts >= len(self.waits)


async def worker(
    settings: CallbackSettings,
    connections: Connections,
    *,
    waits: Sequence[timedelta] = WAITS,
) -> Worker:
    """The part of the api that calls back. What it states is left to a relay of topology.API."""
    if not settings.signing_keys:
        log.warning("callbacks.unsigned", why="CALLBACK_SECRET is not set: nobody can be called")
    database = await connections.database(settings)
    subscriptions = await connections.subscriptions(settings)
    outside = await connections.outside(
        Rules(
            hosts=settings.callback_hosts or None,
            allowed_origin=settings.callback_allowed_origin,
            setting="CALLBACK_HOSTS",
            within_s=settings.callback_within_seconds,
            once=True,
        )
    )
    call_back = CallBack(
        database=database,
        outside=outside,
        keys=settings.signing_keys,
        address_of_recipe=settings.address_of_recipe,
        waits=waits,
        now=utc_now,
        chance=random.random,
    )
    return subscriptions.worker(
        topology.API_CALLBACKS,
        call_back.hear,
        parking=Parked(database),
        concurrency=settings.callback_concurrency,
        max_attempts=len(waits) + 1,
        within_s=settings.callback_within_seconds + BESIDE_THE_CALL_S,
    )


def _body(envelope: Envelope) -> bytes:
    """The fact as it travels, with its type and time around it: the same bytes at every try."""
    return b'{"type":"%b","timestamp":"%b","data":%b}' % (
        envelope.type.encode(),
        envelope.time.isoformat().encode(),
        envelope.body,
    )


def _in_words(error: Exception) -> str:
    # Only our own errors are sentences for people; others may quote what they stumbled over.
    if isinstance(error, Transient | Permanent):
        return str(error)
    return f"it could not be told ({type(error).__name__})"
