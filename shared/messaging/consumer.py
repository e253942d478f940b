"""The one place that acknowledges. Handlers return or raise; they never see a message."""

import asyncio
import random
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from aio_pika import IncomingMessage
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from prometheus_client import Counter, Gauge, Histogram

from shared.clock import utc_now
from shared.domain.backoff import MAX_ATTEMPTS, wait_before
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, DatabaseUnavailable, Permanent, Transient
from shared.messaging.codec import delivery_count, from_message, raw_envelope
from shared.messaging.link import GONE, Link, deadline, opened
from shared.messaging.topology import Queue

log = structlog.get_logger()

Handle = Callable[[Envelope], Awaitable[None]]
HandleMany = Callable[[Sequence[Envelope]], Awaitable[None]]
Worker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

# A quorum queue counts every lost connection of what was prefetched, so a count proves nothing by
# itself. From SUSPECT on a message runs alone and its start is noted; the notes are the proof.
SUSPECT_AT = 3
MOST_NOTED_STARTS = 2  # with the three unnoted ones: five starts in all
CALL_TIMEOUT_S = 5.0
COME_BACK_S = 1.0
LONGEST_HOLD_S = 5.0
LATE_DELIVERIES_S = 0.1  # for what earlier acknowledgements set on its way
TRACE_LINES = 30

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
HOLDING = Gauge("darkroom_consumer_holding", "1 while Postgres is away and messages are held")
LAST_SUCCESS = Gauge("darkroom_last_success_timestamp_seconds", "Last handled well", ["queue"])


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


@dataclass(slots=True)
class Delivery:
    """One message in our hands, and the channel that it must be acknowledged on."""

    message: AbstractIncomingMessage
    queue: str
    channel: AbstractChannel

    @property
    def is_stale(self) -> bool:
        """Its channel is gone: the broker delivers it again, and this copy is nobody's."""
        return self.channel.is_closed


