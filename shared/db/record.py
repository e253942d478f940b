"""News of a prediction, taken in: journal it, find its purchase, move prediction, slot and job.

Whoever hears ``prediction.*`` calls ``record``, so webhook and reconciler mean the same. Bodies
come twice, late, out of order, and overtake our own commits; everything here may run again.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from shared import events
from shared.db import jobs, journal, predictions, slots
from shared.db.connection import Connection
from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.failure import failure_code, failure_words
from shared.domain.hearing import further, told_to_slot
from shared.domain.job import JobState
from shared.domain.prediction import TERMINAL, Prediction, Status, Unreadable, read_prediction
from shared.domain.slot import VERDICTS, FailureCode, Move, SlotState, Stale, decide
from shared.domain.slot_ref import SlotRef, read_slot_ref, slot_ref_of_url
from shared.envelope import FROM_WEBHOOK, ORIGIN, SLOT, Envelope

# Replicate removes inputs, outputs and files of API predictions one hour after they completed
# (its page on data retention). An installation may say otherwise: FilesLiveSettings.
FILES_LIVE = timedelta(hours=1)

# Whether another purchase for the slot is allowed, left and worth it; built from the recipe.
AgainRule: TypeAlias = Callable[[Job, Slot, FailureCode, str | None], bool]


class Outcome(StrEnum):
    """What a piece of news did."""

    MOVED = "moved"  # prediction and slot
    STALE = "stale"  # the prediction moved; its slot does not depend on it, or not on this
    NOTHING_NEW = "nothing_new"
    LOST = "lost"  # the slot is closed, or another attempt won it
    DATA_REMOVED = "data_removed"  # moved: it succeeded, but its files are gone already
    UNKNOWN = "unknown"  # no purchase of ours
    AMBIGUOUS = "ambiguous"  # more than one purchase could be meant, or another is known
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What ``record`` found and did; ``slot`` and ``prediction`` as they are afterwards.

    ``news`` is the body as read. Job and slot are not read for news of a run that is known to run.
    ``wins``: this prediction is its slot's winner, also when the news is a duplicate. ``closes``:
    this news closed the slot, and the fact is stated. Nothing moved for UNKNOWN, AMBIGUOUS and
    UNREADABLE: the caller raises Permanent after the commit, so that the message is parked for a
    look.
    """

    outcome: Outcome
    news: Prediction | None = None
    job: Job | None = None
    slot: Slot | None = None
    prediction: PredictionRow | None = None
    wins: bool = False
    closes: bool = False


async def record(
    tx: Connection,
    envelope: Envelope,
    *,
    again: AgainRule,
    now: datetime,
    files_live: timedelta = FILES_LIVE,
    source: str = "generator",
) -> Recorded:
    """Take in one ``prediction.*`` event.

    ``now`` stands in for a completion time that the body lacks. ``files_live``: how long after it
    the provider deletes the files. ``source`` is the service that states ``slot.failed``, if this
    news closes the slot so. Locks job, slot, prediction, in turn.
    """
    try:
        news = read_prediction(envelope.body)
    except Unreadable:
        await journal.hear(tx, envelope, outcome=Outcome.UNREADABLE)
        return Recorded(outcome=Outcome.UNREADABLE)

    # When the provider called, however long the news lay in a queue or was replayed since.
    called_at = envelope.time if envelope.extensions.get(ORIGIN) == FROM_WEBHOOK else None
    if news.status in (Status.STARTING, Status.PROCESSING):
        running = await predictions.note_still_running(tx, news, called_at=called_at)
        if running is not None:
            await journal.hear(
                tx,
                envelope,
                outcome=Outcome.NOTHING_NEW,
                job_id=running.job_id,
                ordinal=running.ordinal,
            )
            return Recorded(outcome=Outcome.NOTHING_NEW, news=news, prediction=running)

    purchase = await _find(tx, news, envelope)
    if isinstance(purchase, Outcome):
        await journal.hear(tx, envelope, outcome=purchase)
        return Recorded(outcome=purchase, news=news)

    recorded = await _take_in(
        tx, news, purchase, again=again, now=now, files_live=files_live, called_at=called_at
    )
    await journal.hear(
        tx,
        envelope,
        outcome=recorded.outcome,
        job_id=purchase.job_id,
        ordinal=purchase.ordinal,
    )
    if recorded.closes and recorded.slot is not None:
        await _say_failed(
            tx,
            recorded.slot,
            attempt=purchase.attempt,
            source=source,
            now=now,
            causation=envelope,
        )
    return recorded


