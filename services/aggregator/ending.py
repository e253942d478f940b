"""What the end of a job says: pure, from the rows that stand when it ends."""

from collections.abc import Sequence

from shared.db.jobs import Job
from shared.db.predictions import PredictionRow
from shared.db.slots import Slot
from shared.domain.job import JobState
from shared.domain.slot import SlotState
from shared.events import (
    ARTIFACTS_TOLD,
    Artifact,
    JobCanceled,
    JobCompleted,
    JobFailed,
)
from shared.recipes.recipe import Price, Recipe

ENDS: dict[JobState, type[JobCompleted] | type[JobFailed] | type[JobCanceled]] = {
    JobState.COMPLETED: JobCompleted,
    JobState.FAILED: JobFailed,
    JobState.CANCELED: JobCanceled,
}


def how_it_ended(
    job: Job,
    stored: Sequence[Artifact],
    bought: Sequence[PredictionRow],
    recipe: Recipe | None,
) -> JobCompleted | JobFailed | JobCanceled:
    """The one fact that ends ``job``, with what it made and what it took."""
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
        metadata=dict(job.metadata),
        created_at=job.created_at,
        ended_at=job.ended_at,
        predict_seconds=round(seconds, 6),
        cost=_dollars(recipe.price if recipe else None, seconds, len(stored)),
        reason=job.reason,
    )


def reason_of_failure(closed: Sequence[Slot], *, given: str | None) -> str:
    """Why the job failed: the wish or deadline that ended it, then the first slot's own reason."""
    failures = [slot for slot in closed if slot.state is SlotState.FAILED]
    told = [given] if given else []
    if failures:
        first = failures[0]
        told.append(
            f"{len(failures)} of {len(closed)} failed; "
            f"slot {first.ordinal}: {first.failure_code}: {first.failure_detail}"
        )
    return "; ".join(told) or "too few results"


def _dollars(price: Price | None, seconds: float, outputs: int) -> float | None:
    """US dollars by the recipe's price hint; None where the price is unknown."""
    if price is None:
        return None
    micros = price.micro_dollars_per_second * seconds + price.micro_dollars_per_output * outputs
    return round(micros / 1e6, 6)
