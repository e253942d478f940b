"""SQL for the live status: a job's slots and purchases, without the weight of their inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.db import jobs
from shared.db.connection import Connection
from shared.db.jobs import Job
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode, SlotState


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotNow:
    """A slot as front ends see it; ``skipped`` are outputs that could not be used, ``reused_from``
    is the job that its files were bought for, where that is another one."""

    ordinal: int
    state: SlotState
    attempt: int
    winner: int | None
    seed: int | None
    failure_code: FailureCode | None
    failure_detail: str | None
    skipped: list[dict[str, Any]]
    reused_from: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseNow:
    """A purchase as front ends see it. ``progress`` is 0 to 1, where its logs tell."""

    ordinal: int
    attempt: int
    prediction_id: str | None
    status: Status | None
    progress: float | None
    last_webhook_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNow:
    """One job with its slots by ordinal, and every purchase that was made for them.

    ``held_until``: what its recipe may cost a day is spent, and the next day begins then; None where
    slots of the recipe need not wait for that.
    """

    job: Job
    slots: tuple[SlotNow, ...]
    bought: tuple[PurchaseNow, ...]
    held_until: datetime | None = None


async def read(tx: Connection, job_id: UUID) -> JobNow | None:
    """The job as it stands, or None where there is none."""
    return next(iter(await several(tx, [job_id])), None)


async def several(tx: Connection, job_ids: Sequence[UUID]) -> list[JobNow]:
    """Those of the jobs that are known here, in the order of ``job_ids``."""
    return await of_jobs(tx, await jobs.several(tx, job_ids))


async def of_jobs(tx: Connection, found: Sequence[Job]) -> list[JobNow]:
    """Jobs that were read before, in their order; one query for all of them.

    What stands beside a job may be newer than the job, never older.
    """
    rows = await tx.fetch(
        """
        SELECT asked.job_id,
               (SELECT coalesce(jsonb_agg(jsonb_build_array(
                           ordinal, state, attempt, winner, seed, failure_code, failure_detail,
                           skipped, reused_from) ORDER BY ordinal), '[]')
                  FROM slot
                 WHERE slot.job_id = asked.job_id) AS slots,
               (SELECT coalesce(jsonb_agg(jsonb_build_array(
                           ordinal, attempt, prediction_id, status, progress, last_webhook_at)
                           ORDER BY ordinal, attempt), '[]')
                  FROM prediction
                 WHERE prediction.job_id = asked.job_id) AS bought,
               (SELECT ends_at
                  FROM cost_cap
                 WHERE cost_cap.recipe = asked.recipe
                   AND held_until > clock_timestamp()) AS held_until
          FROM unnest($1::uuid[], $2::text[]) AS asked (job_id, recipe)
        """,
        [job.id for job in found],
        [job.recipe for job in found],
    )
    beside = {row["job_id"]: row for row in rows}
    return [
        JobNow(
            job=job,
            slots=tuple(_slot(*values) for values in beside[job.id]["slots"]),
            bought=tuple(_purchase(*values) for values in beside[job.id]["bought"]),
            held_until=beside[job.id]["held_until"],
        )
        for job in found
    ]


def _slot(
    ordinal: int,
    state: str,
    attempt: int,
    winner: int | None,
    seed: int | None,
    code: str | None,
    detail: str | None,
    skipped: list[dict[str, Any]],
    reused_from: str | None,
) -> SlotNow:
    return SlotNow(
        ordinal=ordinal,
        state=SlotState(state),
        attempt=attempt,
        winner=winner,
        seed=seed,
        failure_code=None if code is None else FailureCode(code),
        failure_detail=detail,
        skipped=skipped,
        reused_from=None if reused_from is None else UUID(reused_from),
    )


def _purchase(
    ordinal: int,
    attempt: int,
    prediction_id: str | None,
    status: str | None,
    progress: float | None,
    last_webhook_at: str | None,
) -> PurchaseNow:
    return PurchaseNow(
        ordinal=ordinal,
        attempt=attempt,
        prediction_id=prediction_id,
        status=None if status is None else Status(status),
        progress=progress,
        last_webhook_at=None
        if last_webhook_at is None
        else datetime.fromisoformat(last_webhook_at),
    )
