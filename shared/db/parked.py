"""SQL for ``parked_message``: deliveries that wait for their time, or (dead) for an operator.

Bringing one back: claim it, publish it with a confirm, then ``brought_back``, which deletes only
the generation that was claimed. A message that was parked again in between stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from uuid import UUID

from shared.db.connection import Connection, Database, Row
from shared.domain.beginning import span
from shared.envelope import Envelope

REASON_KEPT = 2_000  # characters
# In the timeline of a job: a message about it was parked (occurred_at) and brought back (recorded_at)
# to the queue that its outcome names. It is published to nobody.
WAITED = "message.waited"
TRACE_KEPT = 20_000
# Other teams call what they speak of as they like; these alone are in the index parked_message_of_a_job.
_A_JOB = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
_ABOUT_A_JOB = f"subject ~ {_A_JOB}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedMessage:
    """A row of ``parked_message``. ``due_at`` None means dead. ``expires_at`` is when the files
    that it speaks of are gone."""

    id: UUID
    queue: str
    event_id: str
    type: str
    source: str
    subject: str | None
    body: bytes
    headers: dict[str, str]
    causation_id: str | None
    traceparent: str | None
    attempts: int
    reason: str
    trace: str | None
    occurred_at: datetime
    first_at: datetime
    parked_at: datetime
    due_at: datetime | None
    expires_at: datetime | None
    generation: int

    @property
    def is_dead(self) -> bool:
        return self.due_at is None

    @property
    def envelope(self) -> Envelope:
        """The delivery as it travels, with the attempts that it cost so far."""
        return Envelope(
            id=self.event_id,
            type=self.type,
            source=self.source,
            time=self.occurred_at,
            body=self.body,
            subject=self.subject,
            causation_id=self.causation_id,
            traceparent=self.traceparent,
            extensions=self.headers,
            attempts=self.attempts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedCount:
    """What is parked of one queue; ``oldest`` is since when the longest parked waits."""

    queue: str
    waiting: int
    dead: int
    oldest: datetime


class Parked:
    """Parks messages for consumers, each in a short transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """Keep a delivery until it is due (``due_in`` None: dead). Acknowledge it afterwards."""
        async with self._database.transaction() as tx:
            await park(
                tx,
                queue,
                envelope,
                reason=reason,
                trace=trace,
                attempts=attempts,
                due_in=due_in,
                expires_at=expires_at,
            )

    async def note_start(self, queue: str, envelope: Envelope) -> int:
        """Note that a message which may kill its process is started, alone; how often so far.

        Committed before the start, so that a death does not take the note with it.
        """
        async with self._database.transaction() as tx:
            starts: int = await tx.fetchval(
                """
                INSERT INTO suspect_start (queue, event_id)
                VALUES ($1, $2)
                    ON CONFLICT (queue, event_id) DO UPDATE
                   SET starts = suspect_start.starts + 1, last_at = now()
             RETURNING starts
                """,
                queue,
                envelope.id,
            )
        return starts


async def park(
    tx: Connection,
    queue: str,
    envelope: Envelope,
    *,
    reason: str,
    trace: str | None,
    attempts: int,
    due_in: timedelta | None,
    expires_at: datetime | None = None,
) -> None:
    """Keep a delivery, once per queue and event: parking again makes a new generation of it."""
    await tx.execute(
        """
        INSERT INTO parked_message (queue, event_id, type, source, subject, body, headers,
                                    causation_id, traceparent, attempts, reason, trace, occurred_at,
                                    due_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now() + $14::interval, $15)
            ON CONFLICT (queue, event_id) DO UPDATE
           SET body = EXCLUDED.body,
               headers = EXCLUDED.headers,
               attempts = EXCLUDED.attempts,
               reason = EXCLUDED.reason,
               trace = EXCLUDED.trace,
               parked_at = now(),
               due_at = EXCLUDED.due_at,
               expires_at = coalesce(EXCLUDED.expires_at, parked_message.expires_at),
               generation = parked_message.generation + 1
        """,
        queue,
        envelope.id,
        envelope.type,
        envelope.source,
        envelope.subject,
        envelope.body,
        dict(envelope.extensions),
        envelope.causation_id,
        envelope.traceparent,
        attempts,
        _kept(reason, REASON_KEPT),
        None if trace is None else _kept(trace, TRACE_KEPT),
        envelope.time,
        due_in,
        expires_at,
    )


