"""Who hears what. The whole flow of the system is this table; read it top to bottom."""

from dataclasses import dataclass

EXCHANGE = "darkroom"
DEAD = "darkroom.dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable quorum queue and the facts that it hears.

    ``keeps`` bounds it in messages; ``drops_oldest`` says that news in it may be lost when full
    (only for news that later news repeats, or that nothing depends on). Every other queue refuses
    what it cannot take, so that dead letters go at least once.
    """

    name: str
    hears: tuple[str, ...] = ()
    keeps: int = 1_000_000
    drops_oldest: bool = False
    delivery_limit: int = 20


GENERATOR_JOBS = Queue(
    name="darkroom.generator.jobs",
    hears=("upload.received", "job.completed", "job.failed", "job.canceled"),
)
GENERATOR_VERDICTS = Queue(
    name="darkroom.generator.verdicts",
    hears=("prediction.failed", "prediction.canceled", "prediction.aborted"),
)
GENERATOR_PROGRESS = Queue(
    name="darkroom.generator.progress",
    hears=("prediction.started", "prediction.progressed"),
    keeps=10_000,
    drops_oldest=True,
)
STORAGE_OUTPUTS = Queue(name="darkroom.storage.outputs", hears=("prediction.succeeded",))
STORAGE_URGENT = Queue(name="darkroom.storage.urgent")
AGGREGATOR_SLOTS = Queue(
    name="darkroom.aggregator.slots",
    hears=("artifacts.stored", "slot.failed", "job.cancel_requested", "job.deadline_reached"),
)
REPORT_JOBS = Queue(name="darkroom.report.jobs", hears=("job.completed",))
# Kept for a look only: a flood of forgeries loses its oldest, and takes no room from anybody.
RECONCILER_REFUSED = Queue(
    name="darkroom.reconciler.refused", hears=("webhook.refused",), keeps=1_000, drops_oldest=True
)
# It has nowhere to give up to: no number of redeliveries may drop what lies here.
DEAD_LETTERS = Queue(name=DEAD, delivery_limit=1_000_000)

QUEUES = (
    GENERATOR_JOBS,
    GENERATOR_VERDICTS,
    GENERATOR_PROGRESS,
    STORAGE_OUTPUTS,
    STORAGE_URGENT,
    AGGREGATOR_SLOTS,
    REPORT_JOBS,
    RECONCILER_REFUSED,
    DEAD_LETTERS,
)

_HEARD = frozenset(fact for queue in QUEUES for fact in queue.hears)

# Nobody but storage hears of successes: its urgent queue may stand in for its ordinary one.
URGENT_INSTEAD = STORAGE_OUTPUTS.hears


def urgent_queue(fact_type: str) -> str | None:
    """Where a fact goes that was found late, by asking: its files have less time left than those
    of whatever waits in line. None: the ordinary way."""
    return STORAGE_URGENT.name if fact_type in URGENT_INSTEAD else None


def must_be_heard(fact_type: str) -> bool:
    """Whether some service of ours hears this fact, so that it is published ``mandatory``."""
    return fact_type in _HEARD