async def fail(
    tx: Connection,
    slot: Slot,
    to: Move,
    *,
    attempt: int,
    code: FailureCode,
    detail: str,
    source: str,
    now: datetime,
    causation: Envelope | None = None,
) -> Slot | None:
    """Carry out a move that ends an attempt: another one, or the end of the slot *with its fact*.

    For every service that decides a slot's fate. Files that are gone are a loss of the attempt that
    paid for them, also where another one follows. None: somebody moved it first.
    """
    if code is FailureCode.EXPIRED:
        await predictions.set_lost(tx, slot.job_id, slot.ordinal, attempt)
    if to.to is not SlotState.FAILED:
        return await slots.move(tx, slot, to)
    moved = await slots.move(tx, slot, to, code=code, detail=detail)
    if moved is not None:
        if slot.attempt > 1:
            await predictions.want_cancel_losers(tx, slot.job_id, slot.ordinal, winner=None)
        await _say_failed(tx, moved, attempt=attempt, source=source, now=now, causation=causation)
    return moved


async def _say_failed(
    tx: Connection,
    slot: Slot,
    *,
    attempt: int,
    source: str,
    now: datetime,
    causation: Envelope | None,
) -> None:
    fact = events.SlotFailed(
        job_id=slot.job_id,
        ordinal=slot.ordinal,
        attempt=attempt,
        code=slot.failure_code or FailureCode.PROVIDER,
        detail=slot.failure_detail or "",
    )
    said = await journal.say(
        tx, events.state(fact, source=source, now=now, causation=causation), ordinal=slot.ordinal
    )
    if not said:
        raise RuntimeError(f"slot {slot.job_id}.{slot.ordinal} closed twice")


async def _take_in(
    tx: Connection,
    news: Prediction,
    purchase: PredictionRow,
    *,
    again: AgainRule,
    now: datetime,
    files_live: timedelta,
    called_at: datetime | None,
) -> Recorded:
    job = await jobs.get(tx, purchase.job_id)
    if job is not None and job.state in (JobState.PENDING, JobState.QUEUED):
        # Only the first news of a job takes this lock, and takes it before the slot's.
        await jobs.lock(tx, job.id)
        await jobs.to_running(tx, job.id)
        job = await jobs.get(tx, job.id)
    slot = await slots.lock(tx, purchase.job_id, purchase.ordinal)
    row = await predictions.lock(tx, purchase.job_id, purchase.ordinal, purchase.attempt)
    if job is None or slot is None or row is None:
        return Recorded(outcome=Outcome.UNKNOWN, news=news)  # deleted after its retention
    if row.prediction_id not in (None, news.id):
        return Recorded(outcome=Outcome.AMBIGUOUS, news=news, job=job)
    if row.is_final:
        # Its verdict moved what it could when it came first; what contradicts it comes too late.
        return Recorded(
            outcome=Outcome.NOTHING_NEW,
            news=news,
            job=job,
            slot=slot,
            prediction=row,
            wins=slot.winner == row.attempt,
        )

    moved = await _move_slot(tx, news, job, slot, row, again=again, now=now, files_live=files_live)
    after = moved or slot
    wins = after.winner == row.attempt
    lost = not wins and (after.is_closed or after.state is SlotState.SUCCEEDED or not job.is_open)
    status = further(row.status, news.status)
    updated = await predictions.advance(
        tx,
        row,
        news,
        status=status,
        adopted=row.prediction_id is None,
        cancel_wanted=lost and status not in TERMINAL,
        called_at=called_at,
    )
    decided = moved is not None and (moved.state is SlotState.SUCCEEDED or moved.is_closed)
    if decided and slot.attempt > 1:
        # Also after a failure: what was given up as never bought may run all the same.
        await predictions.want_cancel_losers(tx, slot.job_id, slot.ordinal, winner=after.winner)
    return Recorded(
        outcome=_outcome(news, row, updated, moved, lost=lost),
        news=news,
        job=job,
        slot=after,
        prediction=updated,
        wins=wins,
        closes=moved is not None and moved.is_closed,
    )


