"""SQL for ``journal``: every fact, stated or heard, once. Outbox, timeline and archive in one.

Never a lock against duplicates: state decides. The relay claims by state, never by "greater than
the last id", since ids become visible out of order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from shared.db.connection import Connection, Row
from shared.domain.identity import verdict_id
from shared.domain.prediction import TERMINAL
from shared.envelope import FROM_RECONCILER, FROM_WEBHOOK, ORIGIN, Envelope

STATED = "stated"
HEARD = "heard"
# The outcome of a wish that came before the order of its job.
WAITS = "waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of ``journal``. ``outcome`` is what hearing the fact did; ``published_at`` None means
    that the relay still owes it. ``body`` is None once its retention is over."""

    id: int
    event_id: str
    type: str
    source: str
    job_id: UUID | None
    ordinal: int | None
    origin: str
    body: bytes | None
    headers: dict[str, str]
    causation_id: str | None
    traceparent: str | None
    occurred_at: datetime
    recorded_at: datetime
    outcome: str | None
    published_at: datetime | None

    @property
    def envelope(self) -> Envelope:
        """The fact as it travels. Raises LookupError where its body is gone."""
        if self.body is None:
            raise LookupError(f"the body of {self.event_id} is past its retention")
        return Envelope(
            id=self.event_id,
            type=self.type,
            source=self.source,
            time=self.occurred_at,
            body=self.body,
            subject=str(self.job_id) if self.job_id else None,
            causation_id=self.causation_id,
            traceparent=self.traceparent,
            extensions=self.headers,
        )


@dataclass(frozen=True, slots=True)
class Owed:
    """How many facts wait for the relay, and since when the oldest does."""

    count: int
    oldest: datetime | None


async def say(tx: Connection, envelope: Envelope, *, ordinal: int | None = None) -> bool:
    """State a fact; the relay publishes it after the commit. False: the journal has it already.

    What no event led to (a purchase, a deadline, a question) goes on in the trace of its job.
    """
    said = await tx.fetchval(
        """
        INSERT INTO journal (event_id, type, source, job_id, ordinal, origin, body, headers,
                             causation_id, traceparent, occurred_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                coalesce($10, (SELECT job.traceparent FROM job WHERE job.id = $4)), $11)
            ON CONFLICT (event_id) DO NOTHING
     RETURNING true
        """,
        envelope.id,
        envelope.type,
        envelope.source,
        _job_id(envelope),
        ordinal,
        _origin(envelope, STATED),
        envelope.body,
        dict(envelope.extensions),
        envelope.causation_id,
        envelope.traceparent,
        envelope.time,
    )
    if said is None:
        return False
    tx.owes_facts = True
    return True


async def say_again(tx: Connection, event_id: str) -> bool:
    """Have the relay publish a fact once more. False: it is not there, or its body is gone."""
    owed = await tx.execute(
        """
        UPDATE journal
           SET published_at = NULL
         WHERE event_id = $1
           AND body IS NOT NULL
        """,
        event_id,
    )
    if not owed:
        return False
    tx.owes_facts = True
    return True


async def note_said(tx: Connection, event_id: str) -> None:
    """Note that a fact was published just now, past the relay."""
    await tx.execute(
        """
        UPDATE journal
           SET published_at = clock_timestamp()
         WHERE event_id = $1
           AND published_at IS NOT NULL
        """,
        event_id,
    )