class Subscriptions:
    """The consuming connection of a process; every worker has a channel of its own on it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._workers: list[QueueWorker] = []

    def worker(
        self,
        queue: Queue | tuple[Queue, ...],
        handle: Handle,
        *,
        parking: Parking,
        concurrency: int,
        max_attempts: int = MAX_ATTEMPTS,
        handle_many: HandleMany | None = None,
        batch: int = 1,
    ) -> Worker:
        """A worker that handles what ``queue`` delivers, ``concurrency`` deliveries at a time.

        Of several queues the first is served first. ``handle_many`` gets what lies here at the
        moment, up to ``batch``, in one call; if it raises, its messages are handled one by one,
        so that one bad message is found and the others are not held for it.
        """
        queues = queue if isinstance(queue, tuple) else (queue,)
        worker = QueueWorker(
            self._link,
            queues,
            handle,
            parking=parking,
            concurrency=concurrency,
            max_attempts=max_attempts,
            handle_many=handle_many,
            batch=batch,
        )
        self._workers.append(worker)
        return worker

    async def ping(self) -> None:
        """Raise unless every worker is subscribed to its queues and none holds."""
        for worker in self._workers:
            worker.check()


@asynccontextmanager
async def open_subscriptions(amqp_url: str, *, name: str) -> AsyncIterator[Subscriptions]:
    """The consuming side of a process. The broker may be away; its workers wait for it."""
    async with opened(amqp_url, name=f"darkroom-{name}-consume") as link:
        yield Subscriptions(link)


class QueueWorker:
    """Consumes queues until it is stopped, then finishes what it has in hand.

    The client's callback only enqueues: its tasks belong to the channel, and a lost connection
    would cancel a handler half way. The tasks that handle belong to this worker.
    """

    def __init__(
        self,
        link: Link,
        queues: tuple[Queue, ...],
        handle: Handle,
        *,
        parking: Parking,
        concurrency: int,
        max_attempts: int,
        handle_many: HandleMany | None,
        batch: int,
    ) -> None:
        self._link = link
        self._queues = queues
        self._handle = handle
        self._handle_many = handle_many
        self._parking = parking
        self._concurrency = concurrency
        self._max_attempts = max_attempts
        self._batch = batch
        self._waiting = Intake(len(queues))
        self._room = Room()
        self._may_acknowledge = asyncio.Event()
        self._may_acknowledge.set()
        self._subscribed = False
        self._holding: str | None = None
        for queue in queues:
            for outcome in ("ok", "retry", "dead"):
                PROCESSED.labels(queue.name, outcome)

    def __repr__(self) -> str:
        return f"worker of {', '.join(queue.name for queue in self._queues)}"

    def check(self) -> None:
        """Raise with the reason why this worker is not at work."""
        if self._holding is not None:
            raise DatabaseUnavailable(f"{self!r} holds its messages: {self._holding}")
        if not self._subscribed:
            raise BrokerUnavailable(f"{self!r} is not subscribed")

    async def __call__(self, stop: asyncio.Event) -> None:
        receiving = asyncio.create_task(self._receive(stop))
        handling = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        try:
            ended, _ = await asyncio.wait(
                {receiving, *handling}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()  # receiving ends when we are stopped; whatever else ends has failed
        finally:
            for task in (receiving, *handling):
                task.cancel()
            await asyncio.gather(receiving, *handling, return_exceptions=True)

    # ---- receiving

    async def _receive(self, stop: asyncio.Event) -> None:
        told = False
        while not stop.is_set():
            try:
                await self._consume(stop)
                told = False
            except (BrokerUnavailable, *GONE) as error:
                # A queue that is missing is an error of the installation, and a loud one.
                if self._link.is_open and not told:
                    log.error("consumer.refused", worker=repr(self), error=str(error))
                    told = True
            if not stop.is_set():
                await self._pause(stop, COME_BACK_S * (0.5 + random.random() / 2))  # noqa: S311

    async def _consume(self, stop: asyncio.Event) -> None:
        """Subscribe, and stay until we are stopped or the broker ends it. Drains before leaving."""
        connecting = asyncio.create_task(self._link.connection())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return
            connection = connecting.result()
            ended = asyncio.Event()
            async with deadline(CALL_TIMEOUT_S, "subscribing"):
                channel = await connection.channel(publisher_confirms=False)
                channel.close_callbacks.add(lambda *_: ended.set())
                underlay = await channel.get_underlay_channel()

                async def cancelled_by_broker(*_about: object) -> None:
                    ended.set()

                underlay.on_consumer_cancel_callbacks.add(cancelled_by_broker)
                # As many as are handled at once, and one batch or one each to be at hand.
                prefetch = max(self._batch, self._concurrency) + min(self._batch, 64)
                await channel.set_qos(prefetch_count=prefetch)
                tags = await self._subscribe(channel, underlay)
            self._subscribed = True
            log.info("consumer.subscribed", worker=repr(self), prefetch=prefetch)
            ending = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ending.cancel()
                self._subscribed = False
            if stop.is_set() and not ended.is_set():
                await self._drain(underlay, tags)
            else:
                log.warning("consumer.lost", worker=repr(self))
            with suppress(BrokerUnavailable, *GONE):
                async with deadline(CALL_TIMEOUT_S, "closing a channel"):
                    await channel.close()
        finally:
            connecting.cancel()
            stopping.cancel()

    async def _subscribe(self, channel: AbstractChannel, underlay: UnderlayChannel) -> list[str]:
        """Consume every queue; the consumers' tags.

        On the channel below the client's own queue object, which hands each message on through
        one task more: the last messages before a cancel would come when the drain has looked.
        """
        tags = []
        for place, queue in enumerate(self._queues):
            name = queue.name

            async def enqueue(
                delivered: DeliveredMessage, place: int = place, name: str = name
            ) -> None:
                message = IncomingMessage(delivered, no_ack=False)
                self._waiting.put(Delivery(message, name, channel), place)

            consuming = await underlay.basic_consume(queue=name, consumer_callback=enqueue)
            tags.append(consuming.consumer_tag or "")
        return tags

    async def _drain(self, underlay: UnderlayChannel, tags: list[str]) -> None:
        """Cancel the subscription, then finish what is prefetched: given back, each message would
        cost one of its deliveries. The service bounds how long this may take."""
        # Each acknowledgement makes the broker send another message, and what a quorum queue sends
        # while its consumer is being cancelled is lost on the way and given back (measured, 3.10:
        # up to all of the prefetch). So: nothing is acknowledged until the cancel is through.
        self._may_acknowledge.clear()
        try:
            await asyncio.sleep(LATE_DELIVERIES_S)
            for tag in tags:
                async with deadline(CALL_TIMEOUT_S, "cancelling a consumer"):
                    await underlay.basic_cancel(tag)
        finally:
            self._may_acknowledge.set()
        await self._waiting.empty()
        await self._room.empty()

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()

    # ---- handling

    async def _work(self) -> None:
        while True:
            deliveries = await self._waiting.take(self._batch)
            try:
                await self._deal_with([d for d in deliveries if not d.is_stale])
            finally:
                self._waiting.done(len(deliveries))

    async def _deal_with(self, deliveries: list[Delivery]) -> None:
        suspects = [d for d in deliveries if delivery_count(d.message) >= SUSPECT_AT]
        others = [d for d in deliveries if delivery_count(d.message) < SUSPECT_AT]
        if others:
            async with self._room.shared():
                if self._handle_many is not None and len(others) > 1:
                    await self._deal_with_many(others)
                else:
                    for delivery in others:
                        await self._deal_with_one(delivery)
        for delivery in suspects:
            async with self._room.alone():
                await self._deal_with_one(delivery, suspect=True)

    async def _deal_with_many(self, deliveries: list[Delivery]) -> None:
        assert self._handle_many is not None  # noqa: S101 - our caller asked
        try:
            envelopes = [from_message(d.message) for d in deliveries]
            began = time.monotonic()
            await self._handle_many(envelopes)
        except Exception as error:  # noqa: BLE001 - whichever it is, each message finds out alone
            log.info("batch.split", worker=repr(self), size=len(deliveries), error=str(error))
            for delivery in deliveries:
                await self._deal_with_one(delivery)
            return
        took = time.monotonic() - began
        for delivery, envelope in zip(deliveries, envelopes, strict=True):
            await self._settle(delivery, envelope, "ok", took / len(deliveries))

    async def _deal_with_one(self, delivery: Delivery, *, suspect: bool = False) -> None:
        """Bring one delivery to its end: handled or parked, and only then acknowledged.

        While Postgres is away nothing of it can happen: the message is held, and tried again.
        """
        hold = 0.1
        while not delivery.is_stale:
            began = time.monotonic()
            try:
                envelope, outcome = await self._attempt(delivery, suspect=suspect)
            except DatabaseUnavailable as error:
                self._hold(str(error))
                await asyncio.sleep(hold * (1 + random.random()))  # noqa: S311
                hold = min(LONGEST_HOLD_S, hold * 2)
                continue
            self._hold(None)
            await self._settle(delivery, envelope, outcome, time.monotonic() - began)
            return

    async def _attempt(self, delivery: Delivery, *, suspect: bool) -> tuple[Envelope, str]:
        """Handle once; what could not be handled is parked when this returns.

        Raises only DatabaseUnavailable, and a cancellation.
        """
        queue = delivery.queue
        try:
            envelope = from_message(delivery.message)
        except Permanent as error:
            unnamed = raw_envelope(delivery.message)
            await self._park_dead(queue, unnamed, error, attempts=0)
            return unnamed, "dead"
        attempt = envelope.attempts + 1
        structlog.contextvars.bind_contextvars(
            queue=queue, event_id=envelope.id, job_id=envelope.subject
        )
        if suspect and await self._parking.note_start(queue, envelope) > MOST_NOTED_STARTS:
            reason = Permanent("its handling ended the process, again and again")
            await self._park_dead(queue, envelope, reason, attempts=attempt)
            return envelope, "dead"
        try:
            with IN_PROGRESS.labels(queue).track_inprogress():
                await self._handle(envelope)
        except DatabaseUnavailable:
            raise
        except Permanent as error:
            await self._park_dead(queue, envelope, error, attempts=attempt)
            return envelope, "dead"
        except Exception as error:  # noqa: BLE001 - a bug looks like a bad day: same patience, same end
            if attempt >= self._max_attempts:
                await self._park_dead(queue, envelope, error, attempts=attempt)
                return envelope, "dead"
            await self._park_for_later(queue, envelope, error, attempts=attempt)
            return envelope, "retry"
        return envelope, "ok"

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
            attempt=attempts,
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
            attempt=attempts,
            why=str(error) or type(error).__name__,
            exc_info=None if isinstance(error, Permanent | Transient) else error,
        )
        await self._park(queue, envelope, error, attempts=attempts, due_in=None)

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
        await self._may_acknowledge.wait()
        try:
            async with deadline(CALL_TIMEOUT_S, "acknowledging"):
                await delivery.message.ack()
        except (BrokerUnavailable, *GONE) as error:
            log.info("message.ack_lost", event_id=envelope.id, error=type(error).__name__)
        queue = delivery.queue
        PROCESSED.labels(queue, outcome).inc()
        SECONDS.labels(queue).observe(took)
        age = max(0.0, (utc_now() - envelope.time).total_seconds())
        AGE.labels(queue).observe(age)
        if outcome == "ok":
            LAST_SUCCESS.labels(queue).set_to_current_time()
        log.info(
            "message.handled",
            queue=queue,
            type=envelope.type,
            event_id=envelope.id,
            job_id=envelope.subject,
            outcome=outcome,
            attempt=envelope.attempts + 1,
            redelivered=bool(delivery.message.redelivered),
            ms=round(took * 1000, 1),
            age_ms=round(age * 1000),
        )
        structlog.contextvars.unbind_contextvars("queue", "event_id", "job_id")

    def _hold(self, why: str | None) -> None:
        if why is not None and self._holding is None:
            log.warning("consumer.holding", worker=repr(self), why=why)
        if why is None and self._holding is not None:
            log.info("consumer.resumed", worker=repr(self))
        self._holding = why
        HOLDING.set(0 if why is None else 1)


class Intake:
    """What is prefetched and not yet taken, by queue in order of importance."""

    def __init__(self, places: int) -> None:
        self._places: list[deque[Delivery]] = [deque() for _ in range(places)]
        self._some = asyncio.Event()
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, delivery: Delivery, place: int) -> None:
        # Counted here and not when it is taken: a drain that begins now must wait for it.
        self._unfinished += 1
        self._idle.clear()
        self._places[place].append(delivery)
        self._some.set()

    async def take(self, most: int) -> list[Delivery]:
        """What lies here of the most important queue that has any, up to ``most``."""
        while True:
            for waiting in self._places:
                if waiting:
                    return [waiting.popleft() for _ in range(min(most, len(waiting)))]
            self._some.clear()
            await self._some.wait()

    def done(self, count: int) -> None:
        self._unfinished -= count
        if self._unfinished == 0:
            self._idle.set()

    async def empty(self) -> None:
        """Return when everything that was put here is done."""
        await self._idle.wait()


class Room:
    """Many may be in it together, or one alone."""

    def __init__(self) -> None:
        self._inside = 0
        self._changed = asyncio.Condition()
        self._taken = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._taken)
            self._inside += 1
        try:
            yield
        finally:
            await self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._taken)
            self._taken = True
            await self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._taken = False
                self._changed.notify_all()

    async def empty(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inside == 0 and not self._taken)

    async def _leave(self) -> None:
        async with self._changed:
            self._inside -= 1
            self._changed.notify_all()