async def _move_slot(
    tx: Connection,
    news: Prediction,
    job: Job,
    slot: Slot,
    row: PredictionRow,
    *,
    again: AgainRule,
    now: datetime,
    files_live: timedelta,
) -> Slot | None:
    """Move the locked slot where the table says so; None: it stays where it is."""
    told = told_to_slot(
        news.status,
        current=row.attempt == slot.attempt,
        cancel_wanted=row.cancel_wanted_at is not None,
    )
    if told is None:
        return None
    failed = failure_code(news.status, news.error) if news.status and told in VERDICTS else None
    to = decide(
        slot.state,
        told,
        again=failed is not None and job.is_open and again(job, slot, failed, news.error),
    )
    if isinstance(to, Stale):
        return None
    if to.to is SlotState.SUCCEEDED:
        expires_at = min(news.completed_at or now, now) + files_live
        return await slots.move(tx, slot, to, winner=row.attempt, expires_at=expires_at)
    if to.to is SlotState.FAILED and news.status:
        detail = failure_words(news.status, news.error)
        return await slots.move(tx, slot, to, code=failed, detail=detail)
    return await slots.move(tx, slot, to)


async def _find(tx: Connection, news: Prediction, envelope: Envelope) -> PredictionRow | Outcome:
    known = await predictions.by_prediction_id(tx, news.id)
    if known is not None:
        return known
    # The signed body speaks first; the address that the webhook came to only where it is silent.
    ref: SlotRef | None = slot_ref_of_url(news.webhook) or read_slot_ref(
        envelope.extensions.get(SLOT)
    )
    if ref is not None:
        return await predictions.by_ref(tx, ref) or Outcome.UNKNOWN
    return await _find_by_input(tx, news)


async def _find_by_input(tx: Connection, news: Prediction) -> PredictionRow | Outcome:
    """Find a purchase that carries no slot: by the job in its links, and the seed, if one fits."""
    named = set(_job_ids(news.input))
    if not named:
        return Outcome.UNKNOWN
    if len(named) > 1:
        return Outcome.AMBIGUOUS
    seed = news.input.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or abs(seed) >= 2**63:
        seed = None
    rows = await predictions.by_input(tx, named.pop(), seed)
    unexplained = [row for row in rows if row.prediction_id is None and _may_be_bought(row)]
    if len(unexplained) == 1:
        return unexplained[0]
    return Outcome.AMBIGUOUS if rows else Outcome.UNKNOWN


def _may_be_bought(row: PredictionRow) -> bool:
    return row.outcome not in (predictions.Purchase.REFUSED, predictions.Purchase.NOT_BOUGHT)


_JOB_IN_LINK = re.compile(r"/jobs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")


def _job_ids(value: Any) -> Iterable[UUID]:
    if isinstance(value, str):
        # An original may travel inside the input as data: megabytes that hold no link.
        yield from map(UUID, _JOB_IN_LINK.findall(value[:4096]))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _job_ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _job_ids(inner)


def _outcome(
    news: Prediction, before: PredictionRow, after: PredictionRow, moved: Slot | None, *, lost: bool
) -> Outcome:
    if moved is not None:
        gone = news.data_removed and news.status is Status.SUCCEEDED
        return Outcome.DATA_REMOVED if gone else Outcome.MOVED
    if before.prediction_id is not None and before.status == after.status:
        return Outcome.NOTHING_NEW
    return Outcome.LOST if lost else Outcome.STALE
