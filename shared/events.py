"""The facts our services tell each other: one frozen class per fact, its name is its routing key.

Types grow by adding optional fields; a shipped field never changes its meaning. ``prediction.*``
facts carry Replicate's body byte for byte and are read by ``shared.domain.prediction``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from shared.domain import identity
from shared.domain.prediction import FACT_OF_STATUS
from shared.domain.refusal import WEBHOOK_REFUSED
from shared.domain.slot import FailureCode
from shared.envelope import Envelope
from shared.errors import Flawed
from shared.validation import OURS, faults, sentence

ARTIFACTS_TOLD = 200  # more than that, and an event says `truncated` instead
MISSING_TOLD = 200
LONGEST_CALLBACK_URL = 2048


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise ValueError("must be an https URL without user info")
    return url


def _https_or_near(url: str) -> str:
    # On a laptop the guard may let one origin of this machine in, and no other plain http.
    parts = urlsplit(url)
    near = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    return url if near and "@" not in parts.netloc else _https(url)


Ordinal = Annotated[int, Field(ge=1)]
CallbackUrl = Annotated[str, Field(max_length=LONGEST_CALLBACK_URL), AfterValidator(_https_or_near)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """An original that already lies in our bucket."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSource:
    """An original that is fetched under the download guard first."""

    url: Annotated[str, Field(max_length=2048), AfterValidator(_https_or_near)]


def _which_source(value: Any) -> str | None:
    """By its one field, so that a refusal speaks of what was meant; None: it is neither, or both."""
    if isinstance(value, KeySource | UrlSource):
        return "key" if isinstance(value, KeySource) else "url"
    named = [name for name in ("key", "url") if isinstance(value, Mapping) and name in value]
    return named[0] if len(named) == 1 else None


