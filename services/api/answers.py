"""What the API answers: the very classes that it writes, and that its document is made from."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from shared.domain.job import JobState
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState
from shared.recipes.recipe import SourceRule

Words = dict[str, str]  # by language: {"en": …, "ko": …}
Share = Annotated[float, Field(ge=0, le=1)]
Report = Literal["pending", "published", "failed"]
Waits = Literal["cost_cap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Where things are. ``warning`` says that strangers, or nobody but this machine, are let in."""

    service: str
    documentation: str
    openapi: str
    warning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The order is on record and will be carried out, whatever fails from here on. The same order
    under the same key, or with the same job_id, is answered the same."""

    id: UUID
    url: str
    events_url: str
    external_ref: str | None = None
    retry_of: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKey:
    """The original of an order, by its place in the bucket."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Put the file to ``url`` by ``method``, with exactly these ``headers``, before ``expires_at``;
    then order with this ``job_id`` and this ``source``."""

    job_id: UUID
    source: SourceKey
    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedOutput:
    """An output that could not be used beside others that could."""

    index: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLine:
    """One of the purchases that a job waits for, as it stands. ``words`` are for people.
    ``reused_from`` is the job that its files were bought for, where it is done again and they were
    stored: nothing was bought for it here."""

    ordinal: int
    state: SlotState
    progress: Share
    attempt: int
    words: Words
    prediction_id: str | None = None
    seed: int | None = None
    failure_code: FailureCode | None = None
    failure_detail: str | None = None
    skipped: tuple[SkippedOutput, ...] = ()
    reused_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job as it stands. ``sentence`` and ``notes`` are for people; ``progress`` never shrinks,
    and 1 means that nothing more will come. ``stored`` counts slots, of ``n`` (0 until the order is
    planned). ``report`` is None where none is made. ``waits_for`` is set while slots of it wait for
    room under what their recipe may cost a day; a new one begins at ``held_until``."""

    id: UUID
    recipe: str
    state: JobState
    sentence: Words
    progress: Share
    stored: int
    n: int
    waits_for: Waits | None = None
    held_until: datetime | None = None
    report: Report | None
    replicate_status: Status | None
    last_webhook_received: datetime | None
    notes: tuple[Words, ...]
    external_ref: str | None
    retry_of: UUID | None
    reason: str | None
    created_at: datetime
    ended_at: datetime | None
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """The latest jobs first. ``next`` is the cursor of the page behind this one; None: it is the
    last."""

    jobs: tuple[JobLine, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What events tell of a job: all of it in a snapshot and at the end; in a change, of the slots
    only those that are different from the event before."""

    id: UUID
    state: JobState
    sentence: Words
    progress: Share
    stored: int
    n: int
    waits_for: Waits | None = None
    held_until: datetime | None = None
    report: Report | None
    replicate_status: Status | None
    last_webhook_received: datetime | None
    notes: tuple[Words, ...]
    slots: tuple[SlotLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a job. ``url`` opens it for a while; whoever has it needs no token."""

    id: UUID
    kind: Literal["original", "prepared", "generated", "derived", "report"]
    content_type: str
    bytes: int
    sha256: str
    key: str
    url: str
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
class Concept:
    """A studio concept in the shape of the old system, best first: the model's picture, and the one
    in the colours of the granules."""

    id: UUID
    original_url: Annotated[str, Field(serialization_alias="originalUrl")]
    quantized_url: Annotated[str, Field(serialization_alias="quantizedUrl")]
    quality: float | None
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One fact about a job: when it was written down, who stated it, and what hearing it did.
    ``words`` are for people, where the type says too little."""

    at: datetime
    type: str
    source: str
    ordinal: int | None
    outcome: str | None
    words: Words | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """US dollars of what was bought so far, where prices are known. ``unpriced`` purchases have
    ended, and nobody knows what they cost."""

    dollars: float | None
    purchases: int
    unpriced: int
    predict_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStory(JobLine):
    """One job with all that belongs to it. Long lists are cut, and ``cut`` names those that are.
    Links open files until ``links_expire_at``; ``events_url`` opens the live events as long."""

    params: dict[str, Any]
    metadata: dict[str, Any]
    slots: tuple[SlotLine, ...]
    artifacts: tuple[File, ...]
    timeline: tuple[TimelineEntry, ...]
    cost: Cost
    events_url: str
    links_expire_at: datetime | None
    report_url: str | None = None
    concepts: tuple[Concept, ...] | None = None
    cut: tuple[Literal["slots", "artifacts", "timeline"], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeCard:
    """What can be ordered. ``params`` is the JSON Schema of its parameters, ``example`` an order
    that shows it."""

    name: str
    title: Words
    model: str
    source: SourceRule
    source_types: tuple[str, ...]
    params: dict[str, Any]
    example: dict[str, Any]
    typical_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipes:
    """Every recipe of this installation."""

    recipes: tuple[RecipeCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookHealth:
    """How webhooks and jobs fared in the last ``seconds``; at most the latest 50,000 webhooks.

    ``taken`` were believed and had an effect or said nothing new, ``unplaced`` could not be placed,
    ``refused`` were not believed, by cause. ``asked`` were ends that the provider had to be asked
    for, since no webhook told them. ``share_taken`` is of all that came; None: nothing came.
    ``to_journal_p95_seconds`` is from the door to the journal. ``completed`` of the jobs that ended.
    """

    seconds: int
    last_at: datetime | None
    taken: int
    unplaced: int
    refused: dict[str, int]
    share_taken: Share | None
    asked: int
    to_journal_p95_seconds: float | None
    jobs_completed: int
    jobs_failed: int
    jobs_canceled: int
    share_completed: Share | None
    warnings: tuple[str, ...] = field(default_factory=tuple)
