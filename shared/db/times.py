"""SQL for where a job's time went: the moments that are on record, without the weight of bodies."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from shared.db import jobs, server_clock
from shared.db.connection import Connection, Row
from shared.db.parked import WAITED
from shared.domain.clocks import Clock
from shared.domain.identity import verdict_id
from shared.domain.prediction import FACT_OF_STATUS, TERMINAL
from shared.domain.slot import SlotState
from shared.domain.times import Bought, JobTimes, SlotTimes, Stored, Verdict, Wait
from shared.envelope import FROM_RECONCILER, HANDED_AT, RECEIVED_AT, WEBHOOK_TIMESTAMP
from shared.events import (
    ArtifactsStored,
    JobAccepted,
    ReportFailed,
    ReportPublished,
    SlotFailed,
    UploadReceived,
)

_VERDICTS = [FACT_OF_STATUS[status] for status in sorted(TERMINAL)]
_CLOSINGS = (ArtifactsStored.type, SlotFailed.type)
_REPORTS = (ReportPublished.type, ReportFailed.type)
_SMALL = [ArtifactsStored.type, JobAccepted.type]  # ours, and with times inside
_WANTED = [*_VERDICTS, *_CLOSINGS, *_REPORTS, JobAccepted.type, UploadReceived.type, WAITED]

_STORED = TypeAdapter(Stored)
_INSTANT = TypeAdapter(datetime)


@dataclass(slots=True)
class _Told:
    """What the journal says, by what it is about."""

    order: Row | None = None
    accepted: Row | None = None
    reported_at: datetime | None = None
    closings: dict[int, Row] = field(default_factory=dict)
    verdicts: dict[str, Row] = field(default_factory=dict)  # by the fact's id
    waits: defaultdict[str, list[Wait]] = field(default_factory=lambda: defaultdict(list))


async def read(tx: Connection, job_id: UUID) -> JobTimes | None:
    """What is known of the time of a job and its slots, or None where there is no such job."""
    job = await jobs.get(tx, job_id)
    if job is None:
        return None
    told = _told(
        await tx.fetch(
            """
            SELECT event_id, type, ordinal, origin, causation_id, occurred_at, recorded_at, outcome,
                   headers ->> $3 AS received_at, headers ->> $4 AS handed_at,
                   headers ->> $5 AS sent_at,
                   CASE WHEN type = ANY($6) THEN body END AS body
              FROM journal
             WHERE job_id = $1
               AND type = ANY($2)
          ORDER BY id
            """,
            job_id,
            _WANTED,
            RECEIVED_AT,
            HANDED_AT,
            WEBHOOK_TIMESTAMP,
            _SMALL,
        )
    )
    slots = await tx.fetch(
        """
        SELECT ordinal, state, coalesce(winner, attempt) AS attempt, moved_at, counted_at,
               reused_from
          FROM slot
         WHERE job_id = $1
      ORDER BY ordinal
        """,
        job_id,
    )
    bought: defaultdict[int, list[Row]] = defaultdict(list)
    for row in await tx.fetch(
        """
        SELECT ordinal, attempt, prediction_id, status, outcome, intended_at, first_intended_at,
               answered_at, created_at, started_at, completed_at, predict_seconds, lost_at
          FROM prediction
         WHERE job_id = $1
      ORDER BY ordinal, attempt
        """,
        job_id,
    ):
        bought[row["ordinal"]].append(row)
    if any(row["counted_at"] is None for row in slots):
        await _add_parked(tx, told)
    # An order that the api wrote into the journal has the database's time.
    by_us = told.order is not None and told.order["origin"] == "stated"
    return JobTimes(
        job_id=job_id,
        ordered_at=told.order["recorded_at"] if told.order and by_us else job.ordered_at,
        ordered_by=Clock.DATABASE if by_us else Clock.PUBLISHER,
        taken_at=_taken_at(told.accepted),
        planned_at=job.created_at,
        read_at=await server_clock.read(tx),
        waits=tuple(told.waits[told.order["event_id"]]) if told.order else (),
        slots=tuple(_slot(row, bought[row["ordinal"]], told) for row in slots),
        ended_at=job.ended_at,
        reported_at=told.reported_at,
    )


def _told(rows: Iterable[Row]) -> _Told:
    told = _Told()
    for row in rows:
        kind = row["type"]
        if kind in _VERDICTS:
            told.verdicts[row["event_id"]] = row
        elif kind in _CLOSINGS:
            told.closings[row["ordinal"]] = row
        elif kind in _REPORTS:
            told.reported_at = row["recorded_at"]
        elif kind == WAITED:
            wait = Wait(parked_at=row["occurred_at"], brought_at=row["recorded_at"])
            told.waits[row["causation_id"]].append(wait)
        elif kind == JobAccepted.type:
            told.accepted = row
        elif told.order is None:  # the first order stands; others of the job are duplicates
            told.order = row
    return told


async def _add_parked(tx: Connection, told: _Told) -> None:
    """What lies parked at this moment of what an open slot waits for."""
    about = [*told.verdicts, *(row["event_id"] for row in told.closings.values())]
    for row in await tx.fetch(
        "SELECT event_id, parked_at FROM parked_message WHERE event_id = ANY($1)", about
    ):
        told.waits[row["event_id"]].append(Wait(parked_at=row["parked_at"], brought_at=None))


def _slot(row: Row, bought: Sequence[Row], told: _Told) -> SlotTimes:
    state = SlotState(row["state"])
    closing = told.closings.get(row["ordinal"])
    closed_at: datetime | None = None
    if state in (SlotState.STORED, SlotState.FAILED):
        closed_at = closing["recorded_at"] if closing else row["moved_at"]
    elif state is SlotState.CANCELED:
        closed_at = row["counted_at"] or row["moved_at"]
    return SlotTimes(
        ordinal=row["ordinal"],
        state=state,
        attempt=row["attempt"],
        bought=tuple(_bought(one, row["attempt"], told) for one in bought),
        stored=_stored(closing) if state is SlotState.STORED else None,
        closed_at=closed_at,
        counted_at=row["counted_at"],
        waits=tuple(told.waits[closing["event_id"]]) if closing else (),
        reused_from=row["reused_from"],
    )


def _bought(row: Row, counts: int, told: _Told) -> Bought:
    unknown = row["prediction_id"] is None
    news = None if unknown else told.verdicts.get(verdict_id(row["prediction_id"], row["status"]))
    return Bought(
        attempt=row["attempt"],
        first_intended_at=row["first_intended_at"],
        intended_at=row["intended_at"],
        answered_at=row["answered_at"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        run_seconds=row["predict_seconds"],
        never_made=unknown and (row["outcome"] == "not_listed" or row["attempt"] < counts),
        not_taken=row["outcome"] == "not_bought",
        lost_at=row["lost_at"],
        verdict=None if news is None else _verdict(news, told),
    )


def _verdict(row: Row, told: _Told) -> Verdict:
    return Verdict(
        recorded_at=row["recorded_at"],
        found=row["origin"] == FROM_RECONCILER,
        succeeded=row["type"] == "prediction.succeeded",
        sent_at=_unix(row["sent_at"]),
        received_at=_instant(row["received_at"]),
        handed_at=_instant(row["handed_at"]),
        waits=tuple(told.waits[row["event_id"]]),
    )


def _stored(closing: Row | None) -> Stored | None:
    """Storage's own times; None where its fact is past its retention, or older than they are."""
    try:
        times = json.loads(closing["body"])["times"] if closing and closing["body"] else None
        return None if times is None else _STORED.validate_python(times)
    except (ValueError, KeyError, ValidationError):
        return None


def _taken_at(accepted: Row | None) -> datetime | None:
    try:
        told = json.loads(accepted["body"])["taken_at"] if accepted and accepted["body"] else None
        return None if told is None else _INSTANT.validate_python(told)
    except (ValueError, KeyError, ValidationError):
        return None


def _instant(text: str | None) -> datetime | None:
    try:
        instant = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant is not None and instant.tzinfo else None


def _unix(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
