"""The provider of the simulation: it sells, runs, tells, lists and deletes, and has bad days."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from shared.domain.prediction import TERMINAL, Prediction, Status

MINUTE = 60.0
HOUR = 3600.0
MICROS_PER_SECOND = 1000
BEGIN = datetime(2026, 6, 1, tzinfo=UTC)

# Some are worth another attempt, some are not: see shared.domain.failure.
ERRORS = (None, "E1000: something went wrong", "E9243: try again", "NSFW content detected", "boom")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that goes wrong from ``begin`` to ``end``."""

    what: str
    begin: float
    end: float


# What can go wrong for a while. Each lasts at most a quarter of an hour, within the first 25 minutes.
TROUBLES = (
    "no webhook comes",
    "creates are answered 500",
    "answers of creates are lost",
    "creates are throttled",
    "the account is paused",
    "buyers die",
    "no file can be fetched",
    "no question is answered",
)


def troubles(chance: Random) -> tuple[Trouble, ...]:
    some = []
    for _ in range(chance.choice((0, 1, 2, 3, 4))):
        begin = chance.uniform(0, 10 * MINUTE)
        what = chance.choice(TROUBLES)
        some.append(Trouble(what, begin, begin + chance.uniform(5, 15 * MINUTE)))
    return tuple(some)


@dataclass(slots=True)
class Sold:
    """One prediction, by the provider's own book. ``ref`` is the purchase that its webhook names;
    times are seconds, infinite where it will never come to that."""

    id: str
    ref: tuple[int, int, int]
    at: float
    starts: float
    ends: float
    end: Status
    error: str | None
    outputs: int
    late: bool = False  # its buyer was frozen, and sent it when nobody reckoned with it any more
    asked_to_end: bool = field(default=False)

    def status(self, now: float) -> Status:
        if now >= self.ends:
            return self.end
        return Status.PROCESSING if now >= self.starts else Status.STARTING

    def has_files(self, now: float) -> bool:
        return self.end is Status.SUCCEEDED and self.ends <= now < self.ends + HOUR

    def cancel(self, now: float) -> bool:
        """Whether it stopped for it."""
        self.asked_to_end = True
        if now >= self.ends:
            return False
        self.starts = min(self.starts, now)
        self.ends, self.end, self.error = now, Status.CANCELED, None
        return True

    @property
    def seconds(self) -> float:
        """That it ran, in whole milliseconds."""
        return round(self.ends - self.starts, 3) if self.ends < float("inf") else 0.0

    @property
    def costs(self) -> int:
        return round(self.seconds * MICROS_PER_SECOND)

    def told(self, status: Status, now: float) -> Prediction:
        """What a body says that was made now, about a status that it has or had."""
        over = status in TERMINAL
        return Prediction(
            id=self.id,
            status=status,
            raw_status=status,
            input={},
            output=None,
            error=self.error if over else None,
            logs="",
            metrics={"predict_time": self.seconds} if over else {},
            model=None,
            version=None,
            get_url=None,
            web_url=None,
            webhook=None,
            created_at=None,
            started_at=None,
            completed_at=BEGIN + timedelta(seconds=self.ends) if over else None,
            data_removed=over and now >= self.ends + HOUR,
        )


def sell(chance: Random, number: int, ref: tuple[int, int, int], now: float) -> Sold:
    cold = chance.random() < 0.1
    starts = now + (chance.uniform(60, 200) if cold else chance.uniform(0, 8))
    ends = starts + chance.uniform(1, 60)
    end, error = Status.SUCCEEDED, None
    fate = chance.random()
    if fate > 0.99:
        ends = float("inf")
    elif fate > 0.96:
        end, starts = Status.ABORTED, ends
    elif fate > 0.94:
        end = Status.CANCELED  # by somebody at the provider
    elif fate > 0.80:
        end, error = Status.FAILED, chance.choice(ERRORS)
    return Sold(
        id=f"p{number}",
        ref=ref,
        at=now,
        starts=starts,
        ends=ends,
        end=end,
        error=error,
        outputs=chance.choice((1, 1, 1, 1, 1, 2, 2, 0)) if end is Status.SUCCEEDED else 0,
    )