async def hear(
    tx: Connection,
    envelope: Envelope,
    *,
    outcome: str,
    job_id: UUID | None = None,
    ordinal: int | None = None,
) -> bool:
    """Note a fact that somebody else published, and what it did here. False: noted before.

    A fact that nobody could place when it first came takes its place when a replay finds one; a
    wish that waits is noted once more when its job is there. Of a job that was erased, or deleted
    after its retention, no body is kept.
    """
    noted = await tx.fetchval(
        """
        INSERT INTO journal (event_id, type, source, job_id, ordinal, origin, body, headers,
                             causation_id, traceparent, occurred_at, outcome, published_at)
        SELECT $1, $2, $3, $4::uuid, $5, $6,
               CASE WHEN gone.job_id IS NULL THEN $7::bytea END,
               CASE WHEN gone.job_id IS NULL THEN $8::jsonb ELSE '{}' END,
               $9, $10, $11, $12, clock_timestamp()
          FROM (SELECT $4::uuid AS named) AS about
     LEFT JOIN (SELECT id AS job_id FROM job WHERE id = $4 AND erased_at IS NOT NULL
                 UNION ALL
                SELECT job_id FROM tombstone WHERE job_id = $4) AS gone
            ON gone.job_id = about.named
            ON CONFLICT (event_id) DO UPDATE
           SET outcome = EXCLUDED.outcome,
               job_id = coalesce(EXCLUDED.job_id, journal.job_id),
               ordinal = coalesce(EXCLUDED.ordinal, journal.ordinal)
         WHERE journal.outcome IS NULL
            OR journal.outcome IN ('unknown', 'ambiguous', 'waits')
     RETURNING xmax = 0
        """,
        envelope.id,
        envelope.type,
        envelope.source,
        job_id or _job_id(envelope),
        ordinal,
        _origin(envelope, HEARD),
        envelope.body,
        dict(envelope.extensions),
        envelope.causation_id,
        envelope.traceparent,
        envelope.time,
        outcome,
    )
    return noted is True


