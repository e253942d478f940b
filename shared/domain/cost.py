"""What a prediction has cost, by the price hint of the day on which it was bought; and a job."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from shared.domain.outputs import outputs_of
from shared.domain.prediction import TERMINAL, Prediction, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, as far as we know; Replicate's answers never say it."""

    micro_dollars_per_second: int = 0
    micro_dollars_per_output: int = 0

    def of_run(self, run: timedelta, *, outputs: int = 1) -> int:
        """Millionths of a dollar for a run so long that makes so many files."""
        seconds = max(0.0, run.total_seconds())
        return round(seconds * self.micro_dollars_per_second) + (
            outputs * self.micro_dollars_per_output
        )


class Bought(Protocol):
    """What is asked of a purchase. ``outcome`` is that of its create, ``estimate_micros`` what it
    was expected to cost when it was intended."""

    @property
    def outcome(self) -> str: ...
    @property
    def cost_micros(self) -> int | None: ...
    @property
    def estimate_micros(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What several purchases cost.

    ``paid_micros`` is of those ``paid`` whose cost is known. ``open`` are bought, or perhaps, and
    their cost is not known (yet): ``open_micros`` is what they were expected to cost, as far as
    anything was; ``unknown`` of them had no estimate, and count as nothing.
    """

    paid: int = 0
    paid_micros: int = 0
    open: int = 0
    open_micros: int = 0
    unknown: int = 0

    @property
    def micros(self) -> int | None:
        """All of it, as well as it is known; None: nothing is known of any of them."""
        if self.unknown and self.unknown == self.paid + self.open:
            return None
        return self.paid_micros + self.open_micros


# Of these creates there is a prediction, or may be one.
COUNTS = frozenset({"intended", "accepted", "in_doubt"})


def bill(bought: Iterable[Bought]) -> Bill:
    """Add purchases up. One in doubt counts as bought until that is settled."""
    counting = [one for one in bought if one.outcome in COUNTS]
    paid = [one.cost_micros for one in counting if one.cost_micros is not None]
    open_ = [one.estimate_micros for one in counting if one.cost_micros is None]
    known = [estimate for estimate in open_ if estimate is not None]
    return Bill(
        paid=len(paid),
        paid_micros=sum(paid),
        open=len(open_),
        open_micros=sum(known),
        unknown=len(open_) - len(known),
    )


def cost_micros(
    prediction: Prediction, *, micros_per_second: int | None, micros_per_output: int | None
) -> int | None:
    """Millionths of a dollar for a prediction that has ended, whatever its end.

    None: it still runs, no price is known, or what the price counts is not known any more.
    """
    if prediction.status not in TERMINAL or (micros_per_second, micros_per_output) == (None, None):
        return None
    seconds = _seconds(prediction) if micros_per_second else 0.0
    outputs = _outputs(prediction) if micros_per_output else 0
    if seconds is None or outputs is None:
        return None
    return round(seconds * (micros_per_second or 0)) + outputs * (micros_per_output or 0)


def _seconds(prediction: Prediction) -> float | None:
    """How long it ran: by its metrics, else by its times. What ended before it began costs
    nothing."""
    if prediction.predict_seconds is not None:
        return prediction.predict_seconds
    began, ended = prediction.started_at, prediction.completed_at
    if began is not None:
        return None if ended is None else max(0.0, (ended - began).total_seconds())
    return None if prediction.status is Status.SUCCEEDED else 0.0


def _outputs(prediction: Prediction) -> int | None:
    if prediction.data_removed:
        return None
    return sum(1 for output in outputs_of(prediction.output) if output is not None)