async def add_dead(
    tx: Connection,
    queue: str,
    envelope: Envelope,
    *,
    reason: str,
    trace: str | None = None,
    attempts: int = 0,
) -> None:
    """Keep a delivery that only an operator can help, such as one that the broker gave up on.

    Where another delivery of the same event waits for its time, it has it: the dead one adds
    nothing.
    """
    waits_already = await tx.fetchval(
        """
        SELECT true
          FROM parked_message
         WHERE queue = $1
           AND event_id = $2
           AND due_at IS NOT NULL
           FOR UPDATE
        """,
        queue,
        envelope.id,
    )
    if waits_already:
        return
    await park(tx, queue, envelope, reason=reason, trace=trace, attempts=attempts, due_in=None)


async def claim_due(tx: Connection, *, limit: int, lease: timedelta) -> list[ParkedMessage]:
    """Take messages whose time has come, soonest expiry first; they are due again after ``lease``.

    Commit before publishing them.
    """
    rows = await tx.fetch(
        """
        WITH due AS (
            SELECT id
              FROM parked_message
             WHERE due_at <= now()
          ORDER BY expires_at NULLS LAST, due_at
             LIMIT $1
               FOR UPDATE SKIP LOCKED
        )
        UPDATE parked_message p
           SET due_at = now() + $2::interval
          FROM due
         WHERE p.id = due.id
     RETURNING p.*
        """,
        limit,
        lease,
    )
    claimed = [_parked(row) for row in rows]
    return sorted(
        claimed,
        key=lambda message: (message.expires_at is None, message.expires_at, message.parked_at),
    )


async def brought_back(
    tx: Connection, message_id: UUID, generation: int, *, lease: timedelta | None = None
) -> bool:
    """Forget a message that its queue has again; the timeline of its job keeps that it waited
    (``WAITED``): since when, and until it was claimed for so long (``lease``; None: until now).
    False: it was parked anew meanwhile, and stays."""
    gone: int = await tx.fetchval(
        f"""
        WITH gone AS (
            DELETE FROM parked_message WHERE id = $1 AND generation = $2 RETURNING *
        ), placed AS (
            SELECT gone.*, heard.ordinal,
                   coalesce(heard.job_id,
                            CASE WHEN gone.subject ~ {_A_JOB}
                                 THEN gone.subject::uuid END) AS job_id
              FROM gone
         LEFT JOIN journal heard ON heard.event_id = gone.event_id
        ), noted AS (
            INSERT INTO journal (event_id, type, source, job_id, ordinal, origin, causation_id,
                                 traceparent, occurred_at, recorded_at, outcome, published_at)
            SELECT format('%s.%s', id, generation), $4, 'darkroom/reconciler', job_id, ordinal,
                   'stated', event_id, traceparent, parked_at,
                   coalesce(due_at - $3::interval, clock_timestamp()), queue, clock_timestamp()
              FROM placed
             WHERE job_id IS NOT NULL
                ON CONFLICT (event_id) DO NOTHING
        )
        SELECT count(*) FROM gone
        """,  # noqa: S608
        message_id,
        generation,
        lease,
        WAITED,
    )
    return gone == 1


@dataclass(frozen=True, slots=True)
class Before:
    """How often a message was parked and brought back before it was parked as it is now, and when
    that was last."""

    times: int
    last_at: datetime


async def before(tx: Connection, message: ParkedMessage) -> Before | None:
    """None where it is parked for the first time, or is about no job: only the timeline of a job
    keeps what waited."""
    row = await tx.fetchrow(
        f"""
        SELECT count(*) AS times, max(recorded_at) AS last_at
          FROM journal
         WHERE job_id = coalesce(
                   (SELECT heard.job_id FROM journal heard WHERE heard.event_id = $1),
                   CASE WHEN $2::text ~ {_A_JOB}
                        THEN $2::uuid END)
           AND type = $3
           AND causation_id = $1
           AND outcome = $4
        """,  # noqa: S608
        message.event_id,
        message.subject,
        WAITED,
        message.queue,
    )
    return Before(row["times"], row["last_at"]) if row and row["times"] else None


async def release(tx: Connection, claimed: Sequence[tuple[UUID, int]], *, due_in: timedelta) -> int:
    """Give back claims (id and generation) that were not used, before their lease is over."""
    return await tx.execute(
        """
        UPDATE parked_message p
           SET due_at = now() + $3::interval
          FROM unnest($1::uuid[], $2::int[]) AS claimed (id, generation)
         WHERE p.id = claimed.id
           AND p.generation = claimed.generation
           AND p.due_at IS NOT NULL
        """,
        [message_id for message_id, _ in claimed],
        [generation for _, generation in claimed],
        due_in,
    )


