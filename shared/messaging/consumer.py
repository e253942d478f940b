"""Consuming: subscribed whenever there is a broker, drained when stopped."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from aio_pika import IncomingMessage
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from shared.domain.backoff import MAX_ATTEMPTS
from shared.errors import BrokerUnavailable, DatabaseUnavailable
from shared.messaging.handling import (
    PROCESSED,
    STOPPED,
    Handle,
    HandleMany,
    Handling,
    Parking,
)
from shared.messaging.intake import Delivery, Intake
from shared.messaging.levels import QueueLevels
from shared.messaging.link import GONE, Link, deadline, opened
from shared.messaging.topology import Queue

log = structlog.get_logger()

Worker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

CALL_TIMEOUT_S = 5.0
COME_BACK_S = 1.0
# Everything that a handler waits for has a deadline of its own; this one is for what nobody thought of.
HANDLE_WITHIN_S = 300.0
# So long after an acknowledgement or a delivery nothing more is on its way; on a busy machine
# 0.1 s was not enough.
QUIET_S = 0.3
# So often a subscription is checked: a queue that is deleted and there again at once leaves its
# consumers behind without a word (measured, 3.10).
LISTEN_EVERY_S = 1.5


class TooManyDead(Exception):
    """A worker has stopped itself; the sentence says why, and where to look."""


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
        within_s: float = HANDLE_WITHIN_S,
    ) -> Worker:
        """A worker that handles what ``queue`` delivers, ``concurrency`` deliveries at a time.

        A handling that takes longer than ``within_s`` is ended, and tried again as often as is
        worth it.

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
            within_s=within_s,
        )
        self._workers.append(worker)
        return worker

    def levels(self) -> QueueLevels:
        """How full the queues are, asked over this connection."""
        return QueueLevels(self._link)

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
        within_s: float,
    ) -> None:
        self._link = link
        self._queues = queues
        self._concurrency = concurrency
        self._batch = batch
        self._waiting = Intake(len(queues))
        self._handling = Handling(
            handle,
            handle_many=handle_many,
            parking=parking,
            max_attempts=max_attempts,
            within_s=within_s,
            name=repr(self),
            on_acknowledged=self._stir,
        )
        self._subscribed = False
        self._delivered = 0
        self._stirred_at = float("-inf")
        for queue in queues:
            for outcome in ("ok", "retry", "dead"):
                PROCESSED.labels(queue.name, outcome)
        self._tell_stopped()

    def __repr__(self) -> str:
        return f"worker of {', '.join(queue.name for queue in self._queues)}"

    def check(self) -> None:
        """Raise with the reason why this worker is not at work."""
        if (breaker := self._handling.breaker).is_open:
            raise TooManyDead(
                f"{self!r} takes no more, since too many messages in a row came to nothing; it tries "
                f"one every {breaker.rest.total_seconds():g} s. `darkroom parked list --dead --queue "
                f"{self._queues[-1].name}` names them"
            )
        if (why := self._handling.holds) is not None:
            raise DatabaseUnavailable(f"{self!r} holds its messages: {why}")
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
                if self._handling.breaker.is_open:
                    await self._try_one(stop)
                    continue
                await self._consume(stop)
                told = False
            except (BrokerUnavailable, *GONE) as error:
                # A queue that is missing is an error of the installation, and a loud one.
                if self._link.is_open and not told:
                    log.error("consumer.refused", worker=repr(self), error=str(error))
                    told = True
            if not stop.is_set():
                await self._pause(stop, COME_BACK_S * (0.5 + random.random() / 2))  # noqa: S311

    async def _connected(self, stop: asyncio.Event) -> AbstractConnection | None:
        """The link once it is there; None: we are to stop."""
        connecting = asyncio.create_task(self._link.connection())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return connecting.result() if connecting.done() else None
        finally:
            connecting.cancel()
            stopping.cancel()

    async def _consume(self, stop: asyncio.Event) -> None:
        """Subscribe, and stay until we are stopped, the broker ends it, or too much dies here.

        Drains before leaving.
        """
        connection = await self._connected(stop)
        if connection is None:
            return
        stopping = asyncio.create_task(stop.wait())
        breaking = asyncio.create_task(self._handling.stopped.wait())
        forgotten = asyncio.create_task(self._forgotten(connection))
        try:
            ended = asyncio.Event()
            async with deadline(CALL_TIMEOUT_S, "opening a channel"):
                channel = await connection.channel(publisher_confirms=False)
            channel.close_callbacks.add(lambda *_: ended.set())

            async def cancelled_by_broker(*_about: object) -> None:
                ended.set()

            try:
                async with deadline(CALL_TIMEOUT_S, "subscribing"):
                    underlay = await channel.get_underlay_channel()
                    underlay.on_consumer_cancel_callbacks.add(cancelled_by_broker)
                    # As many as are handled at once, and one batch or one each to be at hand.
                    prefetch = max(self._batch, self._concurrency) + min(self._batch, 64)
                    await channel.set_qos(prefetch_count=prefetch)
                    tags = await self._subscribe(channel, underlay)
            except BaseException:
                # Of several queues some may be consumed by now: that nobody would ever cancel.
                await self._close(channel)
                raise
            self._subscribed = True
            log.info("consumer.subscribed", worker=repr(self), prefetch=prefetch)
            ending = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait(
                    {ending, stopping, breaking, forgotten}, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                ending.cancel()
                self._subscribed = False
            if ended.is_set():
                log.warning("consumer.lost", worker=repr(self))
            elif forgotten.done() and not breaking.done() and not stop.is_set():
                log.warning("consumer.forgotten", worker=repr(self), why=forgotten.result())
            elif breaking.done():
                await self._give_back(underlay, tags)
            else:
                await self._drain(underlay, tags)
            await self._close(channel)
        finally:
            stopping.cancel()
            breaking.cancel()
            forgotten.cancel()
            await asyncio.gather(forgotten, return_exceptions=True)

    async def _forgotten(self, connection: AbstractConnection) -> str:
        """Why nothing will come any more although nobody said so, as soon as that shows: a queue of
        ours has no consumer, or what lies in it is not given to us, who have nothing in hand."""
        while True:
            await asyncio.sleep(LISTEN_EVERY_S)
            try:
                async with deadline(CALL_TIMEOUT_S, "opening a channel"):
                    looking = await connection.channel(publisher_confirms=False)
                try:
                    return await self._until_deaf(await looking.get_underlay_channel())
                finally:
                    await self._close(looking)
            except ChannelNotFoundEntity:
                return "a queue is not there"
            except (BrokerUnavailable, *GONE) as error:
                # It says nothing of what we subscribed to. Of a link that is gone others tell.
                log.debug("consumer.not_checked", worker=repr(self), error=type(error).__name__)

    async def _until_deaf(self, underlay: UnderlayChannel) -> str:
        suspected, before = False, self._delivered
        while True:
            waiting = 0
            for queue in self._queues:
                async with deadline(CALL_TIMEOUT_S, "looking at a queue"):
                    found = await underlay.queue_declare(queue.name, passive=True)
                if self._subscribed and not found.consumer_count:
                    return f"{queue.name} knows no consumer"
                waiting += found.message_count or 0
            deaf = bool(waiting) and self._waiting.is_empty and self._delivered == before
            if deaf and suspected:
                return f"{waiting} messages lie there, and none comes"
            suspected, before = deaf, self._delivered
            await asyncio.sleep(LISTEN_EVERY_S)

    async def _give_back(self, underlay: UnderlayChannel, tags: list[str]) -> None:
        """Take no more, and let what is being handled end. What is prefetched goes back with the
        channel: here it would die, and another replica may be of a better release."""
        log.error(
            "consumer.stopped",
            worker=repr(self),
            why=self._handling.breaker.reason,
            next_try_s=self._handling.breaker.rest.total_seconds(),
        )
        self._tell_stopped()
        for tag in tags:
            async with deadline(CALL_TIMEOUT_S, "cancelling a consumer"):
                await underlay.basic_cancel(tag)
        await self._handling.room.empty()
        self._tell_stopped()

    async def _try_one(self, stop: asyncio.Event) -> None:
        """Rest; then take one message, of the first queue that has any, and see how it ends."""
        await self._pause(stop, self._handling.breaker.rest.total_seconds())
        connection = await self._connected(stop)
        if connection is None or stop.is_set():
            return
        async with deadline(CALL_TIMEOUT_S, "opening a channel"):
            channel = await connection.channel(publisher_confirms=False)
        try:
            for queue in self._queues:
                async with deadline(CALL_TIMEOUT_S, "taking one message"):
                    source = await channel.get_queue(queue.name, ensure=False)
                    message = await source.get(fail=False)
                if message is not None:
                    await self._handling.try_one(Delivery(message, queue.name, channel))
                    break
        finally:
            await self._close(channel)
        if not self._handling.breaker.is_open:
            log.info("consumer.healed", worker=repr(self))
            self._tell_stopped()

    def _tell_stopped(self) -> None:
        for queue in self._queues:
            STOPPED.labels(queue.name).set(self._handling.breaker.is_open)

    async def _close(self, channel: AbstractChannel) -> None:
        with suppress(BrokerUnavailable, *GONE):
            async with deadline(CALL_TIMEOUT_S, "closing a channel"):
                await channel.close()

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
                self._stir()
                self._delivered += 1
                message = IncomingMessage(delivered, no_ack=False)
                self._waiting.put(Delivery(message, name, channel), place)

            consuming = await underlay.basic_consume(queue=name, consumer_callback=enqueue)
            self._stir()
            tags.append(consuming.consumer_tag or "")
        return tags

    async def _drain(self, underlay: UnderlayChannel, tags: list[str]) -> None:
        """Cancel the subscription, then finish what is prefetched: given back, each message would
        cost one of its deliveries. The service bounds how long this may take."""
        # Each acknowledgement makes the broker send another message, and what a quorum queue sends
        # while its consumer is being cancelled is lost on the way and given back (measured, 3.10:
        # up to all of the prefetch). So: nothing is acknowledged until the cancel is through.
        self._handling.may_acknowledge.clear()
        try:
            while (left := self._quiet_in()) > 0:  # noqa: ASYNC110 - time itself is awaited
                await asyncio.sleep(left)
            for tag in tags:
                async with deadline(CALL_TIMEOUT_S, "cancelling a consumer"):
                    await underlay.basic_cancel(tag)
        finally:
            self._handling.may_acknowledge.set()
        await self._waiting.empty()
        await self._handling.room.empty()

    def _stir(self) -> None:
        self._stirred_at = asyncio.get_running_loop().time()

    def _quiet_in(self) -> float:
        return self._stirred_at + QUIET_S - asyncio.get_running_loop().time()

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()

    # ---- handling

    async def _work(self) -> None:
        while True:
            deliveries = await self._waiting.take(self._batch)
            try:
                live = [delivery for delivery in deliveries if not delivery.is_stale]
                await self._handling.deal_with(live)
            finally:
                self._waiting.done(len(deliveries))
