"""Who hears what. The whole flow of the system is this table; read it top to bottom."""

from dataclasses import dataclass

EXCHANGE = "darkroom"
DEAD = "darkroom.dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable quorum queue and the facts that it hears.

    ``keeps`` bounds it in messages; ``drops_oldest`` says that news in it may be lost when full
    (only for what later news repeats, or no job depends on). Every other queue refuses
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
# Also where nobody calls back, and the queue is heard by nobody: then it loses its oldest, so that the
# jobs of others go on. What the broker would give up has no dead letters to go to, so it keeps it.
API_CALLBACKS = Queue(
    name="darkroom.api.callbacks",
    hears=("job.completed", "job.failed", "job.canceled", "report.published", "report.failed"),
    keeps=100_000,
    drops_oldest=True,
    delivery_limit=1_000_000,
)
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
    API_CALLBACKS,
    RECONCILER_REFUSED,
    DEAD_LETTERS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Who takes part in the flow: what it listens to, and the facts that it may state.

    ``watches``: facts that it looks on at as they pass, in a queue of its own that goes with its
    connection, and never works by. ``returns``: it also puts messages straight into a queue, as what
    was parked or found late, and relays facts of all others (when one is said again, or its own
    service is away).
    """

    name: str
    listens: tuple[Queue, ...] = ()
    states: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    returns: bool = False


_VERDICTS = (*STORAGE_OUTPUTS.hears, *GENERATOR_VERDICTS.hears)

INGRESS = Service(
    name="ingress",
    states=(*GENERATOR_PROGRESS.hears, *_VERDICTS, *RECONCILER_REFUSED.hears),
)
GENERATOR = Service(
    name="generator",
    listens=(GENERATOR_JOBS, GENERATOR_VERDICTS, GENERATOR_PROGRESS),
    states=(
        *("job.accepted", "prediction.created", "artifacts.stored", "slot.failed"),
        *("job.failed", "job.canceled"),
    ),
)
STORAGE = Service(
    name="storage",
    listens=(STORAGE_URGENT, STORAGE_OUTPUTS),
    states=("artifacts.stored", "slot.failed"),
)
AGGREGATOR = Service(
    name="aggregator",
    listens=(AGGREGATOR_SLOTS,),
    states=("job.completed", "job.failed", "job.canceled"),
)
REPORT = Service(
    name="report", listens=(REPORT_JOBS,), states=("report.published", "report.failed")
)
RECONCILER = Service(
    name="reconciler",
    listens=(DEAD_LETTERS, RECONCILER_REFUSED),
    states=(
        *GENERATOR_PROGRESS.hears,
        *_VERDICTS,
        "prediction.created",
        "slot.failed",
        "job.deadline_reached",
        "job.erased",
    ),
    returns=True,
)
# Says for others what they ask for over HTTP, and tells them how it goes.
API = Service(
    name="api",
    listens=(API_CALLBACKS,),
    states=("upload.received", "job.cancel_requested", "callback.delivered", "callback.failed"),
    watches=(
        *GENERATOR_PROGRESS.hears,
        *_VERDICTS,
        *("job.accepted", "prediction.created", "artifacts.stored", "slot.failed"),
        *("job.completed", "job.failed", "job.canceled", "job.erased"),
        *("report.published", "report.failed"),
    ),
)

SERVICES = (INGRESS, GENERATOR, STORAGE, AGGREGATOR, REPORT, RECONCILER, API)

# What other teams' services say to us, and what they may hear: facts that we compose, which carry
# no link and no secret. The provider's own words (prediction.*) and orders stay inside.
FROM_OTHERS = ("upload.received", "job.cancel_requested")
FOR_OTHERS = (
    "job.accepted",
    "artifacts.stored",
    "slot.failed",
    "job.completed",
    "job.failed",
    "job.canceled",
    "report.published",
    "report.failed",
    "job.erased",
    "callback.delivered",
    "callback.failed",
)

_HEARD = frozenset(fact for queue in QUEUES for fact in queue.hears)

# Nobody but storage hears of successes: its urgent queue may stand in for its ordinary one.
URGENT_INSTEAD = STORAGE_OUTPUTS.hears


def relayed_by(service: Service) -> tuple[str, ...] | None:
    """The facts that the relay of ``service`` publishes; None: whatever is owed."""
    return None if service.returns else service.states


def urgent_queue(fact_type: str) -> str | None:
    """Where a fact goes that was found late, by asking: its files have less time left than those
    of whatever waits in line. None: the ordinary way."""
    return STORAGE_URGENT.name if fact_type in URGENT_INSTEAD else None


def must_be_heard(fact_type: str) -> bool:
    """Whether some service of ours hears this fact, so that it is published ``mandatory``."""
    return fact_type in _HEARD
