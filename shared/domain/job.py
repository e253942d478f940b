"""When a job is done, and how it ends."""

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    PENDING = "pending"  # accepted
    QUEUED = "queued"  # something was bought
    RUNNING = "running"  # Replicate works on something of it
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


@dataclass(frozen=True, slots=True)
class Completion:
    """How many slots must be stored for the job to count as completed.

    ``at_least`` None means all of them.
    """

    at_least: int | None = None

    def satisfied(self, *, stored: int, n: int) -> bool:
        return stored >= (n if self.at_least is None else min(self.at_least, n))


ALL = Completion()
ANY = Completion(at_least=1)


def at_least(k: int) -> Completion:
    return Completion(at_least=k)


@dataclass(frozen=True, slots=True)
class Tally:
    """Slots counted so far, of ``n``."""

    n: int
    stored: int
    failed: int
    canceled: int = 0

    @property
    def closed(self) -> int:
        return self.stored + self.failed + self.canceled


class Call(StrEnum):
    """What asks whether the job ends."""

    SLOTS_CLOSED = "slots_closed"
    CANCEL_REQUESTED = "cancel_requested"
    DEADLINE_REACHED = "deadline_reached"


def decide_end(tally: Tally, rule: Completion, call: Call) -> JobState | None:
    """The end that ``call`` brings, or None while the job goes on.

    A job waits for every slot, also when its end is already certain: what was paid for is stored
    and shown. Only its deadline, or somebody's wish, ends it with slots open; the deadline asks
    the same rule.
    """
    if call is Call.CANCEL_REQUESTED:
        return JobState.CANCELED
    if call is Call.SLOTS_CLOSED and tally.closed < tally.n:
        return None
    done = tally.stored > 0 and rule.satisfied(stored=tally.stored, n=tally.n)
    return JobState.COMPLETED if done else JobState.FAILED
