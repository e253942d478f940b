"""SQL for ``slot``: one of the purchases that a job waits for.

Every move is a compare-and-set on state, attempt and fence. Locks are taken job first, then slots
by ordinal, then predictions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.db.connection import Connection, Row
from shared.domain.slot import CLOSED, FailureCode, Move, SlotState

NOW = timedelta(0)
DETAIL_KEPT = 2000  # characters of a failure's words


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSlot:
    """A purchase to come. ``input`` holds object references, never links; ``finish`` are the steps
    (``step``, ``variant``, ``options``) that derive files from its outputs."""

    ordinal: int
    model: str
    input: dict[str, Any]
    seed: int | None = None
    finish: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSlot(NewSlot):
    """A slot that nothing is bought for: its files were made by the attempt ``winner`` of another
    job's purchases, ``reused_from``, and are this job's as well. ``skipped`` as they were there."""

    winner: int
    reused_from: UUID
    skipped: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot(NewSlot):
    """A row of ``slot``.

    ``attempt`` is the current purchase; ``not_listed`` says how many before it turned out never to
    have been made; ``winner`` is the one whose outputs the slot takes.
    ``fence`` grows with every claim, so that a buyer that slept past its lease writes nothing.
    ``expires_at`` is when Replicate deletes the files; ``counted_at`` is the aggregator's.
    ``skipped`` (``index``, ``why``) are outputs that could not be used beside those that could.
    ``reused_from`` is the job whose purchase made its files, where that is another one.
    """

    job_id: UUID
    state: SlotState
    attempt: int
    not_listed: int
    winner: int | None
    due_at: datetime | None
    lease_until: datetime | None
    fence: int
    expires_at: datetime | None
    failure_code: FailureCode | None
    failure_detail: str | None
    skipped: list[dict[str, Any]]
    counted_at: datetime | None
    created_at: datetime
    moved_at: datetime
    reused_from: UUID | None = None

    @property
    def is_closed(self) -> bool:
        return self.state in CLOSED


async def insert_all(tx: Connection, job_id: UUID, slots: Sequence[NewSlot]) -> None:
    """The slots of a new job, all due now. The commit rings ``slots_due``."""
    await tx.execute(
        """
        INSERT INTO slot (job_id, ordinal, model, input, seed, finish, due_at)
        SELECT $1, ordinal, model, input::jsonb, seed, finish::jsonb, now()
          FROM unnest($2::int[], $3::text[], $4::text[], $5::bigint[], $6::text[])
               AS new (ordinal, model, input, seed, finish)
        """,
        job_id,
        [slot.ordinal for slot in slots],
        [slot.model for slot in slots],
        [json.dumps(slot.input) for slot in slots],
        [slot.seed for slot in slots],
        [json.dumps(slot.finish) for slot in slots],
    )
    tx.makes_slots_due = True


async def insert_stored(tx: Connection, job_id: UUID, slots: Sequence[StoredSlot]) -> None:
    """The slots of a new job that came stored: closed, and still to be counted."""
    await tx.execute(
        """
        INSERT INTO slot (job_id, ordinal, state, attempt, winner, model, input, seed, finish,
                          skipped, reused_from)
        SELECT $1, ordinal, 'stored', winner, winner, model, input::jsonb, seed, finish::jsonb,
               skipped::jsonb, reused_from
          FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                      $8::text[], $9::uuid[])
               AS new (ordinal, winner, model, input, seed, finish, skipped, reused_from)
        """,
        job_id,
        [slot.ordinal for slot in slots],
        [slot.winner for slot in slots],
        [slot.model for slot in slots],
        [json.dumps(slot.input) for slot in slots],
        [slot.seed for slot in slots],
        [json.dumps(slot.finish) for slot in slots],
        [json.dumps(slot.skipped) for slot in slots],
        [slot.reused_from for slot in slots],
    )


async def of_job(tx: Connection, job_id: UUID) -> list[Slot]:
    return _slots(await tx.fetch("SELECT * FROM slot WHERE job_id = $1 ORDER BY ordinal", job_id))


async def lacking(tx: Connection, job_id: UUID, *, limit: int) -> list[Slot]:
    """The first slots of a job that did not bring everything: not stored, or with outputs skipped."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM slot
         WHERE job_id = $1
           AND (state <> 'stored' OR skipped <> '[]')
      ORDER BY ordinal
         LIMIT $2
        """,
        job_id,
        limit,
    )
    return _slots(rows)


async def lock(tx: Connection, job_id: UUID, ordinal: int) -> Slot | None:
    """The slot, locked until the end of the transaction."""
    row = await tx.fetchrow(
        "SELECT * FROM slot WHERE job_id = $1 AND ordinal = $2 FOR NO KEY UPDATE", job_id, ordinal
    )
    return None if row is None else _slot(row)


async def move(
    tx: Connection,
    slot: Slot,
    to: Move,
    *,
    due_in: timedelta | None = None,
    lease: timedelta | None = None,
    winner: int | None = None,
    expires_at: datetime | None = None,
    code: FailureCode | None = None,
    detail: str | None = None,
    skipped: list[dict[str, Any]] | None = None,
) -> Slot | None:
    """Move ``slot``, as it was read, by what ``shared.domain.slot.decide`` said.

    None: somebody moved it first; read it again and decide again. To ``pending`` it is due in
    ``due_in`` (now, if None) and forgets winner and expiry, since it will be bought again.
    What a success leaves without its files in our rows may lie in the bucket: see ``waste``.
    ``lease`` belongs to ``creating``; ``winner`` and ``expires_at`` to ``succeeded``; ``code`` and
    ``detail`` to ``failed``; ``skipped`` to ``stored``. The commit rings ``slots_due`` where the
    slot is to be bought.
    """
    pending = to.to is SlotState.PENDING
    row = await tx.fetchrow(
        """
        UPDATE slot
           SET state = $6,
               attempt = attempt + $7,
               not_listed = not_listed + CASE WHEN state = 'in_doubt' THEN $7 ELSE 0 END,
               due_at = now() + $8::interval,
               lease_until = now() + $9::interval,
               winner = CASE WHEN $6 = 'pending' THEN NULL ELSE coalesce($10, winner) END,
               expires_at = CASE WHEN $6 = 'pending' THEN NULL ELSE coalesce($11, expires_at) END,
               failure_code = $12,
               failure_detail = $13,
               skipped = coalesce($14, skipped),
               waste_since = CASE WHEN state = 'succeeded' AND ($6 <> 'stored' OR $14 <> '[]')
                                  THEN now() ELSE waste_since END,
               moved_at = now()
         WHERE job_id = $1
           AND ordinal = $2
           AND state = $3
           AND attempt = $4
           AND fence = $5
     RETURNING *
        """,
        slot.job_id,
        slot.ordinal,
        slot.state,
        slot.attempt,
        slot.fence,
        to.to,
        1 if to.next_attempt else 0,
        (due_in or NOW) if pending else None,
        lease,
        winner,
        expires_at,
        code,
        None if detail is None else detail[:DETAIL_KEPT],
        skipped,
    )
    if row is None:
        return None
    if pending:
        tx.makes_slots_due = True
    return _slot(row)


async def claim_due(tx: Connection, *, limit: int, lease: timedelta) -> list[Slot]:
    """Take due slots of open jobs to buy them: they are ``creating`` under a lease and a new fence.
    Nothing is bought any more once a job's deadline has passed, said or not.

    Write the intent of each in the same transaction. Two claimers share without overlap.
    """
    rows = await tx.fetch(
        """
        WITH due AS (
            SELECT s.job_id, s.ordinal, s.due_at
              FROM slot s
              JOIN job j ON j.id = s.job_id AND j.ended_at IS NULL
             WHERE s.state = 'pending'
               AND s.due_at <= now()
               AND (j.deadline IS NULL OR j.deadline > now())
          ORDER BY s.due_at, s.ordinal
             LIMIT $1
               FOR NO KEY UPDATE OF s SKIP LOCKED
        ), claimed AS (
            UPDATE slot s
               SET state = 'creating', due_at = NULL, lease_until = now() + $2::interval,
                   fence = s.fence + 1, moved_at = now()
              FROM due
             WHERE s.job_id = due.job_id
               AND s.ordinal = due.ordinal
         RETURNING s.*, due.due_at AS was_due_at
        )
        SELECT *
          FROM claimed
      ORDER BY was_due_at, ordinal
        """,
        limit,
        lease,
    )
    return _slots(rows)


async def hold(
    tx: Connection, claimed: Sequence[Slot], *, recipe: str, wait: timedelta, together: int
) -> int:
    """Put slots of ``recipe`` back, claimed in this very transaction and not intended, and with
    them up to ``together`` others of it that are due: none of them may be bought now, and each
    would be claimed in vain. They are due after ``wait``, in the order that they have; how many.
    """
    await tx.execute(
        """
        UPDATE slot
           SET state = 'pending', lease_until = NULL,
               due_at = now() + $3::interval + held.place * interval '1 microsecond'
          FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS held (job_id, ordinal, place)
         WHERE slot.job_id = held.job_id
           AND slot.ordinal = held.ordinal
        """,
        [slot.job_id for slot in claimed],
        [slot.ordinal for slot in claimed],
        wait,
    )
    others = await tx.execute(
        """
        WITH due AS (
            SELECT waits.job_id, waits.ordinal, waits.due_at
              FROM slot waits
              JOIN job wanted ON wanted.id = waits.job_id AND wanted.recipe = $1
             WHERE waits.state = 'pending'
               AND waits.due_at <= now()
               AND wanted.ended_at IS NULL
          ORDER BY waits.due_at, waits.ordinal
             LIMIT $2
               FOR NO KEY UPDATE OF waits SKIP LOCKED
        ), held AS (
            SELECT job_id, ordinal, $4 + row_number() OVER (ORDER BY due_at, ordinal) AS place
              FROM due
        )
        UPDATE slot
           SET due_at = now() + $3::interval + held.place * interval '1 microsecond'
          FROM held
         WHERE slot.job_id = held.job_id
           AND slot.ordinal = held.ordinal
        """,
        recipe,
        together,
        wait,
        len(claimed),
    )
    return len(claimed) + others


async def lease_holds(tx: Connection, slot: Slot) -> bool:
    """Whether a claimed slot is still its claimer's, and its job open: asked once more right
    before the create. A job that has just ended may not have closed its slots yet."""
    holds = await tx.fetchval(
        """
        SELECT true
          FROM slot
          JOIN job ON job.id = slot.job_id AND job.ended_at IS NULL
         WHERE slot.job_id = $1
           AND slot.ordinal = $2
           AND slot.state = 'creating'
           AND slot.fence = $3
           AND slot.lease_until > clock_timestamp()
        """,
        slot.job_id,
        slot.ordinal,
        slot.fence,
    )
    return holds is True


async def next_due_in(tx: Connection) -> timedelta | None:
    """How long until a slot may be bought (zero: now), or None where none waits."""
    wait: timedelta | None = await tx.fetchval(
        """
        SELECT greatest(due_at - now(), interval '0')
          FROM slot
         WHERE state = 'pending'
      ORDER BY due_at
         LIMIT 1
        """
    )
    return wait


async def due(tx: Connection, *, most: int) -> int:
    """How many slots may be bought now, counted up to ``most``."""
    count: int = await tx.fetchval(
        """
        SELECT count(*)
          FROM (SELECT FROM slot WHERE state = 'pending' AND due_at <= now() LIMIT $1) AS enough
        """,
        most,
    )
    return count


async def leases_run_out(tx: Connection, *, limit: int) -> list[Slot]:
    """Slots whose buyer did not come back, locked; move them to ``in_doubt``."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM slot
         WHERE state = 'creating'
           AND lease_until < now()
      ORDER BY lease_until
         LIMIT $1
           FOR NO KEY UPDATE SKIP LOCKED
        """,
        limit,
    )
    return _slots(rows)


async def in_doubt(
    tx: Connection, *, limit: int, younger_than: timedelta | None = None
) -> list[Slot]:
    """Slots whose purchase nobody knows of, the longest in doubt first; ``younger_than`` leaves out
    those that are in doubt for longer."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM slot
         WHERE state = 'in_doubt'
           AND ($2::interval IS NULL OR moved_at > now() - $2)
      ORDER BY moved_at
         LIMIT $1
        """,
        limit,
        younger_than,
    )
    return _slots(rows)


async def several(tx: Connection, keys: Sequence[tuple[UUID, int]]) -> list[Slot]:
    """The slots of these jobs and ordinals."""
    rows = await tx.fetch(
        """
        SELECT slot.*
          FROM unnest($1::uuid[], $2::int[]) AS asked (job_id, ordinal)
          JOIN slot USING (job_id, ordinal)
        """,
        [job_id for job_id, _ in keys],
        [ordinal for _, ordinal in keys],
    )
    return _slots(rows)


async def waits_for_files(tx: Connection, job_id: UUID, ordinal: int, *, attempt: int) -> bool:
    """Whether the files that ``attempt`` won are still to be stored: its job is open, and nobody
    was faster."""
    waits = await tx.fetchval(
        """
        SELECT true
          FROM slot
          JOIN job ON job.id = slot.job_id AND job.ended_at IS NULL
         WHERE slot.job_id = $1
           AND slot.ordinal = $2
           AND slot.state = 'succeeded'
           AND slot.winner = $3
        """,
        job_id,
        ordinal,
        attempt,
    )
    return waits is True


async def unsaved(
    tx: Connection, *, older_than: timedelta, limit: int, past: Slot | None = None
) -> list[Slot]:
    """Slots whose files are still only at Replicate after ``older_than``, soonest expiry first;
    those that come after ``past``, a slot that was read before."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM slot
         WHERE state = 'succeeded'
           AND moved_at < now() - $1::interval
           AND ($3::timestamptz IS NULL OR (expires_at, job_id, ordinal) > ($3, $4::uuid, $5::int))
      ORDER BY expires_at, job_id, ordinal
         LIMIT $2
        """,
        older_than,
        limit,
        past.expires_at if past else None,
        past.job_id if past else None,
        past.ordinal if past else None,
    )
    return _slots(rows)


async def first_expiry(tx: Connection) -> datetime | None:
    """When the next files are deleted that are still only at Replicate; None: all are ours."""
    expiry: datetime | None = await tx.fetchval(
        "SELECT expires_at FROM slot WHERE state = 'succeeded' ORDER BY expires_at LIMIT 1"
    )
    return expiry


async def count_closed(
    tx: Connection, job_id: UUID, ordinals: Sequence[int] | None = None
) -> list[Slot]:
    """Mark closed slots of ``ordinals`` (None: of the whole job) as counted; return those newly so.

    Under the job's lock, which comes first. A slot that is not returned was counted before, or is
    not closed.
    """
    rows = await tx.fetch(
        """
        UPDATE slot
           SET counted_at = now()
         WHERE job_id = $1
           AND ($2::int[] IS NULL OR ordinal = ANY($2))
           AND counted_at IS NULL
           AND state IN ('stored', 'failed', 'canceled')
     RETURNING *
        """,
        job_id,
        None if ordinals is None else sorted(ordinals),
    )
    return _slots(rows)


async def cancel_open(tx: Connection, job_id: UUID) -> list[Slot]:
    """Close what the end of its job leaves open, counted at once; what runs is to be canceled.

    Under the job's lock. Returns the slots that it closed.
    """
    rows = await tx.fetch(
        """
        UPDATE slot
           SET state = 'canceled', due_at = NULL, lease_until = NULL,
               waste_since = CASE state WHEN 'succeeded' THEN now() ELSE waste_since END,
               counted_at = now(), moved_at = now()
         WHERE job_id = $1
           AND state NOT IN ('stored', 'failed', 'canceled')
     RETURNING *
        """,
        job_id,
    )
    await tx.execute(
        """
        UPDATE prediction
           SET cancel_wanted_at = now()
         WHERE job_id = $1
           AND cancel_wanted_at IS NULL
           AND outcome NOT IN ('refused', 'not_bought')
           AND (status IS NULL OR status IN ('starting', 'processing'))
        """,
        job_id,
    )
    return sorted(_slots(rows), key=lambda slot: slot.ordinal)


_COLUMNS = tuple(column.name for column in fields(Slot))


def _slot(row: Row) -> Slot:
    values = {name: row[name] for name in _COLUMNS}
    values["state"] = SlotState(values["state"])
    if values["failure_code"] is not None:
        values["failure_code"] = FailureCode(values["failure_code"])
    return Slot(**values)


def _slots(rows: list[Row]) -> list[Slot]:
    return [_slot(row) for row in rows]
