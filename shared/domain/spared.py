"""What the end of a job spared: purchases that were never made, and runs that were stopped."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.cost import Price
from shared.domain.prediction import TERMINAL, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A slot that its job's end left without a success, and the last purchase for it.

    ``bought``: one was made, or may have been. ``known``: the provider has named its prediction.
    ``cost_micros`` is what it cost, once its verdict is in and its price is known.
    """

    bought: bool
    known: bool = False
    status: Status | None = None
    started_at: datetime | None = None
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Typical:
    """A run of the job's recipe as it usually goes, by the price hint; what makes up ``saved``."""

    run: timedelta
    price: Price

    def micros(self, *, ran: timedelta = timedelta(0)) -> int:
        """Millionths of a dollar that are left to pay for a run that went on for ``ran``."""
        return self.price.of_run(self.run - max(timedelta(0), ran))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """``not_bought`` slots were never paid for; ``stopped`` runs were ended, or were told to end,
    before they were done. ``micros`` (millionths of a dollar) is an estimate: what all of them
    would have cost if they had run as usual, less what they did cost. None: no price is known."""

    not_bought: int = 0
    stopped: int = 0
    micros: int | None = None

    @property
    def dollars(self) -> float | None:
        return None if self.micros is None else round(self.micros / 1e6, 6)


def spared(unfinished: Iterable[Unfinished], *, typical: Typical | None, now: datetime) -> Spared:
    """Count what was spared. What is not known to have been spared does not count: neither a
    purchase in doubt, nor a run that came to its own end."""
    not_bought = stopped = micros = 0
    for slot in unfinished:
        if not slot.bought:
            not_bought += 1
            micros += typical.micros() if typical else 0
        elif slot.known and slot.status in _ENDED_EARLY:
            stopped += 1
            micros += max(0, typical.micros() - (slot.cost_micros or 0)) if typical else 0
        elif slot.known and slot.status not in TERMINAL:
            stopped += 1
            # What never started is not paid for at all.
            ran = now - slot.started_at if slot.started_at else timedelta(0)
            micros += typical.micros(ran=ran) if typical else 0
    return Spared(not_bought=not_bought, stopped=stopped, micros=micros if typical else None)


_ENDED_EARLY = frozenset({Status.CANCELED, Status.ABORTED})
