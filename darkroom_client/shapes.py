"""What the API takes and answers: its paths, and every field that is read here. Nothing else in this
package knows a name of the API's.

Answers are read leniently: a field that is not known is passed over, one that is missing is None or
empty. ``raw`` is the answer as it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

Json = Mapping[str, Any]
Words = Mapping[str, str]  # by language: {"en": …, "ko": …}
JobId = UUID | str

JOBS = "/v1/jobs"
UPLOADS = "/v1/uploads"
RECIPES = "/v1/recipes"
IDEMPOTENCY_KEY = "Idempotency-Key"
LAST_EVENT_ID = "Last-Event-ID"

ENDED = frozenset({"completed", "failed", "canceled"})
# Server-sent events of one job: all of it; what has changed; how it stands for good.
SNAPSHOT, CHANGE, END = "snapshot", "change", "end"


def job_path(job_id: JobId) -> str:
    return f"{JOBS}/{UUID(str(job_id))}"


def events_path(job_id: JobId) -> str:
    return f"{job_path(job_id)}/events"


def cancel_path(job_id: JobId) -> str:
    return f"{job_path(job_id)}/cancel"


def retry_path(job_id: JobId) -> str:
    return f"{job_path(job_id)}/retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A field of the request (``params.count``), and what is wrong with it."""

    path: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The order is on record and will be carried out."""

    id: UUID
    external_ref: str | None
    retry_of: UUID | None
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Where a file is to be put, by whom has the link; then it is the source of ``job_id``."""

    job_id: UUID
    key: str
    method: str
    url: str = field(repr=False)  # it opens the place to whoever has it
    headers: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One of the purchases that a job waits for. ``reused_from`` is the job that its files were
    bought for, where it is done again and they were stored."""

    ordinal: int
    state: str
    progress: float
    attempt: int
    words: Words
    prediction_id: str | None
    seed: int | None
    failure_code: str | None
    failure_detail: str | None
    reused_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """How a job stands. ``sentence`` is for people; ``stored`` counts slots, of ``n`` (0: not planned
    yet). ``waits_for`` is ``cost_cap`` while slots wait for a new day, which begins at
    ``held_until``."""

    id: UUID
    state: str
    sentence: Words
    progress: float
    stored: int
    n: int
    report: str | None
    recipe: str | None
    external_ref: str | None
    retry_of: UUID | None
    reason: str | None
    created_at: datetime | None
    ended_at: datetime | None
    waits_for: str | None = None
    held_until: datetime | None = None
    raw: Json = field(repr=False, compare=False)

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of it, its report included."""
        return self.has_ended and self.report != "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(JobLine):
    """The same with its slots, as live events tell it."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a job. ``url`` opens it for a while to whoever has it."""

    id: UUID
    kind: str
    content_type: str
    bytes: int
    sha256: str
    key: str
    url: str = field(repr=False)
    ordinal: int | None
    index: int
    variant: str | None
    width: int | None
    height: int | None
    seconds: float | None
    score: float | None
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One fact of a job's timeline."""

    at: datetime | None
    type: str
    source: str
    ordinal: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """US dollars so far, where prices are known; ``unpriced`` purchases have none."""

    dollars: float | None
    purchases: int
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Standing):
    """One job with all that belongs to it. ``report_url`` and the files' links expire."""

    params: Json
    metadata: Json
    artifacts: tuple[File, ...]
    timeline: tuple[Moment, ...]
    cost: Cost | None
    report_url: str | None = field(repr=False)
    links_expire_at: datetime | None


# ---- what is sent


