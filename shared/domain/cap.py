"""How much more may be bought of a recipe today: pure, from what its purchases of the day cost.

A purchase counts from the moment of its intent, because whoever waits for its cost has bought the
next one by then: by its estimate until its cost is known, so also while it is in doubt.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

# Far from its cap a recipe's purchases are added up once for so many that still fit.
NEAR = 10
# Costs that came in meanwhile are looked at this often, however far away the cap is,
ADDED_UP_EVERY = timedelta(seconds=5)
# and no more often than this while nothing fits.
AT_MOST_EVERY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The purchases of one recipe on one day.

    ``paid_micros`` is what those ``paid`` cost whose cost is known; ``open_micros`` what those
    ``open`` were expected to cost that are bought, or may be, and whose cost is not known.
    """

    paid: int = 0
    paid_micros: int = 0
    open: int = 0
    open_micros: int = 0

    @property
    def usual_micros(self) -> int:
        """What one of them has cost on average, rounded up; 0: of none it is known."""
        return -(-self.paid_micros // self.paid) if self.paid else 0

    @property
    def micros(self) -> int:
        """What all of them count as. Where they turn out dearer than expected, so will the others."""
        return self.paid_micros + max(self.open_micros, self.open * self.usual_micros)

    def one_more(self, estimate: int) -> int:
        """What another one counts as, which is expected to cost ``estimate``."""
        return max(estimate, self.usual_micros)

    def intended(self, count: int, estimate: int) -> "Spent":
        """After ``count`` more were intended, each expected to cost ``estimate``."""
        return Spent(
            paid=self.paid,
            paid_micros=self.paid_micros,
            open=self.open + count,
            open_micros=self.open_micros + count * self.one_more(estimate),
        )


def room(spent: Spent, *, cap: int, estimate: int, wanted: int) -> int:
    """How many of ``wanted`` purchases fit under ``cap`` (micros a day): each only if all that it is
    expected to cost does, so that what is expected never goes over."""
    each = spent.one_more(estimate)
    left = cap - spent.micros
    if each == 0:
        return wanted if left >= 0 else 0
    return max(0, min(wanted, left // each))


def to_add_up(
    spent: Spent, *, cap: int, estimate: int, wanted: int, since: int, age: timedelta
) -> bool:
    """Whether to add the day's purchases up anew before deciding.

    ``spent`` is what was found ``age`` ago, with the ``since`` that were intended after it. Far away
    from the cap the two differ too little to matter, so that a long day is not added up for each
    purchase; where little is left it is.
    """
    near = NEAR * (since + wanted)
    if room(spent, cap=cap, estimate=estimate, wanted=near) == near:
        return age >= ADDED_UP_EVERY
    fits = room(spent, cap=cap, estimate=estimate, wanted=1) == 1
    return fits or since > 0 or age >= AT_MOST_EVERY


@dataclass(frozen=True, slots=True)
class Day:
    """From one midnight of a zone to the next, the second one excluded."""

    begins: datetime
    ends: datetime


def day_of(now: datetime, zone: tzinfo) -> Day:
    """The day of ``zone`` that ``now`` lies in; 23 or 25 hours long where its clocks are changed."""
    today = now.astimezone(zone).date()
    begins, ends = (
        datetime.combine(day, time(), tzinfo=zone) for day in (today, today + timedelta(days=1))
    )
    return Day(begins.astimezone(now.tzinfo), ends.astimezone(now.tzinfo))


def days_since(begin: datetime, now: datetime, zone: tzinfo) -> dict[str, Day]:
    """Every day of ``zone`` from ``begin`` to ``now`` by its date; the first begins with ``begin``."""
    days = {}
    at = begin
    while at <= now:
        ends = day_of(at, zone).ends
        days[at.astimezone(zone).date().isoformat()] = Day(at, ends)
        at = ends
    return days


def why_caps_cannot_hold(caps: Iterable[str], estimates: Mapping[str, int | None]) -> list[str]:
    """A sentence for each recipe with a cap that nothing could be counted towards. ``estimates`` are
    what one purchase is expected to cost (micros), of every recipe; None where nothing tells."""
    wrong = []
    for name in caps:
        if name not in estimates:
            wrong.append(f"there is no recipe {name!r}; there is {', '.join(estimates)}")
        elif estimates[name] is None:
            wrong.append(
                f"nobody knows what {name} costs, so a cap cannot hold: "
                "say what its model costs in MODEL_PRICES"
            )
    return wrong
