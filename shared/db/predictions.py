"""SQL for ``prediction``: one row per purchase intent, written before the create.

Together the rows are the spend ledger. A row goes forward only; a terminal status stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.db.connection import Connection, Row
from shared.db.slots import Slot
from shared.domain.cost import cost_micros
from shared.domain.failure import without_links
from shared.domain.prediction import TERMINAL, Prediction, Status
from shared.domain.progress import progress_of
from shared.domain.slot_ref import SlotRef
from shared.errors import Permanent

# A full bar is not the end of a run: decoding and uploading come after it, or another bar.
NEARLY_DONE = 0.99


class Purchase(StrEnum):
    """What became of a create."""

    INTENDED = "intended"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_BOUGHT = "not_bought"
    IN_DOUBT = "in_doubt"
    NOT_LISTED = "not_listed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """A row of ``prediction``.

    ``adopted``: it was found by news, not by the answer to our create. ``create_deadline``: no
    create of this intent is under way after it. ``ask_at``: when the reconciler asks next, if
    nobody tells us; ``ask_every`` is the silence before that. ``cancel_wanted_at``: nobody needs
    it any more; ``cancel_sent_at``: when a cancel was last handed out. ``progress`` (0 to 1) is what
    the model prints of it; 1 once it has succeeded. ``last_webhook_at`` is when the provider last
    called us, ``last_news_at`` counts our questions too. ``micros_per_second`` and
    ``micros_per_output`` are the price hint (millionths of a dollar) of the day of the purchase,
    ``estimate_micros`` is what it was expected to cost, and ``cost_micros`` what follows from the
    hint once the verdict is in. ``asked`` grows each time that it
    is handed out to be asked about, and so is the fencing token of that; ``lost_at``: its files were
    gone at the provider before they were ours.
    """

    job_id: UUID
    ordinal: int
    attempt: int
    token: str
    model: str
    seed: int | None
    prediction_id: str | None
    url: str | None
    status: Status | None
    outcome: Purchase
    adopted: bool
    error: str | None
    metrics: dict[str, float]
    predict_seconds: float | None
    progress: float | None = None
    micros_per_second: int | None = None
    micros_per_output: int | None = None
    estimate_micros: int | None = None
    cost_micros: int | None
    intended_at: datetime
    create_deadline: datetime
    answered_at: datetime | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    last_news_at: datetime | None
    last_webhook_at: datetime | None = None
    ask_every: timedelta
    ask_at: datetime | None
    asked: int
    cancel_wanted_at: datetime | None
    cancel_sent_at: datetime | None
    lost_at: datetime | None = None

    @property
    def bought_at(self) -> datetime:
        """When it began to exist, as well as we know: its files go an hour after its end at the
        earliest, so the oldest is the most urgent."""
        return self.created_at or self.answered_at or self.intended_at

    @property
    def ref(self) -> SlotRef:
        return SlotRef(self.job_id, self.ordinal, self.attempt, self.token)

    @property
    def is_final(self) -> bool:
        return self.status in TERMINAL


async def intend(
    tx: Connection,
    slot: Slot,
    *,
    token: str,
    create_deadline: timedelta,
    ask_every: timedelta = timedelta(seconds=30),
    micros_per_second: int | None = None,
    micros_per_output: int | None = None,
    estimate_micros: int | None = None,
) -> PredictionRow:
    """Write the intent to buy the slot's current attempt, in the transaction that claims it.

    An attempt that was not bought is intended again, under the token that it had, at the price of
    today. ``ask_every`` is the recipe's typical run; the prices are its model's, None where they are
    not known, and ``estimate_micros`` is what the purchase is expected to cost. Raises RuntimeError
    for an attempt that may have been bought.
    """
    row = await tx.fetchrow(
        """
        INSERT INTO prediction (job_id, ordinal, attempt, token, model, seed, create_deadline,
                                ask_every, micros_per_second, micros_per_output,
                                estimate_micros, first_intended_at)
        VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval, $8, $9, $10, $11, now())
            ON CONFLICT (job_id, ordinal, attempt) DO UPDATE
           SET outcome = 'intended', error = NULL, intended_at = now(),
               create_deadline = EXCLUDED.create_deadline,
               micros_per_second = EXCLUDED.micros_per_second,
               micros_per_output = EXCLUDED.micros_per_output,
               estimate_micros = EXCLUDED.estimate_micros
         WHERE prediction.outcome = 'not_bought'
           AND prediction.prediction_id IS NULL
     RETURNING *
        """,
        slot.job_id,
        slot.ordinal,
        slot.attempt,
        token,
        slot.model,
        slot.seed,
        create_deadline,
        ask_every,
        micros_per_second,
        micros_per_output,
        estimate_micros,
    )
    if row is None:
        raise RuntimeError(
            f"attempt {slot.attempt} of {slot.job_id}.{slot.ordinal} was sent before"
        )
    return _prediction(row)


async def fill(
    tx: Connection,
    job_id: UUID,
    ordinal: int,
    attempt: int,
    *,
    prediction: Prediction,
    outcome: str = Purchase.ACCEPTED,
    adopted: bool = False,
) -> PredictionRow:
    """Write down which prediction an attempt bought, also when its slot has moved on.

    Only the purchase: a verdict is news and goes through ``record`` (an answer that brings one is
    asked about at once). Where the slot is closed or won by another attempt, the prediction is to
    be canceled. Raises Permanent where the attempt has another prediction already.
    """
    # The slot first: the order of locks that everybody keeps.
    await tx.execute(
        "SELECT 1 FROM slot WHERE job_id = $1 AND ordinal = $2 FOR NO KEY UPDATE", job_id, ordinal
    )
    answered_late = prediction.status in TERMINAL
    row = await tx.fetchrow(
        """
        UPDATE prediction p
           SET prediction_id = $4,
               url = coalesce(p.url, $5),
               status = coalesce(p.status, $6),
               outcome = $7,
               adopted = p.adopted OR $8,
               error = CASE WHEN p.status IS NULL THEN NULL ELSE p.error END,
               answered_at = coalesce(p.answered_at, now()),
               created_at = coalesce(p.created_at, $9),
               ask_at = CASE WHEN p.status IN ('succeeded', 'failed', 'canceled', 'aborted')
                             THEN NULL
                             WHEN $10 THEN now()
                             ELSE coalesce(p.ask_at, now() + p.ask_every) END,
               cancel_wanted_at = CASE
                   WHEN p.cancel_wanted_at IS NULL
                    AND (s.state IN ('stored', 'failed', 'canceled')
                         OR s.state = 'succeeded' AND s.winner <> p.attempt)
                   THEN now() ELSE p.cancel_wanted_at END
          FROM slot s
         WHERE p.job_id = $1
           AND p.ordinal = $2
           AND p.attempt = $3
           AND s.job_id = p.job_id
           AND s.ordinal = p.ordinal
           AND (p.prediction_id IS NULL OR p.prediction_id = $4)
     RETURNING p.*
        """,
        job_id,
        ordinal,
        attempt,
        prediction.id,
        prediction.get_url,
        Status.STARTING if answered_late else prediction.status,
        outcome,
        adopted,
        prediction.created_at,
        answered_late,
    )
    if row is None:
        raise Permanent(
            f"attempt {attempt} of {job_id}.{ordinal} is not prediction {prediction.id}: "
            "it has another one, or was never intended"
        )
    return _prediction(row)


async def set_outcome(
    tx: Connection,
    job_id: UUID,
    ordinal: int,
    attempt: int,
    outcome: str,
    *,
    error: str | None = None,
) -> None:
    """Write down how a create went that brought no prediction. What news found meanwhile stays."""
    await tx.execute(
        "SELECT 1 FROM slot WHERE job_id = $1 AND ordinal = $2 FOR NO KEY UPDATE", job_id, ordinal
    )
    await tx.execute(
        """
        UPDATE prediction
           SET outcome = $4,
               error = $5,
               answered_at = CASE WHEN $4 IN ('refused', 'not_bought') THEN now() END
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt = $3
           AND prediction_id IS NULL
        """,
        job_id,
        ordinal,
        attempt,
        outcome,
        error,
    )


async def of_job(tx: Connection, job_id: UUID) -> list[PredictionRow]:
    return _predictions(
        await tx.fetch(
            "SELECT * FROM prediction WHERE job_id = $1 ORDER BY ordinal, attempt", job_id
        )
    )


async def of_slot(tx: Connection, job_id: UUID, ordinal: int) -> list[PredictionRow]:
    return _predictions(
        await tx.fetch(
            "SELECT * FROM prediction WHERE job_id = $1 AND ordinal = $2 ORDER BY attempt",
            job_id,
            ordinal,
        )
    )


async def of_attempts(
    tx: Connection, attempts: Sequence[tuple[UUID, int, int]]
) -> list[PredictionRow]:
    """The purchases of these jobs, ordinals and attempts."""
    rows = await tx.fetch(
        """
        SELECT prediction.*
          FROM unnest($1::uuid[], $2::int[], $3::int[]) AS asked (job_id, ordinal, attempt)
          JOIN prediction USING (job_id, ordinal, attempt)
        """,
        [job_id for job_id, _, _ in attempts],
        [ordinal for _, ordinal, _ in attempts],
        [attempt for _, _, attempt in attempts],
    )
    return _predictions(rows)


async def by_prediction_id(tx: Connection, prediction_id: str) -> PredictionRow | None:
    row = await tx.fetchrow("SELECT * FROM prediction WHERE prediction_id = $1", prediction_id)
    return None if row is None else _prediction(row)


async def by_ref(tx: Connection, ref: SlotRef) -> PredictionRow | None:
    """The purchase that ``ref`` names; a wrong token names none."""
    row = await tx.fetchrow(
        """
        SELECT *
          FROM prediction
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt = $3
           AND token = $4
        """,
        ref.job_id,
        ref.ordinal,
        ref.attempt,
        ref.token,
    )
    return None if row is None else _prediction(row)


async def by_input(tx: Connection, job_id: UUID, seed: int | None) -> list[PredictionRow]:
    """Every purchase of the job with this seed (None: without one)."""
    rows = await tx.fetch(
        """
        SELECT *
          FROM prediction
         WHERE job_id = $1
           AND seed IS NOT DISTINCT FROM $2
      ORDER BY ordinal, attempt
        """,
        job_id,
        seed,
    )
    return _predictions(rows)


async def lock(tx: Connection, job_id: UUID, ordinal: int, attempt: int) -> PredictionRow | None:
    """The purchase, locked until the end of the transaction. After its slot."""
    row = await tx.fetchrow(
        """
        SELECT *
          FROM prediction
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt = $3
           FOR NO KEY UPDATE
        """,
        job_id,
        ordinal,
        attempt,
    )
    return None if row is None else _prediction(row)


async def advance(
    tx: Connection,
    row: PredictionRow,
    prediction: Prediction,
    *,
    status: Status | None,
    adopted: bool,
    cancel_wanted: bool,
    called_at: datetime | None = None,
) -> PredictionRow:
    """Write news of ``row``, which the caller has locked, with the ``status`` that it has now.

    What is known stays where the news says less (``data_removed``), and progress never shrinks. A
    verdict comes with its cost.
    """
    kept: dict[str, Any] = {} if prediction.data_removed and row.metrics else prediction.numbers
    updated = await tx.fetchrow(
        """
        UPDATE prediction
           SET prediction_id = $4,
               status = $5,
               adopted = adopted OR $6,
               outcome = 'accepted',
               url = coalesce(url, $7),
               error = coalesce($8, error),
               metrics = metrics || $9,
               predict_seconds = coalesce($10, predict_seconds),
               created_at = coalesce($11, created_at),
               started_at = coalesce($12, started_at),
               completed_at = coalesce($13, completed_at),
               last_news_at = now(),
               ask_at = CASE WHEN $14 THEN NULL ELSE now() + ask_every END,
               cancel_wanted_at = CASE WHEN $15 THEN coalesce(cancel_wanted_at, now())
                                       ELSE cancel_wanted_at END,
               progress = greatest(progress, $16),
               last_webhook_at = greatest(last_webhook_at, $17::timestamptz),
               cost_micros = $18
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt = $3
     RETURNING *
        """,
        row.job_id,
        row.ordinal,
        row.attempt,
        prediction.id,
        status,
        adopted,
        prediction.get_url,
        without_links(prediction.error),
        kept,
        prediction.predict_seconds,
        prediction.created_at,
        prediction.started_at,
        prediction.completed_at,
        status in TERMINAL,
        cancel_wanted,
        _progress(prediction),
        called_at,
        cost_micros(
            prediction,
            micros_per_second=row.micros_per_second,
            micros_per_output=row.micros_per_output,
        ),
    )
    if updated is None:
        raise LookupError("a locked prediction row is gone")
    return _prediction(updated)


async def note_still_running(
    tx: Connection, prediction: Prediction, *, called_at: datetime | None
) -> PredictionRow | None:
    """Write news of a run that is known to run, in one statement: models that print a lot bring a
    flood of it, and it moves nothing.

    Takes no lock but the row's, so that it waits for nobody's slot. None, and nothing is written:
    the news may move something, or is of no prediction that we know.
    """
    row = await tx.fetchrow(
        """
        UPDATE prediction p
           SET progress = greatest(p.progress, $2),
               started_at = coalesce(p.started_at, $3),
               last_news_at = now(),
               last_webhook_at = greatest(p.last_webhook_at, $4::timestamptz),
               ask_at = now() + p.ask_every
          FROM slot s
         WHERE p.prediction_id = $1
           AND p.status = 'processing'
           AND s.job_id = p.job_id
           AND s.ordinal = p.ordinal
           AND s.state = 'running'
     RETURNING p.*
        """,
        prediction.id,
        _progress(prediction),
        prediction.started_at,
        called_at,
    )
    return None if row is None else _prediction(row)


def _progress(prediction: Prediction) -> float | None:
    if prediction.status is Status.SUCCEEDED:
        return 1.0
    printed = progress_of(prediction.logs)
    return None if printed is None else min(printed, NEARLY_DONE)


async def want_cancel_losers(
    tx: Connection, job_id: UUID, ordinal: int, *, winner: int | None
) -> int:
    """Ask for the end of every purchase of the slot but ``winner``'s that may still run.

    Also of those whose prediction nobody knows yet. Returns how many it newly asked for.
    """
    return await tx.execute(
        """
        UPDATE prediction
           SET cancel_wanted_at = now()
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt IS DISTINCT FROM $3
           AND cancel_wanted_at IS NULL
           AND outcome NOT IN ('refused', 'not_bought')
           AND (status IS NULL OR status IN ('starting', 'processing'))
        """,
        job_id,
        ordinal,
        winner,
    )


@dataclass(frozen=True, slots=True)
class Silence:
    """The ``count`` oldest predictions that are to be asked about now, and how many predictions
    were ``made`` from the first to the last of them, these included."""

    count: int
    made: int


async def silence(tx: Connection, *, most: int) -> Silence:
    """How much there is to ask about, counted up to ``most``."""
    row = await tx.fetchrow(
        """
        WITH oldest AS (
            SELECT created_at
              FROM prediction
             WHERE ask_at <= now()
          ORDER BY coalesce(created_at, answered_at, intended_at)
             LIMIT $1
        ), span AS (
            SELECT count(*) AS silent, min(created_at) AS first, max(created_at) AS last FROM oldest
        )
        SELECT silent,
               CASE WHEN silent < 2 THEN silent
                    ELSE (SELECT count(*) FROM prediction p
                           WHERE p.created_at BETWEEN span.first AND span.last) END AS made
          FROM span
        """,
        most,
    )
    return Silence(row["silent"], row["made"]) if row else Silence(0, 0)


async def oldest_silent(tx: Connection) -> datetime | None:
    """When the oldest prediction began of those that are to be asked about now; None: none is."""
    oldest: datetime | None = await tx.fetchval(
        """
        SELECT min(coalesce(created_at, answered_at, intended_at))
          FROM prediction
         WHERE ask_at <= now()
        """
    )
    return oldest


async def to_ask(tx: Connection, *, limit: int, lease: timedelta) -> list[PredictionRow]:
    """Take silent predictions to ask Replicate about, the oldest first, since their files go
    first; nobody else gets them for ``lease``.

    Commit before asking.
    """
    rows = await tx.fetch(
        """
        WITH silent AS (
            SELECT job_id, ordinal, attempt
              FROM prediction
             WHERE ask_at <= now()
          ORDER BY coalesce(created_at, answered_at, intended_at)
             LIMIT $1
               FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE prediction p
           SET ask_at = now() + $2::interval, asked = p.asked + 1
          FROM silent
         WHERE (p.job_id, p.ordinal, p.attempt) = (silent.job_id, silent.ordinal, silent.attempt)
     RETURNING p.*
        """,
        limit,
        lease,
    )
    return sorted(_predictions(rows), key=lambda row: row.bought_at)


async def ask_in(tx: Connection, row: PredictionRow, wait: timedelta) -> None:
    """Ask about it after ``wait``, unless its verdict came meanwhile, or somebody else took it to
    ask since ``row`` was read."""
    await ask_each_in(tx, [(row, wait)])


async def ask_each_in(tx: Connection, waits: Sequence[tuple[PredictionRow, timedelta]]) -> None:
    """``ask_in`` for many, locked in one order."""
    ordered = sorted(waits, key=lambda one: (one[0].job_id, one[0].ordinal, one[0].attempt))
    await tx.executemany(
        """
        UPDATE prediction
           SET ask_at = now() + $5::interval
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt = $3
           AND asked = $4
           AND ask_at IS NOT NULL
        """,
        [(row.job_id, row.ordinal, row.attempt, row.asked, wait) for row, wait in ordered],
    )


async def known(tx: Connection, prediction_ids: Sequence[str]) -> set[str]:
    """Those of ``prediction_ids`` that some purchase has."""
    rows = await tx.fetch(
        "SELECT prediction_id FROM prediction WHERE prediction_id = ANY($1::text[])",
        list(prediction_ids),
    )
    return {row["prediction_id"] for row in rows}


async def unexplained(
    tx: Connection, *, younger_than: timedelta, limit: int
) -> list[PredictionRow]:
    """Purchases that may have been made and have no prediction, and for which no slot waits: their
    job ended, or their slot went on to another attempt. The oldest first."""
    rows = await tx.fetch(
        """
        SELECT p.*
          FROM prediction p
          JOIN slot s ON (s.job_id, s.ordinal) = (p.job_id, p.ordinal)
         WHERE p.prediction_id IS NULL
           AND p.outcome IN ('intended', 'in_doubt', 'not_listed')
           AND p.intended_at > now() - $1::interval
           AND NOT (s.attempt = p.attempt AND s.state IN ('creating', 'in_doubt'))
      ORDER BY p.intended_at
         LIMIT $2
        """,
        younger_than,
        limit,
    )
    return _predictions(rows)


async def set_lost(tx: Connection, job_id: UUID, ordinal: int, attempt: int) -> None:
    """Write down that what was paid for was gone before it was ours."""
    await tx.execute(
        """
        UPDATE prediction
           SET lost_at = now()
         WHERE job_id = $1
           AND ordinal = $2
           AND attempt = $3
           AND lost_at IS NULL
        """,
        job_id,
        ordinal,
        attempt,
    )


async def to_cancel(
    tx: Connection, *, limit: int, lease: timedelta, no_longer_than: timedelta = timedelta(days=1)
) -> list[PredictionRow]:
    """Take predictions that nobody needs and that still run; they come again after ``lease``, and
    ``no_longer_than`` that: by then the provider has ended them, or knows them no more.

    Commit before canceling.
    """
    rows = await tx.fetch(
        """
        WITH unwanted AS (
            SELECT job_id, ordinal, attempt
              FROM prediction
             WHERE cancel_wanted_at IS NOT NULL
               AND prediction_id IS NOT NULL
               AND (status IS NULL OR status IN ('starting', 'processing'))
               AND (cancel_sent_at IS NULL OR cancel_sent_at <= now() - $2::interval)
               AND cancel_wanted_at > now() - $3::interval
          ORDER BY cancel_wanted_at
             LIMIT $1
               FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE prediction p
           SET cancel_sent_at = now()
          FROM unwanted u
         WHERE (p.job_id, p.ordinal, p.attempt) = (u.job_id, u.ordinal, u.attempt)
     RETURNING p.*
        """,
        limit,
        lease,
        no_longer_than,
    )
    return _predictions(rows)


_COLUMNS = tuple(column.name for column in fields(PredictionRow))


def _prediction(row: Row) -> PredictionRow:
    values = {name: row[name] for name in _COLUMNS}
    values["outcome"] = Purchase(values["outcome"])
    if values["status"] is not None:
        values["status"] = Status(values["status"])
    return PredictionRow(**values)


def _predictions(rows: list[Row]) -> list[PredictionRow]:
    return [_prediction(row) for row in rows]