async def of_job(tx: Connection, job_id: UUID, *, limit: int = 10_000) -> list[Entry]:
    """The timeline of a job, in the order in which its facts were written down."""
    rows = await tx.fetch(
        "SELECT * FROM journal WHERE job_id = $1 ORDER BY id LIMIT $2", job_id, limit
    )
    return entries(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One fact of a job, as a timeline shows it. ``at`` is when it was written down here; ``body`` is
    there where it is short and of our own words (``shared.timeline``)."""

    event_id: str
    type: str
    source: str
    ordinal: int | None
    at: datetime
    outcome: str | None
    body: bytes | None


async def timeline(tx: Connection, job_id: UUID, *, limit: int) -> list[Moment]:
    """The first facts of a job, in the order in which they were written down."""
    rows = await tx.fetch(
        """
        SELECT event_id, type, source, ordinal, recorded_at AS at, outcome,
               CASE WHEN type IN ('callback.delivered', 'callback.failed')
                      OR type = 'artifacts.stored' AND source = 'darkroom/generator'
                    THEN body END AS body
          FROM journal
         WHERE job_id = $1
      ORDER BY id
         LIMIT $2
        """,
        job_id,
        limit,
    )
    return [Moment(**row) for row in rows]


async def order_of(tx: Connection, job_id: UUID) -> Entry | None:
    """The order that a job was, or will be, made from: the first that is on record."""
    row = await tx.fetchrow(
        """
        SELECT *
          FROM journal
         WHERE job_id = $1
           AND type = 'upload.received'
      ORDER BY id
         LIMIT 1
        """,
        job_id,
    )
    return None if row is None else _entry(row)


async def orders_to_plan(
    tx: Connection,
    *,
    external_ref: str | None,
    recipe: str | None,
    since: datetime | None,
    before: tuple[datetime, UUID] | None,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[Entry]:
    """Orders that were stated here and that nobody has planned yet, the latest first; ``before``:
    only those that come after that one in this order, ``after``: only those right in front of it."""
    at, job_id = before or after or (None, None)
    beyond, order = (">", "ASC") if after else ("<", "DESC")
    rows = await tx.fetch(
        f"""
        SELECT *
          FROM journal
         WHERE type IN ('upload.received', 'job.cancel_requested')
           AND type = 'upload.received'
           AND origin = 'stated'
           AND outcome IS NULL
           AND job_id IS NOT NULL
           AND ($1::timestamptz IS NULL OR recorded_at >= $1)
           AND ($2::timestamptz IS NULL OR (recorded_at, job_id) {beyond} ($2, $3::uuid))
           AND CASE WHEN $4::text IS NULL AND $5::text IS NULL THEN true
                    WHEN type = 'upload.received' AND origin = 'stated' AND body IS NOT NULL
                    THEN convert_from(body, 'UTF8')::jsonb
                         @> jsonb_strip_nulls(jsonb_build_object('external_ref', $4::text,
                                                                 'recipe', $5::text))
                    ELSE false END
      ORDER BY recorded_at {order}, job_id {order}
         LIMIT $6
        """,  # noqa: S608 - the constants above
        since,
        at,
        job_id,
        external_ref,
        recipe,
        limit,
    )
    return entries(rows)[:: -1 if after else 1]


async def waiting(tx: Connection, job_id: UUID, fact_type: str) -> Entry | None:
    """The first fact of this type that came before the order of its job, and waits for it."""
    row = await tx.fetchrow(
        """
        SELECT *
          FROM journal
         WHERE job_id = $1
           AND type = $2
           AND outcome = $3
      ORDER BY id
         LIMIT 1
        """,
        job_id,
        fact_type,
        WAITS,
    )
    return None if row is None else _entry(row)


async def no_longer_wait(tx: Connection, job_id: UUID, fact_type: str, *, outcome: str) -> None:
    """Note what became of all that waited for the order of this job."""
    await tx.execute(
        """
        UPDATE journal
           SET outcome = $4
         WHERE job_id = $1
           AND type = $2
           AND outcome = $3
        """,
        job_id,
        fact_type,
        WAITS,
        outcome,
    )


async def by_event_id(tx: Connection, event_id: str) -> Entry | None:
    row = await tx.fetchrow("SELECT * FROM journal WHERE event_id = $1", event_id)
    return None if row is None else _entry(row)


async def of_slots(tx: Connection, job_id: UUID, ordinals: Sequence[int]) -> list[Entry]:
    """The facts of some slots of a job, and those that name none, as they were written down."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM journal
         WHERE job_id = $1
           AND (ordinal IS NULL OR ordinal = ANY($2))
      ORDER BY id
        """,
        job_id,
        list(ordinals),
    )
    return entries(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsWanted:
    """Which news of predictions is meant; every field that is given must fit. ``outcome`` is what
    hearing it did."""

    job_id: UUID | None = None
    since: datetime | None = None
    outcome: str | None = None
    prediction_id: str | None = None


async def news(
    tx: Connection, wanted: NewsWanted, *, origins: Sequence[str], limit: int
) -> list[Entry]:
    """What was told of predictions (``origins``: webhook, reconciler), the latest first."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM journal
         WHERE origin = ANY($1)
           AND origin IN ('webhook', 'reconciler')
           AND ($2::uuid IS NULL OR job_id = $2)
           AND ($3::timestamptz IS NULL OR recorded_at >= $3)
           AND ($4::text IS NULL OR outcome = $4)
           AND ($5::text IS NULL
                OR event_id = ANY($6)
                OR ((job_id, ordinal) IN (SELECT job_id, ordinal
                                            FROM prediction
                                           WHERE prediction_id = $5)
                    AND position(convert_to('"' || $5 || '"', 'UTF8') IN body) > 0))
      ORDER BY recorded_at DESC, id DESC
         LIMIT $7
        """,
        list(origins),
        wanted.job_id,
        wanted.since,
        wanted.outcome,
        wanted.prediction_id,
        # Verdicts have a computed id, also of predictions that we do not know.
        [verdict_id(wanted.prediction_id or "", status) for status in sorted(TERMINAL)],
        limit,
    )
    return entries(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """News of a prediction as it is archived, with the beginning of its body; ``size`` is how many
    bytes all of it has. Both None: the body is past its retention."""

    event_id: str
    type: str
    ordinal: int | None
    origin: str
    headers: dict[str, str]
    outcome: str | None
    recorded_at: datetime
    begins: bytes | None
    size: int | None


async def archive(tx: Connection, job_id: UUID, *, limit: int, at_most: int) -> list[Kept]:
    """What was told of a job's predictions, the latest first, of each body ``at_most`` bytes: one
    may be as long as ten million."""
    rows = await tx.fetch(
        """
        SELECT event_id, type, ordinal, origin, headers, outcome, recorded_at,
               substring(body FROM 1 FOR $3) AS begins, length(body) AS size
          FROM journal
         WHERE job_id = $1
           AND origin IN ('webhook', 'reconciler')
      ORDER BY id DESC
         LIMIT $2
        """,
        job_id,
        limit,
        at_most,
    )
    return [Kept(**row) for row in rows]


async def by_webhook_id(tx: Connection, webhook_id: str) -> list[Entry]:
    """What came under one id of the sender's; or under one id of a fact."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM journal
         WHERE event_id = $1
            OR (origin = 'webhook' AND headers ->> 'webhook-id' = $1)
      ORDER BY id
         LIMIT 100
        """,
        webhook_id,
    )
    return entries(rows)


async def claim_owed(
    tx: Connection, limit: int, *, past: int = 0, types: Sequence[str] | None = None
) -> list[Entry]:
    """Facts to publish, oldest first, locked until this transaction ends. Relays share them.

    ``types``: only facts of these; None: of all. ``past`` steps over the first ones, for a relay
    that has just failed with them; it must look from 0 again when it comes to the end. Publish,
    then ``mark_published``, then commit: a relay that dies in between owes them again.
    """
    rows = await tx.fetch(
        """
        SELECT *
          FROM journal
         WHERE published_at IS NULL
           AND id > $2
           AND ($3::text[] IS NULL OR type = ANY($3))
      ORDER BY id
         LIMIT $1
           FOR UPDATE SKIP LOCKED
        """,
        limit,
        past,
        None if types is None else list(types),
    )
    return entries(rows)


async def mark_published(tx: Connection, ids: Sequence[int]) -> int:
    """Note that the broker confirmed them; return how many were owed."""
    return await tx.execute(
        """
        UPDATE journal
           SET published_at = clock_timestamp()
         WHERE id = ANY($1)
           AND published_at IS NULL
        """,
        list(ids),
    )


async def owes(tx: Connection, *, types: Sequence[str] | None = None) -> bool:
    """Whether there is anything to publish (of these ``types``; None: of all); also what another
    relay is just at."""
    found: bool = await tx.fetchval(
        """
        SELECT EXISTS (SELECT
                         FROM journal
                        WHERE published_at IS NULL
                          AND ($1::text[] IS NULL OR type = ANY($1)))
        """,
        None if types is None else list(types),
    )
    return found


async def owed(tx: Connection) -> Owed:
    row = await tx.fetchrow(
        """
        SELECT count(*) AS count, min(recorded_at) AS oldest
          FROM journal
         WHERE published_at IS NULL
        """
    )
    return Owed(0, None) if row is None else Owed(row["count"], row["oldest"])


_COLUMNS = tuple(column.name for column in fields(Entry))


def entries(rows: Sequence[Row]) -> list[Entry]:
    """Rows of ``journal``, whoever asked for them."""
    return [_entry(row) for row in rows]


def _entry(row: Row) -> Entry:
    return Entry(**{name: row[name] for name in _COLUMNS})


def _origin(envelope: Envelope, otherwise: str) -> str:
    origin = envelope.extensions.get(ORIGIN)
    return origin if origin in (FROM_WEBHOOK, FROM_RECONCILER) else otherwise


def _job_id(envelope: Envelope) -> UUID | None:
    try:
        return UUID(envelope.subject) if envelope.subject else None
    except ValueError:
        return None  # another team's subject is its own affair
