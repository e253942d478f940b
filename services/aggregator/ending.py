"""What the end of a job says: pure, from the rows that stand when it ends."""

from collections.abc import Iterable, Sequence

from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.job import JobState, Tally
from shared.domain.slot import FailureCode, SlotState
from shared.domain.spared import Spared
from shared.events import (
    ARTIFACTS_TOLD,
    MISSING_TOLD,
    SKIPPED,
    UNFINISHED,
    Artifact,
    JobCanceled,
    JobCompleted,
    JobFailed,
    Missing,
)

NAMED = 5  # of what is missing, in the reason's sentence
WORDS_KEPT = 200  # characters of one reason in it

JobEnd = JobCompleted | JobFailed | JobCanceled
ENDS: dict[JobState, type[JobEnd]] = {
    JobState.COMPLETED: JobCompleted,
    JobState.FAILED: JobFailed,
    JobState.CANCELED: JobCanceled,
}

_WHERE_IT_STOOD = {
    SlotState.PENDING: "it waited to be bought",
    SlotState.CREATING: "it was being bought",
    SlotState.IN_DOUBT: "it was not known whether it had been bought",
    SlotState.SUBMITTED: "it waited for the provider to begin",
    SlotState.RUNNING: "it was being made",
    SlotState.SUCCEEDED: "it was made and not yet stored",
}


def how_it_ended(
    job: Job,
    stored: Sequence[Artifact],
    bought: Sequence[PredictionRow],
    missing: Sequence[Missing],
    notes: Sequence[str],
    spared: Spared,
) -> JobEnd:
    """The one fact that ends ``job``: what it made, what it lacks, what it took and spared."""
    return ENDS[
        job.state
    ](
        job_id=job.id,
        recipe=job.recipe,
        n=job.n,
        stored=job.stored,
        failed=job.failed,
        canceled=job.canceled,
        external_ref=job.external_ref,
        artifacts=tuple(stored[:ARTIFACTS_TOLD]),
        truncated=len(stored) > ARTIFACTS_TOLD,
        metadata=dict(job.metadata),
        created_at=job.created_at,
        ended_at=job.ended_at,
        predict_seconds=round(sum(row.predict_seconds or 0.0 for row in bought), 6),
        cost=_dollars(bought) if bought or not job.stored else 0.0,  # all was taken over
        reason=job.reason,
        missing=tuple(missing[:MISSING_TOLD]),
        notes=tuple(notes),
        not_bought=spared.not_bought,
        stopped=spared.stopped,
        saved=spared.dollars,
    )


def missing_of(lacking: Iterable[Slot]) -> tuple[Missing, ...]:
    """What those slots do not bring, by ordinal and output."""
    return tuple(one for slot in lacking for one in _missing(slot))


def reason_of_end(tally: Tally, missing: Sequence[Missing], *, given: str | None) -> str | None:
    """Why the job failed, or what a completed one lacks; None where nothing is missing.

    ``given`` is the reason of the deadline that ended it. ``missing`` may be the first of many:
    the counts are ``tally``'s.
    """
    if not missing and tally.stored == tally.n:
        return None
    told = [f"{tally.stored} of {tally.n} stored"]
    if missing:
        named = [_named(one) for one in missing[:NAMED]]
        # Slots by their count; outputs beside them as far as they were looked at.
        more = max(len(missing), tally.n - tally.stored) - len(named)
        told.append(f"missing: {', '.join(named)}" + (f" and {more} more" if more > 0 else ""))
    return "; ".join([given, *told] if given else told)


def _missing(slot: Slot) -> list[Missing]:
    if slot.state is SlotState.STORED:
        return [
            Missing(ordinal=slot.ordinal, code=SKIPPED, detail=skip["why"], index=skip["index"])
            for skip in slot.skipped
        ]
    if slot.state is SlotState.FAILED:
        code = slot.failure_code or FailureCode.PROVIDER
        return [Missing(ordinal=slot.ordinal, code=code, detail=slot.failure_detail or "")]
    detail = _WHERE_IT_STOOD.get(slot.state, "it was canceled")
    return [Missing(ordinal=slot.ordinal, code=UNFINISHED, detail=detail)]


def _named(one: Missing) -> str:
    why = " ".join(one.detail.split())[:WORDS_KEPT]
    if one.index is not None:
        return f"output {one.index + 1} of slot {one.ordinal} ({why})"
    return f"slot {one.ordinal} ({one.code}: {why})"


def _dollars(bought: Sequence[PredictionRow]) -> float | None:
    """US dollars for every purchase whose cost is known; None where none is."""
    known = [row.cost_micros for row in bought if row.cost_micros is not None]
    return round(sum(known) / 1e6, 6) if known else None
