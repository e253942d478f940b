"""SQL for ``cost_cap``: what a recipe may cost a day, and what its purchases of the day count as.

The purchases are the truth, and are added up where it matters; the row is where those who buy of the
recipe take turns, so that each of them sees what the others intended.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from shared.db.connection import Connection, Row
from shared.domain.cap import Day, Spent, day_of, room, to_add_up
from shared.domain.cost import COUNTS
from shared.domain.level import COUNTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A recipe's cap as those who buy have it (``cap_micros`` a day), and how its day stands.

    ``held_until``: slots wait for it until then at the latest, if nobody says so anew; None where
    none does. ``ends_at`` is the midnight at which all of it may be spent again.
    """

    recipe: str
    cap_micros: int
    ends_at: datetime
    spent: Spent
    held_until: datetime | None


async def take(
    tx: Connection,
    recipe: str,
    *,
    cap_micros: int,
    estimate_micros: int,
    wanted: int,
    zone: tzinfo,
    look_again: timedelta,
) -> tuple[int, timedelta]:
    """How many of ``wanted`` purchases may be intended in this transaction, and after how long what
    may not is worth another look: ``look_again``, or the next midnight of ``zone``.

    Others who want to buy of the recipe wait for the commit. Where several recipes are asked for,
    ask in the order of their names.
    """
    row = await tx.fetchrow(
        """
        INSERT INTO cost_cap AS c (recipe, cap_micros, begins_at, ends_at)
        VALUES ($1, $2, now() - interval '1 second', now())
            ON CONFLICT (recipe) DO UPDATE SET cap_micros = EXCLUDED.cap_micros
     RETURNING c.*, now() AS now, clock_timestamp() - c.added_up_at AS age
        """,
        recipe,
        cap_micros,
    )
    if row is None:
        raise LookupError("a row that was just written is gone")
    # The time that the intents of this transaction will carry.
    day = day_of(row["now"], zone)
    spent, since = _spent(row), row["since"]
    anew = (
        row["added_up_at"] is None
        or (row["begins_at"], row["ends_at"]) != (day.begins, day.ends)
        or to_add_up(
            spent,
            cap=cap_micros,
            estimate=estimate_micros,
            wanted=wanted,
            since=since,
            age=row["age"],
        )
    )
    if anew:
        spent, since = await spent_on(tx, recipe, day, estimate_micros=estimate_micros), 0
    granted = room(spent, cap=cap_micros, estimate=estimate_micros, wanted=wanted)
    after = spent.intended(granted, estimate_micros)
    wait = min(look_again, day.ends - row["now"])
    await tx.execute(
        """
        UPDATE cost_cap
           SET begins_at = $2, ends_at = $3, paid = $4, paid_micros = $5, open = $6,
               open_micros = $7, since = $8,
               added_up_at = CASE WHEN $9 THEN clock_timestamp() ELSE added_up_at END,
               held_until = CASE WHEN $10::interval IS NOT NULL
                                 THEN least($3, now() + $10::interval) END
         WHERE recipe = $1
        """,
        recipe,
        day.begins,
        day.ends,
        after.paid,
        after.paid_micros,
        after.open,
        after.open_micros,
        since + granted,
        anew,
        # Twice, so that it is said anew before it is over.
        2 * look_again if granted < wanted else None,
    )
    return granted, wait


async def spent_on(tx: Connection, recipe: str, day: Day, *, estimate_micros: int) -> Spent:
    """Add up the purchases of a recipe that were intended on that day. One of which nothing told
    what it would cost counts as ``estimate_micros``."""
    row = await tx.fetchrow(
        """
        SELECT count(p.cost_micros) AS paid,
               coalesce(sum(p.cost_micros), 0)::bigint AS paid_micros,
               count(*) - count(p.cost_micros) AS open,
               coalesce(sum(coalesce(p.estimate_micros, $4)) FILTER (WHERE p.cost_micros IS NULL),
                        0)::bigint AS open_micros
          FROM prediction p
          JOIN job ON job.id = p.job_id AND job.recipe = $1
         WHERE p.intended_at >= $2
           AND p.intended_at < $3
           AND p.outcome = ANY($5::text[])
        """,
        recipe,
        day.begins,
        day.ends,
        estimate_micros,
        sorted(COUNTS),
    )
    return _spent(row) if row else Spent()


async def today(tx: Connection) -> list[Cap]:
    """Every cap that was asked for today, as it stood then, by recipe."""
    rows = await tx.fetch(
        """
        SELECT *, CASE WHEN held_until > clock_timestamp() THEN held_until END AS held
          FROM cost_cap
         WHERE ends_at > clock_timestamp()
      ORDER BY recipe
        """
    )
    return [
        Cap(
            recipe=row["recipe"],
            cap_micros=row["cap_micros"],
            ends_at=row["ends_at"],
            spent=_spent(row),
            held_until=row["held"],
        )
        for row in rows
    ]


async def waiting(tx: Connection, recipe: str) -> int:
    """How many slots of the recipe's open jobs wait to be bought, ``COUNTED`` at the most."""
    count: int = await tx.fetchval(
        """
        SELECT count(*)
          FROM (SELECT
                  FROM slot
                  JOIN job ON job.id = slot.job_id
                 WHERE slot.state = 'pending'
                   AND job.recipe = $1
                   AND job.ended_at IS NULL
                 LIMIT $2) AS few
        """,
        recipe,
        COUNTED,
    )
    return count


def _spent(row: Row) -> Spent:
    return Spent(
        paid=row["paid"],
        paid_micros=row["paid_micros"],
        open=row["open"],
        open_micros=row["open_micros"],
    )
