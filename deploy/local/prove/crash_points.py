"""The crash points: every gap between two durable steps of the seven services, by name.

A durable step is a commit, a publisher's confirm, a put, a create, an acknowledgement. A process
that is killed between two of them leaves one done and the other not; each name says which. The
table is the only place that knows: what production runs has no hooks.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


class Source(StrEnum):
    """Where a job's original is when it is ordered."""

    NONE = "none"
    BUCKET = "bucket"
    ELSEWHERE = "elsewhere"  # at an address of the emulator's


class Ask(StrEnum):
    """What is asked of the API, until it answers."""

    PLACE = "place"  # the order itself, under an Idempotency-Key
    CANCEL = "cancel"  # the job's end, once its first prediction runs
    RETRY = (
        "retry"  # the job once more, when it has ended; the new one is then the one that is meant
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A job that reaches some crash points.

    ``order`` is the body of its ``upload.received``, but for the job's id and its source.
    ``faults`` are the emulator's rules for its purchases, ``ends`` is the state that it ends in.
    ``then`` is a fact that is published once its first prediction runs (or, ``then_with_a_file``,
    once one of its files is in the bucket). ``beside`` is a dead letter
    that comes along, ``disbelieved`` a webhook that nobody signed. ``without`` is a service that is
    away until the crash, ``orphaned_by`` a crash point of another service that is reached first.
    ``asks`` is asked of the API beside or instead of that.
    ``spoiled`` is done to its row ($1: the job) when it is completed and its report not yet made.
    """

    order: Mapping[str, Any]
    source: Source = Source.BUCKET
    faults: tuple[Mapping[str, Any], ...] = ()
    ends: str = "completed"
    then: str | None = None
    then_with_a_file: bool = False
    beside: bool = False
    disbelieved: bool = False
    spoiled: str | None = None
    without: str | None = None
    orphaned_by: str | None = None
    asks: Ask | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the order and the faults are all that it takes."""
        return not (
            self.then
            or self.beside
            or self.disbelieved
            or self.spoiled
            or self.without
            or self.orphaned_by
            or self.asks
        )


ONE_PICTURE = {"recipe": "variations", "params": {"count": 1}}
UNHEARD = {"fault": "drop_webhooks"}


def _fish(*, concepts: int) -> Mapping[str, Any]:
    return {
        "recipe": "studio-concepts",
        "params": {
            "prompt": "fish in clear water",
            "surface": {"width": 2, "height": 2},
            "colours": ["#1d3557", "#f1faee"],
            "concepts": concepts,
        },
    }


KINDS: Mapping[str, Kind] = {
    "picture": Kind(order=ONE_PICTURE),
    "fetched": Kind(order=ONE_PICTURE, source=Source.ELSEWHERE),
    "concepts": Kind(
        order=_fish(concepts=1),
        source=Source.NONE,
    ),
    "nonsense": Kind(order={"recipe": "variations", "params": {"count": 0}}, ends="failed"),
    "throttled": Kind(
        order=ONE_PICTURE,
        faults=({"fault": "refuse", "status": 429, "retry_after": 1, "times": 1},),
    ),
    "unpaid": Kind(order=ONE_PICTURE, faults=({"fault": "refuse", "status": 402, "times": 1},)),
    "rejected": Kind(
        order=ONE_PICTURE, faults=({"fault": "refuse", "status": 422},), ends="failed"
    ),
    "torn": Kind(order=ONE_PICTURE, faults=({"fault": "tear", "times": 1},)),
    "unanswered": Kind(
        order=ONE_PICTURE, faults=({"fault": "lose_create_answer", "times": 1}, UNHEARD)
    ),
    "orphaned": Kind(
        order=ONE_PICTURE,
        faults=(UNHEARD,),
        orphaned_by="generator: prediction created, its answer not written",
    ),
    "failing": Kind(order=ONE_PICTURE, faults=({"fault": "fail", "times": 1},)),
    "silent": Kind(order=ONE_PICTURE, faults=(UNHEARD,)),
    "gone": Kind(order=ONE_PICTURE, faults=({"fault": "missing_file"},), ends="failed"),
    "useless": Kind(order=ONE_PICTURE, faults=({"fault": "not_an_image"},), ends="failed"),
    "hesitant": Kind(order=ONE_PICTURE, faults=({"fault": "failing_file", "fetches": 1},)),
    "slow_files": Kind(order=ONE_PICTURE, faults=({"fault": "slow_file", "seconds": 10},)),
    "canceled": Kind(
        order=ONE_PICTURE,
        faults=({"fault": "slow_run", "seconds": 300},),
        then="job.cancel_requested",
        ends="canceled",
    ),
    "unwanted": Kind(
        order=_fish(concepts=2),
        source=Source.NONE,
        faults=({"fault": "slow_file", "seconds": 60, "outputs": [1]},),
        then="job.cancel_requested",
        then_with_a_file=True,
        ends="canceled",
    ),
    "overdue": Kind(
        order=ONE_PICTURE | {"deadline_seconds": 3},
        faults=({"fault": "slow_run", "seconds": 300},),
        ends="failed",
    ),
    "unreported": Kind(order=ONE_PICTURE, without="report"),
    "unreportable": Kind(order=ONE_PICTURE, spoiled="UPDATE job SET params = '[]' WHERE id = $1"),
    "beside_a_dead_letter": Kind(order=ONE_PICTURE, beside=True),
    "beside_a_forgery": Kind(order=ONE_PICTURE, disbelieved=True),
    "placed": Kind(order=ONE_PICTURE, source=Source.ELSEWHERE, asks=Ask.PLACE),
    "given_up": Kind(
        order=ONE_PICTURE,
        faults=({"fault": "slow_run", "seconds": 300},),
        asks=Ask.CANCEL,
        ends="canceled",
    ),
    # One of its two pictures is refused: the other one is stored when it is ordered once more.
    "again": Kind(
        order={"recipe": "variations", "params": {"count": 2}},
        faults=({"fault": "refuse", "status": 422, "times": 1},),
        asks=Ask.RETRY,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPoint:
    """One gap. The process ends right ``when`` (before or after) the function ``at``
    (``module:qualified.name``) is called: only on behalf of the function ``within``, where one is
    named, and only for facts of the type ``about``. A job of ``kind`` (in ``KINDS``) gets there.
    """

    name: str
    at: str
    when: When
    within: str | None = None
    about: str | None = None
    kind: str = "picture"

    @property
    def service(self) -> str:
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class _Of:
    """The points of one service, in the order in which a job comes past them."""

    service: str
    points: list[CrashPoint] = field(default_factory=list)

    def before(self, name: str, at: str, **more: Any) -> None:
        self._add(name, at, When.BEFORE, **more)

    def after(self, name: str, at: str, **more: Any) -> None:
        self._add(name, at, When.AFTER, **more)

    def relays(self, kind: str = "picture") -> None:
        """The relay of this service: it takes whatever the journal owes, and is the first to know
        of what its own service states."""
        relay, published = "shared.messaging.relay:relay_once", "shared.messaging.relay:_published"
        self.before("facts claimed, none published", published, kind=kind)
        self.after("facts confirmed by the broker, not marked", published, kind=kind)
        self.after("facts marked as published, not committed", MARK, within=relay, kind=kind)

    def acknowledges(self, about: str, name: str) -> None:
        self.after(name, "shared.messaging.handling:Handling._settle", about=about)

    def _add(self, name: str, at: str, when: When, **more: Any) -> None:
        self.points.append(CrashPoint(name=f"{self.service}: {name}", at=at, when=when, **more))


COMMIT = "shared.db.connection:Database._commit"
SAY = "shared.db.journal:say"
MARK = "shared.db.journal:mark_published"
PUBLISH = "shared.messaging.publisher:Publisher.publish"
PUT = "shared.objects:Bucket.put"
PARK = "shared.db.parked:Parked.park"
COPY = "shared.objects:Bucket.copy"


def _ingress() -> list[CrashPoint]:
    its = _Of("ingress")
    told = "prediction.succeeded"
    its.before("webhook believed, not published", PUBLISH, about=told)
    its.after("webhook confirmed by the broker, not answered", PUBLISH, about=told)
    forged, refused = "beside_a_forgery", "webhook.refused"
    its.before("webhook refused, not told for a look", PUBLISH, about=refused, kind=forged)
    its.after("webhook refused and told for a look", PUBLISH, about=refused, kind=forged)
    return its.points


def _generator() -> list[CrashPoint]:
    its = _Of("generator")
    plan = "services.generator.plan:PlanJobs"
    its.before("order heard, nothing done", f"{plan}.hear")
    its.after(
        "original copied, its job not planned",
        "services.generator.original:Originals.copy",
        kind="fetched",
    )
    its.after(
        "file prepared, its job not planned",
        "services.generator.prepare:Preparations._stored",
        kind="concepts",
    )
    its.after("job planned, not committed", SAY, within=f"{plan}.hear")
    its.after("job committed, its order not acknowledged", f"{plan}.hear")
    its.acknowledges("upload.received", "order acknowledged")
    its.after(
        "refusal of an order written, not committed", SAY, within=f"{plan}.hear", kind="nonsense"
    )
    its.after("refusal of an order committed, not acknowledged", f"{plan}.hear", kind="nonsense")

    reuse, again = "services.generator.reuse:Reuse", "again"
    its.before("order of a retry heard, nothing taken over", f"{reuse}.take_over", kind=again)
    its.after("file copied, its job not planned", COPY, within=f"{reuse}.take_over", kind=again)
    its.after("all files copied, their job not planned", f"{reuse}.take_over", kind=again)
    its.after(
        "slots taken over, their job not committed",
        "shared.db.slots:insert_stored",
        within=f"{plan}.hear",
        kind=again,
    )
    its.after(
        "retry committed with its slots, its order not acknowledged", f"{plan}.hear", kind=again
    )

    buyer = "services.generator.buy:Buyer"
    its.before("tokens taken, no slot claimed", f"{buyer}._claim")
    its.after("intent written, not committed", "shared.db.predictions:intend")
    its.after("intent committed, its inputs without links", f"{buyer}._claim")
    its.before("lease checked, nothing created", CREATE)
    its.after("prediction created, its answer not written", CREATE)
    its.after("answer written, not committed", f"{buyer}._enter")
    its.after("answer committed", f"{buyer}._write_down")
    its.after(
        "limit told to all buyers, its slot not moved", f"{buyer}._tell_buyers", kind="throttled"
    )
    its.after("throttled purchase committed", f"{buyer}._write_down", kind="throttled")
    its.after("account paused, its slot not moved", f"{buyer}._tell_buyers", kind="unpaid")
    its.after("refused purchase written, not committed", f"{buyer}._enter", kind="rejected")
    its.after("refused purchase committed", f"{buyer}._write_down", kind="rejected")
    its.after("doubt written, not committed", f"{buyer}._enter", kind="torn")
    its.after("doubt committed", f"{buyer}._write_down", kind="torn")

    follow, failed = "services.generator.follow:FollowPredictions.hear", "prediction.failed"
    recorded = "services.generator.follow:record"
    its.after("start recorded, not acknowledged", follow, about="prediction.started")
    its.before("failure heard, nothing done", follow, about=failed, kind="failing")
    its.after("failure recorded, not committed", recorded, about=failed, kind="failing")
    its.after("failure committed, not acknowledged", follow, about=failed, kind="failing")

    close = "services.generator.follow:CloseEndedJobs.hear"
    its.before("end of a job heard, its slots open", close, kind="canceled")
    its.after(
        "open slots closed, not committed",
        "shared.db.slots:cancel_open",
        within=close,
        kind="canceled",
    )
    its.after("open slots closed, the end not acknowledged", close, kind="canceled")
    its.relays()
    return its.points


CREATE = "shared.replicate_api:Replicate.create"


def _storage() -> list[CrashPoint]:
    its = _Of("storage")
    store = "services.storage.handlers:StoreOutputs"
    its.before("success heard, nothing done", f"{store}.hear")
    its.after("success recorded, not committed", "services.storage.handlers:record")
    its.before("success committed, nothing fetched", f"{store}._copy")
    its.before("output fetched, not put", PUT, within="services.storage.files:Files.copy")
    its.after(
        "output put, nothing derived",
        PUT,
        within="services.storage.files:Files.copy",
        kind="concepts",
    )
    its.after(
        "derived file put, its slot not stored",
        "services.storage.finish:Finishing._derive",
        kind="concepts",
    )
    its.after("all files put, no row written", f"{store}._copy")
    its.after("rows and fact written, not committed", SAY, within=f"{store}._store")
    its.after("slot stored, its success not acknowledged", f"{store}.hear")
    its.acknowledges("prediction.succeeded", "success acknowledged")

    its.after(
        "download stopped, its files not noted as waste",
        "services.storage.handlers:while_wanted",
        kind="unwanted",
    )
    its.after("waste noted, not committed", "shared.db.waste:note", kind="unwanted")
    its.after("waste noted, the success not acknowledged", f"{store}._unwanted", kind="unwanted")
    its.after("loss written, not committed", "services.storage.handlers:fail", kind="gone")
    its.after("loss committed, not acknowledged", f"{store}._lose", kind="gone")
    its.before(
        "slot failed, its message not parked",
        "shared.messaging.handling:Handling._park_dead",
        kind="useless",
    )
    its.after("message parked as dead, not acknowledged", PARK, kind="useless")
    its.after("message parked, not committed", "shared.db.parked:park", kind="hesitant")
    its.after("message parked for later, not acknowledged", PARK, kind="hesitant")
    its.relays()
    return its.points


def _aggregator() -> list[CrashPoint]:
    its = _Of("aggregator")
    settle, many = (
        "services.aggregator.handlers:EndJobs._settle",
        ("services.aggregator.handlers:EndJobs.many"),
    )
    its.before("closing heard, nothing counted", many, about="artifacts.stored")
    its.after("slot counted, not committed", "shared.db.slots:count_closed", within=settle)
    its.after("end written, not committed", SAY, within=settle)
    its.after("end committed, the closing not acknowledged", many, about="artifacts.stored")
    its.acknowledges("artifacts.stored", "closing acknowledged")
    its.after("end with a failed slot written, not committed", SAY, within=settle, kind="rejected")
    its.after(
        "cancel committed, its wish not acknowledged",
        many,
        about="job.cancel_requested",
        kind="canceled",
    )
    its.after(
        "end by the deadline committed, not acknowledged",
        many,
        about="job.deadline_reached",
        kind="overdue",
    )
    its.relays()
    return its.points


def _report() -> list[CrashPoint]:
    its = _Of("report")
    hear, publish = (
        "services.report.handlers:PublishReports.hear",
        "services.report.handlers:PublishReports._publish",
    )
    its.before("end heard, nothing made", hear)
    its.before("page made, not put", PUT, within=publish)
    its.after("page put, its job without it", PUT, within=publish)
    its.after("publication written, not committed", SAY, within=publish)
    its.after("report published, the end not acknowledged", hear)
    its.acknowledges("job.completed", "end acknowledged")

    give_up, failing = "services.report.handlers:PublishReports._give_up", "unreportable"
    its.before("report failed for good, nothing written", give_up, kind=failing)
    its.after("failure of a report written, not committed", SAY, within=give_up, kind=failing)
    its.after("failure of a report committed, its message not parked", give_up, kind=failing)
    its.after(
        "message of a failed report parked as dead, not acknowledged",
        PARK,
        within="shared.messaging.handling:Handling._park_dead",
        kind=failing,
    )
    its.relays()
    return its.points


def _reconciler() -> list[CrashPoint]:
    its = _Of("reconciler")
    ask = "services.reconciler.ask:AskSilent"
    its.before("silent prediction taken, not asked about", f"{ask}._ask", kind="silent")
    its.after(
        "answer read, not told",
        "shared.replicate_api:Replicate.get",
        within=f"{ask}._ask",
        kind="silent",
    )
    its.after("answer told, not committed", "services.reconciler.ask:tell", kind="silent")
    its.after("answer committed", COMMIT, within=f"{ask}.run_once", kind="silent")

    back = "services.reconciler.bring_back:BringBack.run_once"
    its.before("parked message taken, not published", PUBLISH, within=back, kind="hesitant")
    its.after("parked message published, not forgotten", PUBLISH, within=back, kind="hesitant")
    its.after("parked message forgotten", "shared.db.parked:brought_back", kind="hesitant")

    cancel = "services.reconciler.cancel:CancelUnwanted._cancel"
    its.before("unwanted prediction taken, not canceled", cancel, kind="canceled")
    its.after(
        "cancel sent, its end not told", "shared.replicate_api:Replicate.cancel", kind="canceled"
    )
    its.after("end of a canceled run told", COMMIT, within=cancel, kind="canceled")

    doubt = "services.reconciler.doubt:SettleDoubt"
    its.after(
        "doubt of a lost buyer's purchase written, not committed",
        "shared.db.predictions:set_outcome",
        within=f"{doubt}._doubt_the_overdue",
        kind="orphaned",
    )
    its.before("list read, nothing adopted", f"{doubt}._settle", kind="unanswered")
    its.after("purchase adopted, not committed", f"{doubt}._adopt", kind="unanswered")
    its.after("adoption committed", COMMIT, within=f"{doubt}._settle", kind="unanswered")
    its.after(
        "another attempt written, not committed",
        "services.reconciler.doubt:_buy_anew",
        kind="torn",
    )
    its.after("another attempt committed", COMMIT, within=f"{doubt}._settle", kind="torn")

    deadlines = "services.reconciler.deadlines:WatchDeadlines._tell"
    its.after("deadline stated, not committed", SAY, within=deadlines, kind="overdue")
    its.after("deadline committed", COMMIT, within=deadlines, kind="overdue")

    dead, letter = "services.reconciler.dead_letters:DrainDeadLetters.hear", "beside_a_dead_letter"
    its.after("dead letter kept, not committed", "shared.db.parked:add_dead", kind=letter)
    its.after("dead letter kept, not acknowledged", dead, kind=letter)

    refused, forged = "services.reconciler.refused:KeepRefused.hear", "beside_a_forgery"
    its.before("refused webhook heard, not kept", refused, kind=forged)
    its.after("refused webhook kept, not committed", "shared.db.refused:keep", kind=forged)
    its.after("refused webhook kept, not acknowledged", refused, kind=forged)

    waste, delete = "services.reconciler.waste:ClearWaste._clear", "shared.objects:Bucket.delete"
    its.before("waste found, nothing deleted", delete, within=waste, kind="unwanted")
    its.after("waste deleted, its note not taken away", delete, within=waste, kind="unwanted")

    reports = "services.reconciler.unreported:RescueReports.run_once"
    its.after(
        "end said again, not committed",
        "shared.db.journal:say_again",
        within=reports,
        kind="unreported",
    )
    its.after("end said again", COMMIT, within=reports, kind="unreported")

    outputs = "services.reconciler.unsaved:RescueOutputs._say_again"
    its.before("success found unsaved, not said again", PUBLISH, within=outputs, kind="slow_files")
    its.after("success said again to storage", PUBLISH, within=outputs, kind="slow_files")
    its.relays(kind="silent")
    return its.points


def _api() -> list[CrashPoint]:
    its = _Of("api")
    orders = "services.api.orders:Orders"
    place, retry, cancel = f"{orders}.place", f"{orders}.retry", f"{orders}.cancel"
    its.before("order read, nothing stated", f"{orders}._stated", within=place, kind="placed")
    its.after("order stated, not committed", SAY, within=place, kind="placed")
    its.after("order committed, not answered", COMMIT, within=place, kind="placed")
    its.before("wish read, nothing stated", cancel, kind="given_up")
    its.after("wish stated, not committed", SAY, within=cancel, kind="given_up")
    its.after("wish committed, not answered", COMMIT, within=cancel, kind="given_up")
    its.before("original of a retry not copied", COPY, within=retry, kind="again")
    its.after("original of a retry copied, its order not stated", COPY, within=retry, kind="again")
    its.after("retry stated, not committed", SAY, within=retry, kind="again")
    its.after("retry committed, not answered", COMMIT, within=retry, kind="again")
    its.relays(kind="placed")
    return its.points


POINTS: tuple[CrashPoint, ...] = (
    *_ingress(),
    *_generator(),
    *_storage(),
    *_aggregator(),
    *_report(),
    *_reconciler(),
    *_api(),
)


def point(name: str) -> CrashPoint:
    """Raises KeyError for a name that is not in the table."""
    return {known.name: known for known in POINTS}[name]


def command(point: CrashPoint, hit: int = 1) -> list[str]:
    """What runs the point's service until its ``hit``-th time there, and ends it by SIGKILL. To be
    started with the environment that the service itself would get."""
    return [
        *(sys.executable, "-m", "deploy.local.prove.mortal", point.service),
        *("--point", point.name, "--hit", str(hit)),
    ]
