"""One trace joins all that happens for a job: every service as it is wired, on real parts."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import tracing
from shared.db import jobs, journal
from shared.db.connection import Database
from shared.domain import keys
from shared.domain.trace import trace_id
from shared.messaging import topology
from shared.objects import Bucket
from tests.support.one_process import all_services
from tests.support.shop import a_photo
from tests.support.waiting import eventually

UPSTREAM = f"00-{0xABC:032x}-{0xDEF:016x}-01"


@pytest.fixture
async def bucket_at_work(service_environment: dict[str, str]) -> AsyncIterator[Bucket]:
    """The bucket of all services, which run in this process, and an emulator that calls them."""
    async with all_services(service_environment) as running:
        yield running.bucket


async def ordered(
    environment: dict[str, str], bucket: Bucket, database: Database, **headers: Any
) -> Any:
    """Order one picture, as another team's service; the job once its report is out."""
    job_id = uuid4()
    key = keys.originals(job_id) + "photo.jpg"
    await bucket.put(key, a_photo(), content_type="image/jpeg")
    body = {
        "recipe": "variations",
        "job_id": str(job_id),
        "source": {"key": key},
        "params": {"count": 1},
    }
    async with await aio_pika.connect(environment["AMQP_URL"]) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.EXCHANGE, ensure=False)
        await exchange.publish(
            aio_pika.Message(json.dumps(body).encode(), headers=headers or None),
            routing_key="upload.received",
        )

    async def look() -> Any:
        async with database.connection() as db:
            return await jobs.get(db, job_id)

    return await eventually(
        "its report is published", look, holds=lambda j: j and j.report == "published", within=60
    )


def lead(spans: list[ReadableSpan], above: int, name: str, *then: str) -> bool:
    """Whether a step of this name hangs below ``above``, and the others one below the other."""
    return any(
        not then or lead(spans, span.context.span_id, *then)
        for span in spans
        if span.context and span.parent and (span.parent.span_id, span.name) == (above, name)
    )


async def test_one_trace_joins_upload_purchase_webhook_storage_end_and_report(
    service_environment: dict[str, str], bucket_at_work: Bucket, database: Database
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with tracing.recording(tracing.OpenTelemetry(provider)):
        await ordered(
            service_environment, bucket_at_work, database, **{"cloudEvents:traceparent": UPSTREAM}
        )

        async def told() -> list[ReadableSpan]:
            return list(exporter.get_finished_spans())

        spans = await eventually(
            "the report is told", told, holds=lambda s: any("report.pub" in x.name for x in s)
        )

    ours = [s for s in spans if s.context and f"{s.context.trace_id:032x}" == trace_id(UPSTREAM)]
    names = {span.name for span in ours}
    assert names >= {
        "process darkroom.generator.jobs",
        "purchase",
        "replicate create",
        "POST /webhooks/replicate",
        "send prediction.succeeded",
        "process darkroom.storage.outputs",
        "fetch",
        "bucket put",
        "send artifacts.stored",
        "process darkroom.aggregator.slots",
        "send job.completed",
        "process darkroom.report.jobs",
        "send report.published",
    }
    # And each hangs below the one that led to it, from the publisher's own step to the report.
    assert lead(
        ours,
        0xDEF,
        "process darkroom.generator.jobs",
        "purchase",
        "POST /webhooks/replicate",
        "send prediction.succeeded",
        "process darkroom.storage.outputs",
        "send artifacts.stored",
        "process darkroom.aggregator.slots",
        "send job.completed",
        "process darkroom.report.jobs",
        "send report.published",
    )


async def test_without_a_collector_the_trace_goes_all_the_way_too(
    service_environment: dict[str, str], bucket_at_work: Bucket, database: Database
) -> None:
    job = await ordered(
        service_environment, bucket_at_work, database, **{"cloudEvents:traceparent": UPSTREAM}
    )

    async with database.connection() as db:
        entries = await journal.of_job(db, job.id)
    assert {entry.traceparent for entry in entries} == {UPSTREAM}
    assert {entry.type for entry in entries} >= {
        "upload.received",
        "job.accepted",
        "prediction.created",
        "prediction.succeeded",
        "artifacts.stored",
        "job.completed",
        "report.published",
    }


async def test_an_order_without_a_trace_begins_one_for_all_of_its_job(
    service_environment: dict[str, str], bucket_at_work: Bucket, database: Database
) -> None:
    job = await ordered(service_environment, bucket_at_work, database)

    async with database.connection() as db:
        entries = await journal.of_job(db, job.id)
    assert job.traceparent is not None
    assert {trace_id(entry.traceparent or "") for entry in entries} == {trace_id(job.traceparent)}
