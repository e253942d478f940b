"""The one place that acknowledges. Handlers return or raise; they never see a message."""

import asyncio
import random
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from shared import tracing
from shared.clock import utc_now
from shared.domain.backoff import wait_before
from shared.domain.breaker import Breaker
from shared.domain.trace import trace_id
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, DatabaseUnavailable, NotOurs, Permanent, Transient
from shared.messaging.about import ABOUT, about
from shared.messaging.codec import delivery_count, from_message, raw_envelope
from shared.messaging.intake import Delivery, Room
from shared.messaging.link import GONE, deadline
from shared.tracing import Step

log = structlog.get_logger()

Handle = Callable[[Envelope], Awaitable[None]]
HandleMany = Callable[[Sequence[Envelope]], Awaitable[None]]
T = TypeVar("T")

# A quorum queue counts every lost connection of what was prefetched, so a count proves nothing by
# itself. From SUSPECT on a message runs alone and its start is noted; the notes are the proof.
SUSPECT_AT = 3
MOST_NOTED_STARTS = 2  # with the three unnoted ones: five starts in all
MOST_STARTS = 5  # of a message whose handling never ends
ACKNOWLEDGE_TIMEOUT_S = 5.0
FIRST_HOLD_S = 0.1
LONGEST_HOLD_S = 5.0
TRACE_LINES = 30
# Only what we and Replicate say can show that a consumer is broken: the junk of a stranger, however
# much of it, must not keep the orders of others waiting; nor must who is called back and is away.
OURS = ("darkroom/", "replicate")
_RABBITMQ: dict[str, str | int | None] = {"messaging.system": "rabbitmq"}

