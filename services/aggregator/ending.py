"""What the end of a job says: pure, from the rows that stand when it ends."""

from collections.abc import Sequence

from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.events import (
    ARTIFACTS_TOLD,
    MISSING_TOLD,
    Artifact,
    JobCanceled,
    JobCompleted,
    JobFailed,
    Missing,
)
from shared.recipes.recipe import Recipe

ENDS: dict[JobState, type[JobCompleted] | type[JobFailed] | type[JobCanceled]] = {
    JobState.COMPLETED: JobCompleted,
    JobState.FAILED: JobFailed,
    JobState.CANCELED: JobCanceled,
}

NAMED = 3  # of what is missing, in a sentence; the fact lists more
NOT_DONE, LEFT_OUT = "not_done", "left_out"


def how_it_ended(
    job: Job,
    stored: Sequence[Artifact],
    bought: Sequence[PredictionRow],
    missing: Sequence[Missing],
    recipe: Recipe | None,
) -> JobCompleted | JobFailed | JobCanceled:
    """The one fact that ends ``job``, with what it made, what it lacks and what it took."""
    seconds = sum(row.predict_seconds or 0.0 for row in bought)
    return ENDS[job.state](
        job_id=job.id,
        recipe=job.recipe,
        n=job.n,
        stored=job.stored,
        failed=job.failed,
        canceled=job.canceled,
        external_ref=job.external_ref,
        artifacts=tuple(stored[:ARTIFACTS_TOLD]),
        truncated=len(stored) > ARTIFACTS_TOLD,
        missing=tuple(missing[:MISSING_TOLD]),
        notes=tuple(note["en"] for note in recipe.notes(job.params)) if recipe else (),
        metadata=dict(job.metadata),
        created_at=job.created_at,
        ended_at=job.ended_at,
        predict_seconds=round(seconds, 6),
        cost=_dollars(bought),
        reason=job.reason,
    )


def what_is_missing(slots: Sequence[Slot]) -> list[Missing]:
    """What was ordered and is not there, slot by slot."""
    missing = []
    for slot in slots:
        match slot.state:
            case SlotState.STORED:
                missing += [
                    Missing(
                        ordinal=slot.ordinal, code=LEFT_OUT, detail=one["why"], index=one["index"]
                    )
                    for one in slot.skipped
                ]
            case SlotState.FAILED:
                code = slot.failure_code or "provider"
                missing.append(
                    Missing(ordinal=slot.ordinal, code=code, detail=slot.failure_detail or "")
                )
            case _:
                missing.append(
                    Missing(
                        ordinal=slot.ordinal, code=NOT_DONE, detail="the job ended before it was"
                    )
                )
    return missing


def reason_of_failure(job: Job, missing: Sequence[Missing], *, given: str | None) -> str:
    """Why the job failed: the wish or deadline that ended it, then what the first slots say."""
    told = [given] if given else []
    if missing:
        told.append(f"{job.stored} of {job.n} stored; {_named(missing)}")
    return "; ".join(told) or "too few results"


def reason_of_partial(job: Job, missing: Sequence[Missing], *, given: str | None) -> str | None:
    """What a completed job lacks, and why; None where it lacks nothing."""
    if not missing:
        return None
    told = [given] if given else []
    return "; ".join([*told, f"{job.stored} of {job.n} stored; {_named(missing)}"])


def _named(missing: Sequence[Missing]) -> str:
    named = [
        f"slot {one.ordinal}{'' if one.index is None else f' output {one.index + 1}'}: "
        f"{one.code}: {one.detail}"
        for one in missing[:NAMED]
    ]
    more = len(missing) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])


def _dollars(bought: Sequence[PredictionRow]) -> float | None:
    """US dollars of every attempt by the price hints of its day; None where none is known."""
    known = [row.cost_micros for row in bought if row.cost_micros is not None]
    return round(sum(known) / 1e6, 6) if known else None
