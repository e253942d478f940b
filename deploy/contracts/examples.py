"""One instance of every fact, as an example in the documents: built by the classes themselves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from shared.domain.identity import job_ended_id
from shared.domain.slot import FailureCode
from shared.events import (
    Artifact,
    ArtifactsStored,
    CallbackDelivered,
    CallbackFailed,
    Fact,
    JobAccepted,
    JobCanceled,
    JobCancelRequested,
    JobCompleted,
    JobDeadlineReached,
    JobErased,
    JobFailed,
    KeySource,
    Missing,
    PredictionCreated,
    ReportFailed,
    ReportPublished,
    Skipped,
    SlotFailed,
    StoringTimes,
    UploadReceived,
)

JOB = UUID("7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11")
PREDICTION = "m4xvw1nd2srge0cr9k0bq7y8zc"
ORDERED = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ENDED_ID = job_ended_id(JOB)
TAKEN = datetime(2026, 11, 21, 9, 0, 6, tzinfo=UTC)
ENDED = datetime(2026, 11, 21, 9, 0, 7, tzinfo=UTC)

A_PICTURE = Artifact(
    id=UUID("3f7c0f0e-6a3c-5a55-8f1c-5b1d3e9a7c21"),
    kind="generated",
    key=f"jobs/{JOB}/generated/1-1-0.png",
    content_type="image/png",
    bytes=182_044,
    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ordinal=1,
    attempt=1,
    width=1024,
    height=1024,
    seed=17,
    prediction_id=PREDICTION,
)

EXAMPLES: tuple[Fact, ...] = (
    UploadReceived(
        recipe="variations",
        job_id=JOB,
        external_ref="order-17",
        source=KeySource(key=f"jobs/{JOB}/original/photo.jpg"),
        params={"count": 2},
        metadata={"customer": 4711},
        timezone="Asia/Seoul",
        locale="ko",
        deadline_seconds=900,
    ),
    JobAccepted(job_id=JOB, recipe="variations", n=2, external_ref="order-17", taken_at=ORDERED),
    PredictionCreated(
        job_id=JOB, ordinal=1, attempt=1, prediction_id=PREDICTION, model="stability-ai/sdxl"
    ),
    ArtifactsStored(
        job_id=JOB,
        ordinal=1,
        attempt=1,
        artifacts=(A_PICTURE,),
        skipped=(Skipped(index=1, why="the file is no picture"),),
        times=StoringTimes(
            taken_at=TAKEN,
            begun_at=TAKEN,
            fetched_at=TAKEN + timedelta(milliseconds=310),
            finished_at=TAKEN + timedelta(milliseconds=420),
            put_at=TAKEN + timedelta(milliseconds=480),
        ),
    ),
    SlotFailed(
        job_id=JOB,
        ordinal=2,
        attempt=3,
        code=FailureCode.NSFW,
        detail="the model held the picture back",
    ),
    JobCancelRequested(job_id=JOB, reason="a mistake"),
    JobDeadlineReached(job_id=JOB),
    JobCompleted(
        job_id=JOB,
        recipe="variations",
        n=2,
        stored=1,
        failed=1,
        external_ref="order-17",
        artifacts=(A_PICTURE,),
        metadata={"customer": 4711},
        created_at=ORDERED,
        ended_at=ENDED,
        predict_seconds=4.2,
        cost=0.0046,
        reason="1 of 2 stored; missing: slot 2 (nsfw: the model held the picture back)",
        missing=(Missing(ordinal=2, code="nsfw", detail="the model held the picture back"),),
    ),
    JobFailed(
        job_id=JOB,
        recipe="variations",
        n=0,
        stored=0,
        failed=0,
        external_ref="order-17",
        created_at=ORDERED,
        ended_at=ORDERED,
        reason="count must be at most 10",
    ),
    JobCanceled(
        job_id=JOB,
        recipe="variations",
        n=2,
        stored=1,
        failed=0,
        canceled=1,
        external_ref="order-17",
        artifacts=(A_PICTURE,),
        created_at=ORDERED,
        ended_at=ENDED,
        reason="a mistake",
        not_bought=1,
        saved=0.0046,
    ),
    ReportPublished(
        job_id=JOB,
        key=f"jobs/{JOB}/report/report.html",
        media_type="text/html",
        external_ref="order-17",
    ),
    ReportFailed(job_id=JOB, reason="the bucket refuses our credentials", external_ref="order-17"),
    JobErased(
        job_id=JOB,
        files=4,
        bytes=1_204_332,
        reason="asked for by the customer",
        external_ref="order-17",
    ),
    CallbackDelivered(
        job_id=JOB,
        told="job.completed",
        told_id=ENDED_ID,
        host="shop.example.com",
        status=200,
        tries=2,
        external_ref="order-17",
    ),
    CallbackFailed(
        job_id=JOB,
        told="job.completed",
        told_id=ENDED_ID,
        host="shop.example.com",
        reason="shop.example.com wants no more of these (410)",
        tries=1,
        external_ref="order-17",
    ),
)

# As Replicate words it: news travels as the webhook's body, byte for byte.
A_PREDICTION: dict[str, object] = {
    "id": PREDICTION,
    "model": "stability-ai/sdxl",
    "version": "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b",
    "input": {"prompt": "a lake", "seed": 17},
    "output": ["https://replicate.delivery/xezq/example/out-0.png"],
    "logs": "100%|##########| 25/25",
    "error": None,
    "status": "succeeded",
    "created_at": "2026-11-21T09:00:01.000Z",
    "started_at": "2026-11-21T09:00:02.000Z",
    "completed_at": "2026-11-21T09:00:06.200Z",
    "metrics": {"predict_time": 4.2},
    "urls": {"get": f"https://api.replicate.com/v1/predictions/{PREDICTION}"},
}
