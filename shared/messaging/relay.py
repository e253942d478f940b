"""The message relay: publishes what the journal owes, and never gives up."""

import asyncio
import random
from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from shared.db import journal
from shared.db.connection import Database
from shared.db.journal import Entry
from shared.envelope import FROM_RECONCILER
from shared.errors import BrokerUnavailable, DatabaseUnavailable, Permanent, Transient, Unroutable
from shared.messaging.publisher import Publisher
from shared.messaging.topology import Service, relayed_by, urgent_queue
from shared.runtime import Last

log = structlog.get_logger()

BATCH = 200
# The bell wakes it at once; this only bounds how long another process's rows wait: those of one
# that died, or of an operator who says facts again.
POLL_S = 5.0
# Of one batch together, and then of those that are tried alone: its rows stay locked so long at
# the most.
BATCH_WITHIN_S = 10.0
ALONE_WITHIN_S = 5.0
LONGEST_PAUSE_S = 5.0

RELAYED = Counter("darkroom_relayed_total", "Journal rows published", ["outcome"])
for outcome in ("confirmed", "failed"):
    RELAYED.labels(outcome)

# Why a row did not go out, or None: it did.
Trouble = Transient | Permanent | None


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one batch: how many rows were taken and settled, where to go on (0: from the
    first again), and the broker's fault where not one row went out for it."""

    taken: int
    settled: int
    go_on_past: int
    fault: BrokerUnavailable | None


def relay(
    database: Database,
    publisher: Publisher,
    *,
    of: Service | None = None,
    poll_s: float = POLL_S,
) -> Last:
    """The worker that relays, and the last to leave. Any number of them may run: rows are claimed,
    never skipped past.

    ``of``: only what that service may state, since the broker takes no more from it. It looks for
    rows of other processes every ``poll_s``, with one small question.
    """
    types = None if of is None else relayed_by(of)

    async def worker(stop: asyncio.Event) -> None:
        pause, past = 0.0, 0
        while not stop.is_set():
            try:
                done = await relay_once(database, publisher, past=past, types=types)
                past = done.go_on_past
                if done.fault is not None:
                    raise done.fault
            except (DatabaseUnavailable, Transient) as error:
                pause = min(LONGEST_PAUSE_S, max(0.25, pause * 2))
                log.warning("relay.waiting", error=str(error), pause_s=pause)
                await _sleep_or(stop, pause * (1 + random.random()))  # noqa: S311
                continue
            pause = 0.0
            if done.taken < BATCH:
                await _owed_or(stop, database, types, poll_s)
        # What the others stated with their last commits goes out before we do.
        try:
            await relay_once(database, publisher, types=types)
        except (DatabaseUnavailable, Transient) as error:
            log.info("relay.left_to_others", error=str(error))

    return Last(worker)


async def relay_once(
    database: Database,
    publisher: Publisher,
    *,
    past: int = 0,
    types: Sequence[str] | None = None,
) -> Round:
    """Publish one batch of what is owed.

    Claim, publish, mark, commit: a relay that dies in between owes the rows again, and receivers
    take a second delivery. A row that the broker does not take holds nobody: its neighbours are
    tried without it, and a whole batch of such rows is stepped over until the next time around.
    Raises BrokerUnavailable while there is nothing to publish on, before any row is locked for it.
    """
    await publisher.ping()
    async with database.transaction() as tx:
        entries = await journal.claim_owed(tx, BATCH, past=past, types=types)
        if not entries:
            return Round(0, 0, 0, None)
        troubles = await _published(publisher, entries)
        done = [entry.id for entry in entries if troubles[entry.id] is None]
        await journal.mark_published(tx, done)
    RELAYED.labels("confirmed").inc(len(done))
    RELAYED.labels("failed").inc(len(entries) - len(done))
    _tell(entries, troubles)
    if len(entries) < BATCH:
        past = 0
    elif len(done) < len(entries):
        past = entries[-1].id
    faults = [trouble for trouble in troubles.values() if isinstance(trouble, BrokerUnavailable)]
    return Round(len(entries), len(done), past, faults[0] if faults and not done else None)


async def _published(publisher: Publisher, entries: Sequence[Entry]) -> dict[int, Trouble]:
    """What became of each row, by its id. They go out together; one that the broker refuses by
    closing the channel takes the others along, so those are tried again one after another."""
    outcomes = await asyncio.gather(
        *(_publish(publisher, entry, BATCH_WITHIN_S) for entry in entries)
    )
    troubles = {entry.id: trouble for entry, trouble in zip(entries, outcomes, strict=True)}
    lost = [entry for entry in entries if isinstance(troubles[entry.id], BrokerUnavailable)]
    if lost:
        # Away, or just not taking these? Only then it is worth to try them alone.
        with suppress(BrokerUnavailable, TimeoutError):
            await publisher.ping()
            async with asyncio.timeout(ALONE_WITHIN_S):
                for entry in lost:
                    troubles[entry.id] = await _publish(publisher, entry, ALONE_WITHIN_S)
    return troubles


async def _publish(publisher: Publisher, entry: Entry, timeout: float) -> Trouble:
    try:
        found_late = entry.origin == FROM_RECONCILER
        await publisher.publish(
            entry.envelope,
            to_queue=urgent_queue(entry.type) if found_late else None,
            timeout=timeout,
        )
    except (BrokerUnavailable, Unroutable, Permanent) as error:
        return error
    except LookupError:
        # Said again after its body's retention: there is nothing to say any more.
        log.error("relay.body_gone", event_id=entry.event_id, type=entry.type)
    return None


def _tell(entries: Sequence[Entry], troubles: dict[int, Trouble]) -> None:
    """One line for each kind, not for each row: a missing queue can owe many."""
    unheard = Tally(e.type for e in entries if isinstance(troubles[e.id], Unroutable))
    for kind, count in unheard.items():
        log.error("relay.unroutable", type=kind, rows=count, mend="darkroom topology apply")
    for entry in entries:
        if isinstance(trouble := troubles[entry.id], Permanent):
            log.error("relay.unfit", event_id=entry.event_id, type=entry.type, why=str(trouble))


async def _owed_or(
    stop: asyncio.Event, database: Database, types: Sequence[str] | None, poll_s: float
) -> None:
    """Return when there may be something to publish, or when we are to stop."""
    while not stop.is_set():
        if await _rung_or(stop, database, poll_s):
            return
        try:
            async with database.connection() as db:
                if await journal.owes(db, types=types):
                    return
        except (DatabaseUnavailable, Transient):
            return  # whoever claims next says so, and waits


async def _rung_or(stop: asyncio.Event, database: Database, seconds: float) -> bool:
    """Whether a commit of our own owes something."""
    rung = asyncio.create_task(database.facts_owed.wait(seconds))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({rung, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return rung.done() and rung.result()
    finally:
        rung.cancel()
        stopping.cancel()


async def _sleep_or(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
