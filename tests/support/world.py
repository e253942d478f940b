"""The whole system as a test sees it: as another team's service, as an operator, as Replicate."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import aiohttp
import asyncpg
import pika
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.system import System
from shared.domain import keys
from shared.media.sniff import sniff
from shared.objects import Bucket
from tests.support.waiting import eventually

Row = dict[str, Any]


class World:
    """Parts, emulator and services that run, with eyes of its own on each.

    It reads Postgres and the bucket directly and orders jobs as plain JSON: what it sees does not
    pass through the code under test.
    """

    def __init__(
        self, system: System, pool: "asyncpg.Pool[asyncpg.Record]", bucket: Bucket
    ) -> None:
        self.system = system
        self.bucket = bucket
        self._pool = pool

    # ---- as another team's service

    async def order(self, photo: bytes | None, *, recipe: str = "variations", **fact: Any) -> UUID:
        """Put an original into the bucket and publish the order; returns the job's id."""
        job_id = fact.pop("job_id", None) or uuid4()
        source = {"key": keys.originals(job_id) + "photo.jpg"}
        if photo is not None:
            await self.bucket.put(
                source["key"], photo, content_type=sniff(photo[:4096]) or "application/octet-stream"
            )
        body = {"recipe": recipe, "job_id": str(job_id), "source": source, **fact}
        await self.publish("upload.received", body)
        return UUID(str(job_id))

    async def order_words(self, recipe: str, **fact: Any) -> UUID:
        """Publish an order that brings no file; returns the job's id."""
        job_id = fact.pop("job_id", None) or uuid4()
        await self.publish("upload.received", {"recipe": recipe, "job_id": str(job_id), **fact})
        return UUID(str(job_id))

    async def publish(
        self, routing_key: str, body: object, *, message_id: str | None = None, **headers: Any
    ) -> None:
        """Publish as anybody may: plain pika, JSON or raw bytes, no headers unless given."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = self.system.layout.parts["AMQP_URL"]
        await asyncio.to_thread(_publish, url, routing_key, payload, message_id, headers)

    # ---- as somebody who looks

    async def rows(self, sql: str, *args: object) -> list[Row]:
        return [dict(row) for row in await self._pool.fetch(sql, *args)]

    async def row(self, sql: str, *args: object) -> Row | None:
        row = await self._pool.fetchrow(sql, *args)
        return dict(row) if row else None

    async def value(self, sql: str, *args: object) -> Any:
        return await self._pool.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> None:
        await self._pool.execute(sql, *args)

    async def job(self, job_id: UUID) -> Row | None:
        return await self.row("SELECT * FROM job WHERE id = $1", job_id)

    async def slots(self, job_id: UUID) -> list[Row]:
        return await self.rows("SELECT * FROM slot WHERE job_id = $1 ORDER BY ordinal", job_id)

    async def purchases(self, job_id: UUID) -> list[Row]:
        return await self.rows(
            "SELECT * FROM prediction WHERE job_id = $1 ORDER BY ordinal, attempt", job_id
        )

    async def files(self, job_id: UUID, kind: str = "generated") -> list[Row]:
        return await self.rows(
            "SELECT * FROM artifact WHERE job_id = $1 AND kind = $2 ORDER BY ordinal, index",
            job_id,
            kind,
        )

    async def story(self, job_id: UUID) -> list[str]:
        """The types of the job's facts in the order in which they were recorded."""
        rows = await self.rows("SELECT type FROM journal WHERE job_id = $1 ORDER BY id", job_id)
        return [row["type"] for row in rows]

    # ---- as somebody who waits

    async def ended(self, job_id: UUID, *, within: float = 60.0) -> Row:
        """The job once it is completed, failed or canceled."""

        async def look() -> Row | None:
            return await self.job(job_id)

        job = await eventually(
            f"job {job_id} ends", look, holds=lambda j: bool(j and j["ended_at"]), within=within
        )
        assert job is not None
        return job

    async def reported(self, job_id: UUID, *, within: float = 60.0) -> Row:
        """The job once its report is published or failed, or it ended without getting one."""

        async def look() -> Row | None:
            return await self.job(job_id)

        job = await eventually(
            f"job {job_id} has its report",
            look,
            holds=lambda j: bool(
                j and (j["report"] != "pending" or j["state"] in ("failed", "canceled"))
            ),
            within=within,
        )
        assert job is not None
        return job

    async def settled(self, *, within: float = 60.0) -> None:
        """Nothing is owed any more: journal relayed, nothing parked, every queue empty."""

        async def owed() -> Row:
            journal = await self.value("SELECT count(*) FROM journal WHERE published_at IS NULL")
            parked = await self.value(
                "SELECT count(*) FROM parked_message WHERE due_at IS NOT NULL"
            )
            return {"journal": journal, "parked": parked, "queues": await self.queue_depths()}

        await eventually(
            "everything is settled",
            owed,
            holds=lambda o: not o["journal"] and not o["parked"] and not any(o["queues"].values()),
            within=within,
        )

    async def queue_depths(self) -> dict[str, int]:
        """Messages ready in each of our queues, by a passive declare, which is live."""
        from shared.messaging.topology import QUEUES

        connection = await aio_pika.connect(self.system.layout.parts["AMQP_URL"])
        async with connection:
            channel = await connection.channel()
            declared = [await channel.declare_queue(queue.name, passive=True) for queue in QUEUES]
            return {q.name: q.declaration_result.message_count or 0 for q in declared}

    async def consumers_of(self, queue: str) -> int:
        """How many consumers a queue has; 0 where there is no such queue."""
        connection = await aio_pika.connect(self.system.layout.parts["AMQP_URL"])
        async with connection:
            channel = await connection.channel()
            try:
                declared = await channel.declare_queue(queue, passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return 0
            return declared.declaration_result.consumer_count or 0

    async def some_are_under_way(self, job_ids: list[UUID]) -> None:
        """A part of the jobs' slots is stored, and a part is not: the middle of it."""

        async def stored() -> int:
            return int(
                await self.value(
                    "SELECT count(*) FROM slot WHERE job_id = ANY($1) AND state = 'stored'", job_ids
                )
            )

        await eventually("the first files are stored", stored, holds=lambda n: n >= 3, within=60)

    async def dead(self, text: str) -> list[Row]:
        """What is parked for a person and holds ``text``."""
        rows = await self.rows("SELECT * FROM parked_message WHERE due_at IS NULL")
        return [row for row in rows if text.encode() in row["body"]]

    async def metric(self, service: str, name: str, **labels: str) -> float:
        """A number that a service tells of itself; over all its labels but those that are named."""
        url = f"{self.system.layout.health_url(service)}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def logs(self) -> str:
        """Everything that the services have said so far."""
        return "\n".join(
            self.system.child(name).log.read_text(errors="replace") for name in self.system.services
        )

    # ---- as Replicate

    async def output_of(self, prediction_id: str) -> str:
        """The first output of a prediction; waits until there is one."""

        async def look() -> Any:
            return (await self.at_replicate(prediction_id)).get("output")

        output = await eventually(f"prediction {prediction_id} has an output", look)
        return str(output[0] if isinstance(output, list) else output)

    async def ledger(self, kind: str | None = None) -> list[Row]:
        """What the emulator saw: its own log, in order."""
        return [e for e in read_ledger(self.system) if kind is None or e["kind"] == kind]

    async def misbehave(self, job_id: UUID | None, *faults: Mapping[str, Any]) -> None:
        """Tell the emulator which faults to show to one job's purchases (None: to all)."""
        url = f"{self.system.layout.emulator_url}/_emulator/faults"
        # The slot in the webhook's address names the job, whatever the model's input is.
        when = {"when": {"webhook": str(job_id)}} if job_id else {}
        async with aiohttp.ClientSession() as session:
            for fault in faults:
                async with session.post(url, json={**when, **fault}) as answer:
                    assert answer.status == 201, await answer.text()

    async def behave(self) -> None:
        """No faults any more."""
        url = f"{self.system.layout.emulator_url}/_emulator/faults"
        async with aiohttp.ClientSession() as session, session.delete(url) as answer:
            assert answer.status == 204

    async def provider_time_passes(self, seconds: float) -> None:
        """For whatever runs or lies at the provider; the wall clock stays."""
        url = f"{self.system.layout.emulator_url}/_emulator/clock"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json={"advance_s": seconds}) as answer,
        ):
            assert answer.status == 200

    async def at_replicate(self, prediction_id: str) -> Row:
        """A prediction as the provider answers it to its owner."""
        url = f"{self.system.layout.emulator_url}/v1/predictions/{prediction_id}"
        headers = {"Authorization": f"Bearer {self.system.layout.api_token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers) as answer,
        ):
            found: Row = await answer.json()
            return found

    async def questions_about(self, prediction_id: str) -> list[Row]:
        """What our services asked the provider about one prediction, in the ledger's words."""
        return [
            entry
            for entry in await self.ledger("request")
            if entry["method"] == "GET"
            and entry["path"].endswith(f"/predictions/{prediction_id}")
            and "aiohttp" not in entry["user_agent"]  # as this class asks
        ]

    async def bought_for(self, job_id: UUID) -> list[Row]:
        """The emulator's own record of what was bought for one job, as it answers it today."""
        ids = [e["prediction"] for e in await self.ledger("purchase") if str(job_id) in str(e)]
        return [await self.at_replicate(prediction_id) for prediction_id in ids]

    async def webhook(
        self, body: bytes, *, headers: Mapping[str, str], query: str = ""
    ) -> tuple[int, str]:
        """Post a body to the ingress as anybody may; the status and the answer."""
        url = f"{self.system.layout.ingress_url}/webhooks/replicate{query}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=dict(headers)) as answer,
        ):
            return answer.status, await answer.text()


def _publish(
    url: str, routing_key: str, body: bytes, message_id: str | None, headers: dict[str, Any]
) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            "darkroom",
            routing_key,
            body,
            mandatory=True,
            properties=pika.BasicProperties(
                content_type="application/json",
                delivery_mode=2,
                message_id=message_id,
                headers=headers or None,
            ),
        )


def read_ledger(system: System) -> list[Row]:
    if not system.ledger.exists():
        return []
    return [json.loads(line) for line in system.ledger.read_text().splitlines() if line]