Source = Annotated[
    Annotated[KeySource, Tag("key")] | Annotated[UrlSource, Tag("url")],
    Discriminator(
        _which_source,
        custom_error_type=OURS,
        custom_error_message='must be {"key": …} or {"url": …}',
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReceived:
    """Somebody ordered a job. The only fact that other teams publish. ``retry_of`` names the job
    that this one does again: what is stored of it and is the same is taken over, the rest is bought.
    """

    type: ClassVar[str] = "upload.received"

    recipe: Annotated[str, Field(min_length=1, max_length=100)]
    job_id: UUID | None = None
    external_ref: Annotated[str, Field(max_length=200)] | None = None
    source: Source | None = None
    params: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    timezone: Annotated[str, Field(max_length=64)] | None = None
    locale: Annotated[str, Field(max_length=16)] | None = None
    deadline_seconds: Annotated[int, Field(ge=1, le=604_800)] | None = None
    callback_url: CallbackUrl | None = None
    retry_of: UUID | None = None


ORDER_FIELDS = frozenset(UploadReceived.__dataclass_fields__) - {"type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAccepted:
    """The order is planned: its slots stand, and n will not move. ``reused`` of them came stored,
    from the job that this one does again."""

    type: ClassVar[str] = "job.accepted"

    job_id: UUID
    recipe: str
    n: int
    external_ref: str | None = None
    notes: tuple[str, ...] = ()  # how it is carried out, where that is not word for word
    taken_at: datetime | None = None  # when the order was taken up, by the planner's clock
    reused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionCreated:
    """Replicate took a purchase and gave it an id."""

    type: ClassVar[str] = "prediction.created"

    job_id: UUID
    ordinal: Ordinal
    attempt: Ordinal
    prediction_id: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of ours, by its key (a claim check: bytes never travel)."""

    id: UUID
    kind: str
    key: str
    content_type: str
    bytes: int
    sha256: str
    ordinal: int | None = None
    attempt: int | None = None
    index: int = 0
    variant: str | None = None
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    score: float | None = None
    seed: int | None = None
    prediction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An output that could not be used beside others that could."""

    index: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoringTimes:
    """How storing went, by the clock of whoever did it; of several files the one that was ready
    last. ``begun_at`` is when it got its place, ``held_since`` since when the database was away before
    it was taken up. ``heard_before``: this was not the first time that the news was taken up."""

    taken_at: datetime
    begun_at: datetime
    fetched_at: datetime
    finished_at: datetime
    put_at: datetime
    heard_before: bool = False
    held_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactsStored:
    """Every usable file of one slot lies in our bucket: the slot is closed. ``reused_from`` is the
    job that they were bought for, by its ``attempt``, where they were taken over from a job before."""

    type: ClassVar[str] = "artifacts.stored"

    job_id: UUID
    ordinal: Ordinal
    attempt: Ordinal
    artifacts: tuple[Artifact, ...]
    skipped: tuple[Skipped, ...] = ()
    times: StoringTimes | None = None
    reused_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFailed:
    """One slot is closed without a file."""

    type: ClassVar[str] = "slot.failed"

    job_id: UUID
    ordinal: Ordinal
    attempt: int
    code: FailureCode
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelRequested:
    """Somebody wishes the job to end. A wish that overtakes its order waits for it."""

    type: ClassVar[str] = "job.cancel_requested"

    job_id: UUID
    # Without NUL, which Postgres does not keep.
    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = "asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeadlineReached:
    """The time that its order gave the job is over: it ends with what there is."""

    type: ClassVar[str] = "job.deadline_reached"

    job_id: UUID
    reason: str = "the job's deadline passed"


SKIPPED, UNFINISHED = "skipped", "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a job ended without, and why: a slot, or one output (``index``) of a slot that is stored.

    ``code`` is a failed slot's own; SKIPPED for one output; UNFINISHED for a slot that was open
    when the job ended.
    """

    ordinal: Ordinal
    code: str
    detail: str
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """What the three ends of a job tell alike.

    ``artifacts`` are in display order. ``cost`` (US dollars) counts every purchase whose price is
    known, also those that came to nothing. ``missing`` are the first of what is not there, and
    ``notes`` what the recipe says about how the order was carried out.

    What an early end spared: ``not_bought`` slots were never paid for, ``stopped`` runs are told to
    end, and ``saved`` (US dollars) estimates what both would have cost beyond what is paid.
    """

    job_id: UUID
    recipe: str
    n: int
    stored: int
    failed: int
    canceled: int = 0
    external_ref: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    truncated: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    ended_at: datetime | None = None
    predict_seconds: float = 0.0
    cost: float | None = None
    reason: str | None = None
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    not_bought: int = 0
    stopped: int = 0
    saved: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCompleted(JobEnded):
    """The job has ended with what its recipe asks for."""

    type: ClassVar[str] = "job.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed(JobEnded):
    """The job has ended without what its recipe asks for, or could not be planned."""

    type: ClassVar[str] = "job.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCanceled(JobEnded):
    """The job was ended by a wish; what was stored by then stays."""

    type: ClassVar[str] = "job.canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPublished:
    """The report of a completed job lies in the bucket."""

    type: ClassVar[str] = "report.published"

    job_id: UUID
    key: str
    media_type: str
    external_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFailed:
    """There will be no report of a completed job; the job stays completed."""

    type: ClassVar[str] = "report.failed"

    job_id: UUID
    reason: str
    external_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobErased:
    """What its publisher gave, and all that was made of it, was removed for good: ``files`` of
    ``bytes`` together. Whoever keeps copies is asked to do the same."""

    type: ClassVar[str] = "job.erased"

    job_id: UUID
    files: int
    bytes: int
    reason: str
    external_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackDelivered:
    """Whoever an order named was told a fact about its job, and took it.

    ``told`` is the fact's type and ``told_id`` its id, which is also the ``webhook-id``; ``status``
    is how it was answered at the last of ``tries``.
    """

    type: ClassVar[str] = "callback.delivered"

    job_id: UUID
    told: str
    told_id: str
    host: str
    status: int
    tries: int
    external_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackFailed:
    """Whoever an order named was not told a fact about its job, and will not be tried by itself any
    more. ``reason`` is a sentence; ``told`` as in ``callback.delivered``."""

    type: ClassVar[str] = "callback.failed"

    job_id: UUID
    told: str
    told_id: str
    host: str
    reason: str
    tries: int
    external_ref: str | None = None


Fact = (
    UploadReceived
    | JobAccepted
    | PredictionCreated
    | ArtifactsStored
    | SlotFailed
    | JobCancelRequested
    | JobDeadlineReached
    | JobCompleted
    | JobFailed
    | JobCanceled
    | ReportPublished
    | ReportFailed
    | JobErased
    | CallbackDelivered
    | CallbackFailed
)

FACTS: tuple[type[Fact], ...] = (
    UploadReceived,
    JobAccepted,
    PredictionCreated,
    ArtifactsStored,
    SlotFailed,
    JobCancelRequested,
    JobDeadlineReached,
    JobCompleted,
    JobFailed,
    JobCanceled,
    ReportPublished,
    ReportFailed,
    JobErased,
    CallbackDelivered,
    CallbackFailed,
)

# Every routing key there is: ours, Replicate's body under the name of its status, and what was not
# believed to be Replicate's.
TYPES = (*(fact.type for fact in FACTS), *FACT_OF_STATUS.values(), WEBHOOK_REFUSED)

_ADAPTERS: dict[type, TypeAdapter[Any]] = {}

F = TypeVar("F")


def adapter(kind: type[F]) -> TypeAdapter[F]:
    """The reader, writer and describer of one fact, built when first asked (it costs 1 ms)."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def read(kind: type[F], envelope: Envelope) -> F:
    """Read the fact that ``envelope`` carries.

    Raises Flawed with one sentence that names each wrong field, and never its value.
    """
    try:
        return adapter(kind).validate_json(envelope.body)
    except ValidationError as error:
        what = sentence(error, whole="the body")
        raise Flawed(
            f"{envelope.type} cannot be read: {what}", faults(error, whole="body")
        ) from None


def state(
    fact: Fact,
    *,
    source: str,
    now: datetime,
    causation: Envelope | None = None,
    event_id: str | None = None,
) -> Envelope:
    """Put a fact into its envelope. ``source`` is the service that states it.

    ``causation`` is the event that led to it; its trace goes on. ``event_id`` only for facts whose
    id the asker chooses (``upload.received``, ``job.cancel_requested``).
    """
    return Envelope(
        id=event_id or id_of(fact),
        type=fact.type,
        source=f"darkroom/{source}",
        time=now,
        body=adapter(type(fact)).dump_json(fact, exclude_none=True),
        subject=str(fact.job_id) if fact.job_id else None,
        causation_id=causation.id if causation else None,
        traceparent=causation.traceparent if causation else None,
    )


def id_of(fact: Fact) -> str:
    """The id that depends only on the fact, so that whoever states it again states the same."""
    match fact:
        case UploadReceived(job_id=None):
            raise ValueError("an order without a job id needs an event id of its own")
        case PredictionCreated(prediction_id=prediction_id):
            return identity.fact_id(prediction_id, fact.type)
        case ArtifactsStored() | SlotFailed():
            return identity.slot_closed_id(fact.job_id, fact.ordinal)
        case JobCompleted() | JobFailed() | JobCanceled():
            return identity.job_ended_id(fact.job_id)
        case CallbackDelivered(told_id=told_id) | CallbackFailed(told_id=told_id):
            return identity.fact_id(told_id, fact.type)
        case _:
            return identity.fact_id(fact.job_id, fact.type)


def callback_url_of(value: object) -> str | None:
    """``value`` where an order could name it as the address to call back; else None."""
    if not isinstance(value, str) or len(value) > LONGEST_CALLBACK_URL:
        return None
    if not (value.isascii() and value.isprintable()):
        return None
    try:
        return _https_or_near(value)
    except ValueError:
        return None


def callback_url_in(order: bytes) -> str | None:
    """The address that an order's body names, however wrong the rest of it is."""
    try:
        body = json.loads(order)
    except (ValueError, RecursionError):
        return None
    return callback_url_of(body.get("callback_url")) if isinstance(body, dict) else None
