"""The message relay: publishes what the journal owes, and never gives up."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from shared.db import journal
from shared.db.connection import Database
from shared.db.journal import Entry
from shared.errors import BrokerUnavailable, DatabaseUnavailable, Transient, Unroutable
from shared.messaging.publisher import Publisher

log = structlog.get_logger()

BATCH = 200
# The bell wakes it at once; this only bounds how long another process's rows wait.
POLL_S = 1.0
# Of one batch: its rows stay locked so long at the most.
BATCH_WITHIN_S = 10.0
LONGEST_PAUSE_S = 5.0

RELAYED = Counter("darkroom_relayed_total", "Journal rows published", ["outcome"])
OWED_AGE = Gauge(
    "darkroom_outbox_oldest_age_seconds", "Age of the oldest row that this relay took last"
)
for outcome in ("confirmed", "failed"):
    RELAYED.labels(outcome)


def relay(
    database: Database, publisher: Publisher
) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
    """The worker that relays. Any number of them may run: rows are claimed, never skipped past."""

    async def worker(stop: asyncio.Event) -> None:
        pause = 0.0
        while not stop.is_set():
            try:
                relayed = await relay_once(database, publisher)
                pause = 0.0
            except (DatabaseUnavailable, BrokerUnavailable, Transient) as error:
                pause = min(LONGEST_PAUSE_S, max(0.25, pause * 2))
                log.warning("relay.waiting", error=str(error), pause_s=pause)
                await _sleep_or(stop, pause * (1 + random.random()))  # noqa: S311
                continue
            if relayed < BATCH:
                await _rung_or(stop, database, POLL_S)
        # What our last commits stated goes out before we do.
        try:
            await relay_once(database, publisher)
        except (DatabaseUnavailable, Transient) as error:
            log.info("relay.left_to_others", error=str(error))

    return worker


async def relay_once(database: Database, publisher: Publisher) -> int:
    """Publish one batch of what is owed; how many rows are settled now.

    Claim, publish, mark, commit: a relay that dies in between owes the rows again, and receivers
    take a second delivery. One row that the broker will not take does not hold the others.
    Raises BrokerUnavailable where not one row of the batch went out.
    """
    async with database.transaction() as tx:
        entries = await journal.claim_owed(tx, BATCH)
        if not entries:
            return 0
        outcomes = await asyncio.gather(*(_publish(publisher, entry) for entry in entries))
        done = [entry.id for entry, error in zip(entries, outcomes, strict=True) if error is None]
        await journal.mark_published(tx, done)
    RELAYED.labels("confirmed").inc(len(done))
    RELAYED.labels("failed").inc(len(entries) - len(done))
    failures = [error for error in outcomes if error is not None]
    if failures and not done:
        raise failures[0]
    for entry, error in zip(entries, outcomes, strict=True):
        if isinstance(error, Unroutable):
            log.error("relay.unroutable", event_id=entry.event_id, type=entry.type)
    return len(done)


async def _publish(publisher: Publisher, entry: Entry) -> Transient | None:
    try:
        await publisher.publish(entry.envelope, timeout=BATCH_WITHIN_S)
    except (BrokerUnavailable, Unroutable) as error:
        return error
    except LookupError:
        # Said again after its body's retention: there is nothing to say any more.
        log.error("relay.body_gone", event_id=entry.event_id, type=entry.type)
    return None


async def _rung_or(stop: asyncio.Event, database: Database, seconds: float) -> None:
    rung = asyncio.create_task(database.facts_owed.wait(seconds))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({rung, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        rung.cancel()
        stopping.cancel()


async def _sleep_or(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
