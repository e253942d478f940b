"""SQL for ``rate_limit``: one bucket of tokens per kind of call, shared by every replica.

The database's clock fills it. Take a token on a connection of its own, never inside a longer
transaction: the row stays locked until the commit, and everybody takes from it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.db.connection import Connection

CREATES = "creates"
READS = "reads"

GROWS_BACK_IN = timedelta(minutes=10)
# Replicate's limit for accounts that run low is 1 % of the usual one (6 creates a minute of 600).
SLOWEST = 0.01


@dataclass(frozen=True, slots=True)
class Pause:
    """The account may not be used until then (401 or 402), for this reason."""

    until: datetime
    reason: str


async def take(
    tx: Connection,
    bucket: str,
    *,
    per_minute: float,
    share: float = 1.0,
    tokens: int = 1,
    burst: float | None = None,
) -> timedelta | None:
    """Take all of ``tokens`` or none; None: granted, else how long to wait before asking again.

    Never more than ``per_minute`` in any minute, whatever the burst (how many tokens may lie
    there; a sixth of a minute's, if None). ``share`` below 1 leaves the rest of the bucket to those
    who ask with a larger one.
    """
    # What may burst is taken from what flows, so that the two add up to the limit.
    capacity = max(1.0, per_minute / 6 if burst is None else burst)
    per_second = max(per_minute - capacity, per_minute / 2) / 60
    reserve = min((1.0 - share) * capacity, capacity - 1.0)
    while True:
        row = await tx.fetchrow(
            """
            WITH r AS (
                SELECT bucket, at, paused_until, refilled_at, flow,
                       least($2, tokens + greatest(0, extract(epoch FROM at - refilled_at)) * flow)
                           AS level
                  FROM (SELECT *, clock_timestamp() AS at,
                               $3 * least(1, slowed_to + coalesce(
                                   extract(epoch FROM clock_timestamp() - slowed_at) / $5, 1))
                                   AS flow
                          FROM rate_limit
                         WHERE bucket = $1
                           FOR UPDATE) AS locked
            ), taken AS (
                UPDATE rate_limit
                   SET tokens = r.level - $6::float8, refilled_at = r.at, capacity = $2, per_second = $3
                  FROM r
                 WHERE rate_limit.bucket = r.bucket
                   AND r.level >= $6::float8 + $4
                   AND coalesce(r.paused_until <= r.at, true)
             RETURNING true
            )
            SELECT EXISTS (SELECT FROM taken) AS granted,
                   greatest(paused_until - at,
                            greatest(refilled_at - at, interval '0')
                            + make_interval(secs => ($6::float8 + $4 - level) / flow)) AS wait
              FROM r
            """,
            bucket,
            capacity,
            per_second,
            reserve,
            GROWS_BACK_IN.total_seconds(),
            float(tokens),
        )
        if row is not None:
            break
        await tx.execute(
            """
            INSERT INTO rate_limit (bucket, capacity, per_second, tokens)
            VALUES ($1, $2, $3, $2)
                ON CONFLICT (bucket) DO NOTHING
            """,
            bucket,
            capacity,
            per_second,
        )
    wait: timedelta = row["wait"]
    return None if row["granted"] else wait


async def give_back(tx: Connection, bucket: str, tokens: int) -> None:
    """Return tokens that were taken for calls that are not made."""
    await tx.execute(
        "UPDATE rate_limit SET tokens = least(capacity, tokens + $2) WHERE bucket = $1",
        bucket,
        float(tokens),
    )


async def throttled(tx: Connection, bucket: str, retry_after: timedelta) -> None:
    """Learn from a 429: no token until ``retry_after`` has passed, and a slower flow for a while.

    The flow halves, once per spell of 429s, and grows back to its full rate in ``GROWS_BACK_IN``.
    """
    await tx.execute(
        """
        INSERT INTO rate_limit AS r (bucket, capacity, per_second, tokens, refilled_at, slowed_to,
                                     slowed_at)
        VALUES ($1, 1, 1, 0, clock_timestamp() + $2::interval, 0.5, clock_timestamp())
            ON CONFLICT (bucket) DO UPDATE
           SET tokens = 0,
               refilled_at = greatest(r.refilled_at, clock_timestamp() + $2::interval),
               slowed_to = CASE
                   WHEN r.refilled_at > clock_timestamp() THEN r.slowed_to
                   ELSE greatest($4, least(1, r.slowed_to + coalesce(
                            extract(epoch FROM clock_timestamp() - r.slowed_at) / $3, 1)) / 2) END,
               slowed_at = clock_timestamp()
        """,
        bucket,
        retry_after,
        GROWS_BACK_IN.total_seconds(),
        SLOWEST,
    )


async def pause(tx: Connection, bucket: str, *, lasting: timedelta, reason: str) -> None:
    """Stop a kind of call for the whole account. It resumes by time; a longer pause stays."""
    await tx.execute(
        """
        INSERT INTO rate_limit AS r (bucket, capacity, per_second, tokens, paused_until, reason)
        VALUES ($1, 1, 1, 1, clock_timestamp() + $2::interval, $3)
            ON CONFLICT (bucket) DO UPDATE
           SET paused_until = greatest(r.paused_until, EXCLUDED.paused_until), reason = $3
        """,
        bucket,
        lasting,
        reason,
    )


async def resume(tx: Connection, bucket: str) -> bool:
    """End a pause early, on an operator's word. False: there was none."""
    ended = await tx.execute(
        """
        UPDATE rate_limit
           SET paused_until = NULL, reason = NULL
         WHERE bucket = $1
           AND paused_until > clock_timestamp()
        """,
        bucket,
    )
    return ended == 1


async def paused(tx: Connection, bucket: str) -> Pause | None:
    row = await tx.fetchrow(
        """
        SELECT paused_until, reason
          FROM rate_limit
         WHERE bucket = $1
           AND paused_until > clock_timestamp()
        """,
        bucket,
    )
    return None if row is None else Pause(row["paused_until"], row["reason"] or "")
