"""From rows to answers: pure, but that links are made elsewhere and handed in."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from services.api.answers import (
    Concept,
    Cost,
    File,
    JobLine,
    JobStory,
    Report,
    SkippedOutput,
    SlotLine,
    Standing,
    TimelineEntry,
)
from shared.db.journal import Entry, Moment
from shared.db.live import JobNow, SlotNow
from shared.db.spend import JobSpend
from shared.domain.doing import Doing
from shared.domain.job import JobState
from shared.domain.live import Live
from shared.events import Artifact
from shared.once_more import said
from shared.recipes.recipe import Recipe
from shared.recipes.standing import standing
from shared.timeline import words_of
from shared.words import VOCABULARIES

# Of one answer; who needs more of a large job hears of it by events.
SLOTS_SHOWN = 1_000
FILES_SHOWN = 200
MOMENTS_SHOWN = 500

WAITING = {tongue: words.alone[Doing.WAITING] for tongue, words in VOCABULARIES.items()}


@dataclass(frozen=True, slots=True)
class Seen:
    """One job: its rows, and what they mean for people."""

    now: JobNow
    live: Live


def seen(now: JobNow, recipes: Mapping[str, Recipe]) -> Seen:
    held_until = now.held_until
    return Seen(now, standing(recipes, now.job, now.slots, now.bought, held_until=held_until))


def url_of(job_id: UUID) -> str:
    return f"/v1/jobs/{job_id}"


def events_url_of(job_id: UUID, ticket: str | None = None) -> str:
    return f"{url_of(job_id)}/events" + (f"?ticket={ticket}" if ticket else "")


def line(known: Seen) -> JobLine:
    job, live = known.now.job, known.live
    return JobLine(
        id=job.id,
        recipe=job.recipe,
        state=live.state,
        sentence=dict(live.sentence),
        progress=live.progress,
        stored=live.stored,
        n=live.n,
        waits_for=live.waits_for,
        held_until=live.held_until,
        report=cast(Report | None, live.report),
        replicate_status=live.replicate_status,
        last_webhook_received=live.last_webhook_received,
        notes=tuple(dict(note) for note in live.notes),
        external_ref=job.external_ref,
        retry_of=job.retry_of,
        reason=job.reason,
        created_at=job.created_at,
        ended_at=job.ended_at,
        url=url_of(job.id),
    )


def line_of_order(order: Entry) -> JobLine:
    """An order that nobody has planned yet."""
    body, job_id = said(order), _id_of(order)
    retry_of = body.get("retry_of")
    return JobLine(
        id=job_id,
        recipe=str(body.get("recipe", "unknown")),
        state=JobState.PENDING,
        sentence=WAITING,
        progress=0.0,
        stored=0,
        n=0,
        report="pending",
        replicate_status=None,
        last_webhook_received=None,
        notes=(),
        external_ref=body.get("external_ref"),
        retry_of=UUID(str(retry_of)) if retry_of else None,
        reason=None,
        created_at=order.recorded_at,
        ended_at=None,
        url=url_of(job_id),
    )


def of_job(known: Seen) -> Standing:
    """What events tell."""
    live = known.live
    return Standing(
        id=known.now.job.id,
        state=live.state,
        sentence=dict(live.sentence),
        progress=live.progress,
        stored=live.stored,
        n=live.n,
        waits_for=live.waits_for,
        held_until=live.held_until,
        report=cast(Report | None, live.report),
        replicate_status=live.replicate_status,
        last_webhook_received=live.last_webhook_received,
        notes=tuple(dict(note) for note in live.notes),
        slots=slot_lines(known),
    )


def of_order(order: Entry) -> Standing:
    told = line_of_order(order)
    return Standing(
        id=told.id,
        state=told.state,
        sentence=told.sentence,
        progress=0.0,
        stored=0,
        n=0,
        report="pending",
        replicate_status=None,
        last_webhook_received=None,
        notes=(),
        slots=(),
    )


def slot_lines(known: Seen, *, at_most: int | None = None) -> tuple[SlotLine, ...]:
    rows: Sequence[SlotNow] = known.now.slots[:at_most]
    return tuple(
        SlotLine(
            ordinal=slot.ordinal,
            state=slot.state,
            progress=slot.progress,
            attempt=slot.attempt,
            words=dict(slot.words),
            prediction_id=slot.prediction_id,
            seed=row.seed,
            failure_code=row.failure_code,
            failure_detail=row.failure_detail,
            skipped=tuple(
                SkippedOutput(index=int(one.get("index", 0)), why=str(one.get("why", "")))
                for one in row.skipped
            ),
            reused_from=row.reused_from,
        )
        for slot, row in zip(known.live.slots, rows, strict=False)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What belongs to a job beside its state, as it was read: one more of each than is shown."""

    files: Sequence[Artifact]
    moments: Sequence[Moment]
    spend: JobSpend