async def give_up(tx: Connection, message_id: UUID, generation: int, *, reason: str) -> bool:
    """A message that cannot be brought back waits for an operator from now on."""
    dead = await tx.execute(
        """
        UPDATE parked_message
           SET due_at = NULL, reason = $3, generation = generation + 1
         WHERE id = $1
           AND generation = $2
        """,
        message_id,
        generation,
        _kept(reason, REASON_KEPT),
    )
    return dead == 1


async def next_due_in(tx: Connection) -> timedelta | None:
    """How long until a message is due (zero: now), or None where none waits."""
    wait: timedelta | None = await tx.fetchval(
        """
        SELECT greatest(due_at - now(), interval '0')
          FROM parked_message
         WHERE due_at IS NOT NULL
      ORDER BY due_at
         LIMIT 1
        """
    )
    return wait


async def get(tx: Connection, message_id: UUID) -> ParkedMessage | None:
    row = await tx.fetchrow("SELECT * FROM parked_message WHERE id = $1", message_id)
    return None if row is None else _parked(row)


async def beginning_with(tx: Connection, digits: str, *, limit: int) -> list[UUID]:
    """The messages whose ids begin with these hexadecimal digits (without hyphens, 32 at most)."""
    rows = await tx.fetch(
        "SELECT id FROM parked_message WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3",
        *span(digits),
        limit,
    )
    return [row["id"] for row in rows]


async def jobs_beginning_with(tx: Connection, digits: str, *, limit: int) -> list[UUID]:
    """The jobs that messages are about, known here or not, whose ids begin with these digits."""
    first, last = span(digits)
    rows = await tx.fetch(
        f"""
        SELECT DISTINCT subject COLLATE "C" AS subject
          FROM parked_message
         WHERE {_ABOUT_A_JOB}
           AND subject COLLATE "C" BETWEEN $1 AND $2
      ORDER BY 1
         LIMIT $3
        """,  # noqa: S608
        str(first),
        str(last),
        limit,
    )
    return [UUID(row["subject"]) for row in rows]


async def waits(tx: Connection, event_id: str, *, queue: str | None = None) -> bool:
    """Whether this queue's delivery of a fact (None: that of any) waits for its time, which the dead
    do not."""
    found = await tx.fetchval(
        """
        SELECT true
          FROM parked_message
         WHERE event_id = $1
           AND due_at IS NOT NULL
           AND ($2::text IS NULL OR queue = $2)
        """,
        event_id,
        queue,
    )
    return found is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which parked messages are meant; every field that is given must fit.

    ``dead`` True: only those that wait for an operator, False: only those that wait for their time.
    ``named`` are ids of parked messages or of the events in them; ``reason`` is a part of the
    reason, in any case. ``job`` is the subject; ``since`` and ``until`` are when it was parked at the
    earliest and at the latest.
    """

    dead: bool | None = None
    queue: str | None = None
    type: str | None = None
    reason: str | None = None
    named: Sequence[str] | None = None
    job: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Which()

_FITS = """
    ($1::boolean IS NULL OR (due_at IS NULL) = $1)
