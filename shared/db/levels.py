"""SQL for what waits: how much of it, and since when, at a cost that does not grow with it.

Whoever scales and alarms by these asks every few seconds, and most of all on the days on which much
waits. So each count ends at ``COUNTED``, each age is the first entry of an index, and no row of work
is read for either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.db.connection import Connection
from shared.domain.level import COUNTED, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLevel:
    """Parked messages of one queue: those that wait for their time, and the dead."""

    queue: str
    waiting: Level
    dead: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """``owed``: facts to publish; ``due``: slots to buy, past their time; ``in_doubt``: purchases of
    which nobody knows whether they were made; ``open_jobs``: jobs that have not ended."""

    owed: Level
    due: Level
    in_doubt: Level
    open_jobs: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What lies in a bucket of tokens now, of what it holds when full."""

    bucket: str
    tokens: float
    capacity: float


async def read(tx: Connection) -> Levels:
    row = await tx.fetchrow(
        """
        SELECT (SELECT count(*) FROM (
                   SELECT FROM journal WHERE published_at IS NULL ORDER BY id LIMIT $1) AS few) AS owed,
               (SELECT recorded_at FROM journal
                 WHERE published_at IS NULL ORDER BY id LIMIT 1) AS owed_since,
               (SELECT count(*) FROM (
                   SELECT FROM slot
                    WHERE state = 'pending' AND due_at <= now()
                 ORDER BY due_at LIMIT $1) AS few) AS due,
               (SELECT due_at FROM slot
                 WHERE state = 'pending' AND due_at <= now()
              ORDER BY due_at LIMIT 1) AS due_since,
               (SELECT count(*) FROM (
                   SELECT FROM slot
                    WHERE state = 'in_doubt' ORDER BY moved_at LIMIT $1) AS few) AS in_doubt,
               (SELECT moved_at FROM slot
                 WHERE state = 'in_doubt' ORDER BY moved_at LIMIT 1) AS in_doubt_since,
               (SELECT count(*) FROM (
                   SELECT FROM job
                    WHERE ended_at IS NULL ORDER BY created_at LIMIT $1) AS few) AS open_jobs,
               (SELECT created_at FROM job
                 WHERE ended_at IS NULL ORDER BY created_at LIMIT 1) AS open_jobs_since,
               clock_timestamp() AS now
        """,
        COUNTED,
    )
    if row is None:
        raise LookupError("a question without a table always has one row")

    def level(name: str) -> Level:
        return level_of(row[name], row[f"{name}_since"], row["now"])

    return Levels(
        owed=level("owed"),
        due=level("due"),
        in_doubt=level("in_doubt"),
        open_jobs=level("open_jobs"),
    )


async def parked(tx: Connection, queues: Sequence[str]) -> list[ParkedLevel]:
    """What is parked of each of ``queues``, in their order."""
    rows = await tx.fetch(
        """
        SELECT asked.queue, waiting.*, dead.*, clock_timestamp() AS now
          FROM unnest($1::text[]) WITH ORDINALITY AS asked (queue, place),
               LATERAL (SELECT count(*) AS waiting, min(first_at) AS waiting_since
                          FROM (SELECT first_at FROM parked_message
                                 WHERE queue = asked.queue
                                   AND CASE WHEN due_at IS NULL THEN 'dead'
                                            ELSE 'waiting' END = 'waiting'
                              ORDER BY first_at LIMIT $2) AS few) AS waiting,
               LATERAL (SELECT count(*) AS dead, min(first_at) AS dead_since
                          FROM (SELECT first_at FROM parked_message
                                 WHERE queue = asked.queue
                                   AND CASE WHEN due_at IS NULL THEN 'dead'
                                            ELSE 'waiting' END = 'dead'
                              ORDER BY first_at LIMIT $2) AS few) AS dead
      ORDER BY asked.place
        """,
        list(queues),
        COUNTED,
    )
    return [
        ParkedLevel(
            queue=row["queue"],
            waiting=level_of(row["waiting"], row["waiting_since"], row["now"]),
            dead=level_of(row["dead"], row["dead_since"], row["now"]),
        )
        for row in rows
    ]


async def budgets(tx: Connection) -> list[Budget]:
    """What is left of each limit of the account; nothing of a kind that was never called."""
    rows = await tx.fetch(
        """
        SELECT bucket, capacity,
               CASE WHEN paused_until > clock_timestamp() THEN 0
                    ELSE least(capacity, tokens + per_second
                               * greatest(0, extract(epoch FROM clock_timestamp() - refilled_at)))
                END AS tokens
          FROM rate_limit
      ORDER BY bucket
        """
    )
    return [
        Budget(bucket=row["bucket"], tokens=float(row["tokens"]), capacity=float(row["capacity"]))
        for row in rows
    ]


def level_of(count: int, since: datetime | None, now: datetime) -> Level:
    """So many that wait, the first of them ``since`` then."""
    return Level(count=count, seconds=0.0 if since is None else (now - since).total_seconds())