def story(
    known: Seen,
    beside: Belongings,
    links: Mapping[str, str],
    *,
    expire_at: datetime,
    ticket: str | None,
) -> JobStory:
    """All that is told of one job. ``links`` by the keys of ``shown_files``."""
    job = known.now.job
    shown = shown_files(beside)
    files = tuple(File(**asdict(file), url=links[file.key]) for file in shown)
    cut = {
        "slots": len(known.now.slots) > SLOTS_SHOWN,
        "artifacts": len(beside.files) > FILES_SHOWN,
        "timeline": len(beside.moments) > MOMENTS_SHOWN,
    }
    return JobStory(
        **_fields(line(known)),
        params=job.params,
        metadata=job.metadata,
        slots=slot_lines(known, at_most=SLOTS_SHOWN),
        artifacts=files,
        timeline=tuple(map(moment, beside.moments[:MOMENTS_SHOWN])),
        cost=_cost(beside.spend),
        events_url=events_url_of(job.id, ticket),
        links_expire_at=expire_at if files else None,
        report_url=next((file.url for file in files if file.kind == "report"), None),
        concepts=concepts(files),
        cut=tuple(name for name, is_cut in cut.items() if is_cut),  # type: ignore[misc]
    )


def moment(one: Moment) -> TimelineEntry:
    words = words_of(one.type, one.body)
    return TimelineEntry(
        at=one.at,
        type=one.type,
        source=one.source,
        ordinal=one.ordinal,
        outcome=one.outcome,
        words=None if words is None else dict(words),
    )


def story_of_order(order: Entry, moments: Sequence[Moment], *, ticket: str | None) -> JobStory:
    """An order that nobody has planned yet."""
    body, job_id = said(order), _id_of(order)
    return JobStory(
        **_fields(line_of_order(order)),
        params=body.get("params") or {},
        metadata=body.get("metadata") or {},
        slots=(),
        artifacts=(),
        timeline=tuple(map(moment, moments[:MOMENTS_SHOWN])),
        cost=Cost(dollars=None, purchases=0, unpriced=0, predict_seconds=0.0),
        events_url=events_url_of(job_id, ticket),
        links_expire_at=None,
    )


def shown_files(beside: Belongings) -> Sequence[Artifact]:
    """The first ones; the report stands last, and is shown however many there are before it."""
    if len(beside.files) <= FILES_SHOWN:
        return beside.files
    reports = [file for file in beside.files[FILES_SHOWN - 1 :] if file.kind == "report"]
    return [*beside.files[: FILES_SHOWN - len(reports)], *reports]


def concepts(files: Sequence[File]) -> tuple[Concept, ...] | None:
    """Pictures beside their quantised ones, in the order of the files, which is best first; None:
    the job has none such, and never will by what is here."""
    quantised = {
        (file.ordinal, file.attempt, file.index): file
        for file in files
        if file.kind == "derived" and file.variant == "quantised"
    }
    if not quantised:
        return None
    pairs = [
        (file, quantised[file.ordinal, file.attempt, file.index])
        for file in files
        if file.kind == "generated" and (file.ordinal, file.attempt, file.index) in quantised
    ]
    return tuple(
        Concept(
            id=made.id,
            original_url=made.url,
            quantized_url=clamped.url,
            quality=clamped.score if clamped.score is not None else made.score,
            index=made.index,
        )
        for made, clamped in pairs
    )


def _cost(spend: JobSpend) -> Cost:
    return Cost(
        dollars=None if spend.cost_micros is None else spend.cost_micros / 1e6,
        purchases=spend.purchases,
        unpriced=spend.unpriced,
        predict_seconds=round(spend.seconds, 3),
    )


def _id_of(order: Entry) -> UUID:
    if order.job_id is None:
        raise LookupError(f"{order.event_id} is about no job")
    return order.job_id


def _fields(told: JobLine) -> dict[str, Any]:
    return {name: getattr(told, name) for name in JobLine.__dataclass_fields__}