def order_body(
    recipe: str,
    *,
    job_id: JobId | None = None,
    source: "Upload | str | None" = None,
    source_url: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The body of an order; what is None is left out. ``source`` is an upload, whose job it is then,
    or a key."""
    if source is not None and source_url is not None:
        raise ValueError("an order has one source")
    body: dict[str, Any] = {"recipe": recipe}
    if job_id is not None:
        body["job_id"] = str(UUID(str(job_id)))
    if isinstance(source, Upload):
        body |= {"job_id": str(source.job_id), "source": {"key": source.key}}
    elif source is not None:
        body["source"] = {"key": source}
    elif source_url is not None:
        body["source"] = {"url": source_url}
    return body | {name: value for name, value in more.items() if value is not None}


def upload_body(content_type: str, *, size: int) -> dict[str, Any]:
    return {"content_type": content_type, "bytes": size}


# ---- what is answered


def ordered(said: Json) -> Ordered:
    return Ordered(
        id=UUID(said["id"]),
        external_ref=said.get("external_ref"),
        retry_of=_uuid(said.get("retry_of")),
        raw=said,
    )


def upload(said: Json) -> Upload:
    return Upload(
        job_id=UUID(said["job_id"]),
        key=said["source"]["key"],
        method=said.get("method", "PUT"),
        url=said["url"],
        headers=dict(said.get("headers") or {}),
        expires_at=_time(said.get("expires_at")),
        raw=said,
    )


def line(said: Json) -> JobLine:
    return JobLine(**_line(said))


def page(said: Json) -> tuple[tuple[JobLine, ...], str | None]:
    """The jobs of one page, and the cursor of the next."""
    return tuple(map(line, said["jobs"])), said.get("next")


def standing(said: Json, before: Standing | None = None) -> Standing:
    """How a job stands; of a change ``before`` gives the slots that are as they were."""
    known = {slot.ordinal: slot for slot in before.slots} if before else {}
    known |= {one.ordinal: one for one in map(_slot, said.get("slots") or ())}
    told = _line(said)
    if before is not None:
        # Events do not repeat what never changes.
        fresh = dict(told)
        told |= {name: getattr(before, name) for name, value in told.items() if value is None}
        told |= {name: fresh[name] for name in ("report", "waits_for", "held_until")}
    return Standing(**told, slots=tuple(known[ordinal] for ordinal in sorted(known)))


def job(said: Json) -> Job:
    cost = said.get("cost")
    return Job(
        **_line(said),
        slots=tuple(map(_slot, said.get("slots") or ())),
        params=said.get("params") or {},
        metadata=said.get("metadata") or {},
        artifacts=tuple(map(_file, said.get("artifacts") or ())),
        timeline=tuple(map(_moment, said.get("timeline") or ())),
        cost=None if cost is None else _cost(cost),
        report_url=said.get("report_url"),
        links_expire_at=_time(said.get("links_expire_at")),
    )


def faults(said: Json) -> tuple[Fault, ...]:
    found = said.get("faults")
    return tuple(
        Fault(path=str(one.get("path", "")), what=str(one.get("what", "")))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, Mapping)
    )


def _line(said: Json) -> dict[str, Any]:
    return {
        "id": UUID(said["id"]),
        "state": said["state"],
        "sentence": said.get("sentence") or {},
        "progress": float(said.get("progress") or 0.0),
        "stored": int(said.get("stored") or 0),
        "n": int(said.get("n") or 0),
        "report": said.get("report"),
        "recipe": said.get("recipe"),
        "external_ref": said.get("external_ref"),
        "retry_of": _uuid(said.get("retry_of")),
        "reason": said.get("reason"),
        "created_at": _time(said.get("created_at")),
        "ended_at": _time(said.get("ended_at")),
        "waits_for": said.get("waits_for"),
        "held_until": _time(said.get("held_until")),
        "raw": said,
    }


def _slot(said: Json) -> Slot:
    return Slot(
        ordinal=int(said["ordinal"]),
        state=said["state"],
        progress=float(said.get("progress") or 0.0),
        attempt=int(said.get("attempt") or 1),
        words=said.get("words") or {},
        prediction_id=said.get("prediction_id"),
        seed=said.get("seed"),
        failure_code=said.get("failure_code"),
        failure_detail=said.get("failure_detail"),
        reused_from=_uuid(said.get("reused_from")),
    )


def _file(said: Json) -> File:
    return File(
        id=UUID(said["id"]),
        kind=said["kind"],
        content_type=said["content_type"],
        bytes=int(said["bytes"]),
        sha256=said["sha256"],
        key=said["key"],
        url=said["url"],
        ordinal=said.get("ordinal"),
        index=int(said.get("index") or 0),
        variant=said.get("variant"),
        width=said.get("width"),
        height=said.get("height"),
        seconds=said.get("seconds"),
        score=said.get("score"),
        seed=said.get("seed"),
    )


def _moment(said: Json) -> Moment:
    return Moment(
        at=_time(said.get("at")),
        type=said["type"],
        source=said.get("source", ""),
        ordinal=said.get("ordinal"),
        outcome=said.get("outcome"),
    )


def _cost(said: Json) -> Cost:
    return Cost(
        dollars=said.get("dollars"),
        purchases=int(said.get("purchases") or 0),
        unpriced=int(said.get("unpriced") or 0),
    )


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