AND ($2::text IS NULL OR queue = $2)
AND ($3::text IS NULL OR type = $3)
AND ($4::text IS NULL OR position(lower($4) IN lower(reason)) > 0)
AND ($5::text[] IS NULL OR id::text = ANY($5) OR event_id = ANY($5))
AND ($6::text IS NULL OR subject = $6)
AND ($7::timestamptz IS NULL OR parked_at >= $7)
AND ($8::timestamptz IS NULL OR parked_at <= $8)
"""


def _fits(which: Which) -> tuple[object, ...]:
    named = None if which.named is None else list(which.named)
    job = None if which.job is None else str(which.job)
    return (which.dead, which.queue, which.type, which.reason, named, job, which.since, which.until)


async def listing(tx: Connection, which: Which = EVERYTHING, *, limit: int) -> list[ParkedMessage]:
    """What is parked, the latest first."""
    rows = await tx.fetch(
        f"SELECT * FROM parked_message WHERE {_FITS} ORDER BY parked_at DESC, id LIMIT $9",  # noqa: S608
        *_fits(which),
        limit,
    )
    return [_parked(row) for row in rows]


async def told(
    tx: Connection, which: Which, *, limit: int, body_at_most: int
) -> list[ParkedMessage]:
    """The same, of each body and trace no more than ``body_at_most`` bytes: one may be as long as
    ten million."""
    rows = await tx.fetch(
        f"""
        SELECT id, queue, event_id, type, source, subject, headers, causation_id, traceparent,
               attempts, reason, occurred_at, first_at, parked_at, due_at, expires_at, generation,
               substring(body FROM 1 FOR $10) AS body, left(trace, $10) AS trace
          FROM parked_message
         WHERE {_FITS}
      ORDER BY parked_at DESC, id
         LIMIT $9
        """,  # noqa: S608
        *_fits(which),
        limit,
        body_at_most,
    )
    return [_parked(row) for row in rows]


async def how_many(tx: Connection, which: Which) -> int:
    count: int = await tx.fetchval(
        f"SELECT count(*) FROM parked_message WHERE {_FITS}",  # noqa: S608
        *_fits(which),
    )
    return count


@dataclass(frozen=True, slots=True)
class Kind:
    """How many messages of one type a queue has parked, and of what the latest of them died."""

    queue: str
    type: str
    count: int
    reason: str


async def kinds(tx: Connection, which: Which) -> list[Kind]:
    """What is meant by ``which``, by queue and type, the most first."""
    rows = await tx.fetch(
        f"""
        SELECT queue, type, count(*) AS count,
               (array_agg(reason ORDER BY parked_at DESC, id))[1] AS reason
          FROM parked_message
         WHERE {_FITS}
      GROUP BY queue, type
      ORDER BY count DESC, queue, type
        """,  # noqa: S608
        *_fits(which),
    )
    return [Kind(**dict(row)) for row in rows]


async def bring_back(tx: Connection, which: Which) -> int:
    """Make messages due, dead or not, with all their attempts before them again; how many.

    What was noted of starts that ended a process is forgotten with it: an operator says that the
    cause is gone.
    """
    count: int = await tx.fetchval(
        f"""
        WITH brought AS (
            UPDATE parked_message
               SET due_at = now(), attempts = 0, generation = generation + 1
             WHERE {_FITS}
         RETURNING queue, event_id
        ), forgotten AS (
            DELETE FROM suspect_start s
                  USING brought b
                  WHERE s.queue = b.queue
                    AND s.event_id = b.event_id
        )
        SELECT count(*) FROM brought
        """,  # noqa: S608
        *_fits(which),
    )
    return count


async def discard(tx: Connection, which: Which) -> int:
    """Throw parked messages away, on an operator's word; how many."""
    return await tx.execute(
        f"DELETE FROM parked_message WHERE {_FITS}",  # noqa: S608
        *_fits(which),
    )


async def counts(tx: Connection) -> list[ParkedCount]:
    rows = await tx.fetch(
        """
        SELECT queue,
               count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
               count(*) FILTER (WHERE due_at IS NULL) AS dead,
               min(first_at) AS oldest
          FROM parked_message
      GROUP BY queue
      ORDER BY queue
        """
    )
    return [ParkedCount(**dict(row)) for row in rows]


@dataclass(frozen=True, slots=True)
class OfJob:
    """How many messages about a job are parked: waiting for their time, and for an operator."""

    waiting: int
    dead: int

    @property
    def count(self) -> int:
        return self.waiting + self.dead


async def of_job(tx: Connection, job_id: UUID) -> OfJob:
    row = await tx.fetchrow(
        f"""
        SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
               count(*) FILTER (WHERE due_at IS NULL) AS dead
          FROM parked_message
         WHERE {_ABOUT_A_JOB}
           AND subject COLLATE "C" = $1
        """,  # noqa: S608
        str(job_id),
    )
    return OfJob(0, 0) if row is None else OfJob(row["waiting"], row["dead"])


async def forget_suspects(tx: Connection, *, older_than: timedelta) -> int:
    """Drop notes of starts that killed nothing for so long."""
    return await tx.execute(
        "DELETE FROM suspect_start WHERE last_at < now() - $1::interval", older_than
    )


_COLUMNS = tuple(column.name for column in fields(ParkedMessage))


def _parked(row: Row) -> ParkedMessage:
    return ParkedMessage(**{name: row[name] for name in _COLUMNS})


def _kept(text: str, limit: int) -> str:
    # Words of other people's exceptions may hold anything; a parked message must get in.
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:limit]