PROCESSED = Counter(
    "darkroom_messages_processed_total", "Deliveries brought to an end", ["queue", "outcome"]
)
SECONDS = Histogram(
    "darkroom_message_processing_seconds",
    "Handling of one delivery",
    ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60),
)
AGE = Histogram(
    "darkroom_message_age_seconds",
    "From the fact to its handling",
    ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
IN_PROGRESS = Gauge("darkroom_messages_in_progress", "Deliveries being handled", ["queue"])
HOLDING = Gauge(
    "darkroom_consumer_holding",
    "Deliveries held because Postgres or the parking is away",
    ["queue"],
)
HUNG = Counter(
    "darkroom_messages_hung_total",
    "Handlings that were ended because they took too long",
    ["queue"],
)
STOPPED = Gauge(
    "darkroom_consumer_stopped",
    "1 while too many dead messages in a row keep a consumer from taking more",
    ["queue"],
)
LAST_SUCCESS = Gauge("darkroom_last_success_timestamp_seconds", "Last handled well", ["queue"])


class Hung(Transient):
    """A handling did not end within the time that it was given, and was ended."""


class Parking(Protocol):
    """Where a delivery goes that cannot be handled now, or ever. Durable when it returns."""

    async def park(
        self,
        queue: str,
        envelope: Envelope,
        *,
        reason: str,
        trace: str | None,
        attempts: int,
        due_in: timedelta | None,
        expires_at: datetime | None = None,
    ) -> None:
        """Keep it until it is due, or dead (``due_in`` None) for an operator."""

    async def note_start(self, queue: str, envelope: Envelope) -> int:
        """Note that a suspect is started; how often so far, this start included."""


class Handling:
    """Brings the deliveries of one worker to their end: handled or parked, then acknowledged.

    ``may_acknowledge`` is set but for the moment in which a drain cancels the consumers;
    ``on_acknowledged`` is called after each acknowledgement. ``stopped`` is set while ``breaker``
    is open: what is in hand then is left alone, for the broker to deliver again.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        handle_many: HandleMany | None,
        parking: Parking,
        max_attempts: int,
        within_s: float,
        name: str,
        on_acknowledged: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._on_acknowledged = on_acknowledged
        self._handle_many = handle_many
        self._parking = parking
        self._max_attempts = max_attempts
        self._within_s = within_s
        self._name = name
        self._held: dict[int, str] = {}  # why, by a number of ours for what is held together
        self.breaker = Breaker()
        self.stopped = asyncio.Event()
        self.room = Room()
        self.may_acknowledge = asyncio.Event()
        self.may_acknowledge.set()

    @property
    def holds(self) -> str | None:
        """Why something is held at the moment, or None."""
        return next(iter(self._held.values()), None)

    async def deal_with(self, deliveries: list[Delivery]) -> None:
        """Bring deliveries of one queue to their end; together, where that is possible."""
        suspects = [d for d in deliveries if delivery_count(d.message) >= SUSPECT_AT]
        others = [d for d in deliveries if delivery_count(d.message) < SUSPECT_AT]
        if others:
            async with self.room.shared():
                if self._handle_many is not None and len(others) > 1:
                    await self._deal_with_many(others, self._handle_many)
                else:
                    for delivery in others:
                        await self._deal_with_one(delivery)
        for delivery in suspects:
            async with self.room.alone():
                await self._deal_with_one(delivery, suspect=True)

    async def try_one(self, delivery: Delivery) -> None:
        """Deal with one delivery although the breaker is open: how it ends may close it."""
        suspect = delivery_count(delivery.message) >= SUSPECT_AT
        async with self.room.alone():
            await self._deal_with_one(delivery, suspect=suspect, as_a_try=True)

    async def _deal_with_many(self, deliveries: list[Delivery], handle_many: HandleMany) -> None:
        began = time.monotonic()

        async def attempt() -> list[Envelope]:
            nonlocal began
            began = time.monotonic()
            told = [from_message(d.message) for d in deliveries]
            queue = deliveries[0].queue
            with (
                tracing.steps(
                    f"process {queue}",
                    [envelope.traceparent for envelope in told],
                    kind="consumer",
                    attributes=_RABBITMQ | {"messaging.batch.message_count": len(told)},
                ) as steps,
                _foreign_cancel_named(),
            ):
                envelopes = [
                    replace(envelope, traceparent=step.traceparent)
                    for envelope, step in zip(told, steps, strict=True)
                ]
                async with self._in_time(queue):
                    await handle_many(envelopes)
            return envelopes

        try:
            envelopes = await self._patiently(deliveries, attempt)
        except Exception as error:  # noqa: BLE001 - whichever it is, each message finds out alone
            log.info("batch.split", worker=self._name, size=len(deliveries), error=str(error))
            for delivery in deliveries:
                await self._deal_with_one(delivery)
            return
        took = time.monotonic() - began
        for delivery, envelope in zip(deliveries, envelopes or (), strict=envelopes is not None):
            with structlog.contextvars.bound_contextvars(**about(envelope)):
                await self._settle(delivery, envelope, "ok", took / len(deliveries))

    async def _deal_with_one(
        self, delivery: Delivery, *, suspect: bool = False, as_a_try: bool = False
    ) -> None:
        if self.stopped.is_set() and not as_a_try:
            return
        began = time.monotonic()

        async def attempt() -> tuple[Envelope, str]:
            nonlocal began
            began = time.monotonic()
            return await self._attempt(delivery, suspect=suspect)

        try:
            done = await self._patiently([delivery], attempt)
            if done is not None:
                await self._settle(delivery, *done, time.monotonic() - began)
        finally:
            structlog.contextvars.unbind_contextvars("queue", *ABOUT)

    async def _patiently(
        self, deliveries: list[Delivery], attempt: Callable[[], Awaitable[T]]
    ) -> T | None:
        """What ``attempt`` returns in the end. While Postgres is away nothing of it can happen: the
        deliveries are held, and it is tried again. None where all of them were lost meanwhile."""
        key, hold = id(deliveries), FIRST_HOLD_S
        queue = deliveries[0].queue
        try:
            while not all(delivery.is_stale for delivery in deliveries):
                try:
                    return await attempt()
                except DatabaseUnavailable as error:
                    if not self._held:
                        log.warning("consumer.holding", worker=self._name, why=str(error))
                    if key not in self._held:
                        HOLDING.labels(queue).inc(len(deliveries))
                        since = utc_now()
                        for delivery in deliveries:
                            delivery.held_since = delivery.held_since or since
                    self._held[key] = str(error)
                    await asyncio.sleep(hold * (1 + random.random()))  # noqa: S311
                    hold = min(LONGEST_HOLD_S, hold * 2)
            return None
        finally:
            if self._held.pop(key, None) is not None:
                HOLDING.labels(queue).dec(len(deliveries))
                if not self._held:
                    log.info("consumer.resumed", worker=self._name)

    async def _attempt(self, delivery: Delivery, *, suspect: bool) -> tuple[Envelope, str]:
        """Handle once; what could not be handled is parked when this returns.

        Raises only DatabaseUnavailable, and a cancellation that somebody asked for.
        """
        queue = delivery.queue
        try:
            envelope = from_message(delivery.message)
        except Permanent as error:
            unnamed = raw_envelope(delivery.message)
            structlog.contextvars.bind_contextvars(queue=queue, event_id=unnamed.id)
            await self._park_dead(queue, unnamed, error, attempts=0)
            return unnamed, "dead"
        told = about(envelope)
        structlog.contextvars.bind_contextvars(queue=queue, **told)
        with tracing.step(
            f"process {queue}",
            kind="consumer",
            parent=envelope.traceparent,
            attributes=_RABBITMQ | {f"darkroom.{name}": value for name, value in told.items()},
        ) as step:
            # Whatever the handler states goes on from here.
            heard = replace(envelope, traceparent=step.traceparent, held_since=delivery.held_since)
            outcome = await self._handled(queue, envelope, heard, step, suspect=suspect)
            return heard, outcome

    async def _handled(
        self, queue: str, envelope: Envelope, heard: Envelope, step: Step, *, suspect: bool
    ) -> str:
        """What became of it. Parked is ``envelope``, as it came: its tries stand side by side in
        the trace."""
        attempt = envelope.attempts + 1
        if suspect and await self._starts_noted(queue, envelope) > MOST_NOTED_STARTS:
            reason = Permanent("its handling ended the process, again and again")
            step.failed(reason)
            await self._park_dead(queue, envelope, reason, attempts=attempt)
            return "dead"
        try:
            with IN_PROGRESS.labels(queue).track_inprogress(), _foreign_cancel_named():
                async with self._in_time(queue):
                    await self._handle(heard)
        except DatabaseUnavailable:
            raise
        except Permanent as error:
            step.failed(error)
            await self._park_dead(queue, envelope, error, attempts=attempt)
            return "dead"
        except Exception as error:  # noqa: BLE001 - a bug looks like a bad day: same patience, same end
            step.failed(error)
            most = self._max_attempts
            if isinstance(error, Hung):
                most = min(most, MOST_STARTS)
            if attempt >= most:
                await self._park_dead(queue, envelope, error, attempts=attempt)
                return "dead"
            await self._park_for_later(queue, envelope, error, attempts=attempt)
            return "retry"
        return "ok"

    @asynccontextmanager
    async def _in_time(self, queue: str) -> AsyncIterator[None]:
        """Ends a handling that does not end by itself: it would keep a place from all others, and
        its message from its fate, until the process ends."""
        clock = asyncio.timeout(self._within_s)
        try:
            async with clock:
                yield
        except TimeoutError as error:
            if not clock.expired():
                raise
            HUNG.labels(queue).inc()
            raise Hung(f"its handling did not end within {self._within_s:g} s") from error

    async def _starts_noted(self, queue: str, envelope: Envelope) -> int:
        with _or_hold(envelope):
            return await self._parking.note_start(queue, envelope)

    async def _park_for_later(
        self, queue: str, envelope: Envelope, error: Exception, *, attempts: int
    ) -> None:
        asked, left = None, None
        if isinstance(error, Transient):
            asked = error.retry_after
            left = None if error.expires_at is None else error.expires_at - utc_now()
        chance = random.random()  # noqa: S311
        wait = wait_before(attempts, chance=chance, retry_after=asked, left=left)
        log.warning(
            "message.parked",
            type=envelope.type,
            tries=attempts,
            wait_s=round(wait.total_seconds(), 3),
            why=str(error) or type(error).__name__,
            exc_info=None if isinstance(error, Transient) else error,
        )
        await self._park(queue, envelope, error, attempts=attempts, due_in=wait)

    async def _park_dead(
        self, queue: str, envelope: Envelope, error: Exception, *, attempts: int
    ) -> None:
        log.error(
            "message.dead",
            type=envelope.type,
            tries=attempts,
            why=str(error) or type(error).__name__,
            exc_info=None if isinstance(error, Permanent | Transient) else error,
        )
        await self._park(queue, envelope, error, attempts=attempts, due_in=None)
        if envelope.source.startswith(OURS) and not isinstance(error, NotOurs):
            self.breaker.died(str(error) or type(error).__name__)
            if self.breaker.is_open:
                self.stopped.set()

    async def _park(
        self,
        queue: str,
        envelope: Envelope,
        error: Exception,
        *,
        attempts: int,
        due_in: timedelta | None,
    ) -> None:
        story = traceback.format_exception(error)
        with _or_hold(envelope):
            await self._parking.park(
                queue,
                envelope,
                reason=str(error) or type(error).__name__,
                trace="".join(story[-TRACE_LINES:]),
                attempts=attempts,
                due_in=due_in,
                expires_at=error.expires_at if isinstance(error, Transient) else None,
            )

    async def _settle(
        self, delivery: Delivery, envelope: Envelope, outcome: str, took: float
    ) -> None:
        """Acknowledge: the only place. The message is safe elsewhere by now, so a link that is
        gone costs a second delivery and nothing else."""
        await self.may_acknowledge.wait()
        try:
            async with deadline(ACKNOWLEDGE_TIMEOUT_S, "acknowledging"):
                await delivery.message.ack()
                self._on_acknowledged()
        except (BrokerUnavailable, *GONE) as error:
            log.info("message.ack_lost", event_id=envelope.id, error=type(error).__name__)
        queue = delivery.queue
        PROCESSED.labels(queue, outcome).inc()
        SECONDS.labels(queue).observe(took)
        age = max(0.0, (utc_now() - envelope.time).total_seconds())
        AGE.labels(queue).observe(age)
        if outcome == "ok":
            self.breaker.went_well()
            self.stopped.clear()
            LAST_SUCCESS.labels(queue).set_to_current_time()
        log.info(
            "message.handled",
            queue=queue,
            type=envelope.type,
            trace_id=None if envelope.traceparent is None else trace_id(envelope.traceparent),
            outcome=outcome,
            tries=envelope.attempts + 1,
            redelivered=bool(delivery.message.redelivered),
            ms=round(took * 1000, 1),
            age_ms=round(age * 1000),
        )


@contextmanager
def _or_hold(envelope: Envelope) -> Iterator[None]:
    """What cannot be written down is held, whatever the reason: acknowledged it would be lost, and
    a worker that ended for it would take the innocent along."""
    try:
        yield
    except DatabaseUnavailable:
        raise
    except Exception as error:
        log.exception("message.not_parked", type=envelope.type, event_id=envelope.id)
        raise DatabaseUnavailable(f"the parking fails: {type(error).__name__}") from error


@contextmanager
def _foreign_cancel_named() -> Iterator[None]:
    """A CancelledError that nobody asked for would end the worker without a word: libraries raise
    it for a link that broke. It counts as a bad day; one that was asked for passes."""
    task = asyncio.current_task()
    asked_before = task.cancelling() if task else 0
    try:
        yield
    except asyncio.CancelledError as error:
        if task is None or task.cancelling() > asked_before:
            raise
        raise Transient("the handler was cancelled, though nobody asked for it") from error
