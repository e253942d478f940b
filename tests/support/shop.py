"""A place to buy predictions in tests: database, bucket and provider, all of them real."""

import io
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web
from PIL import Image

from deploy.local.emulator import Emulator
from deploy.local.emulator import Settings as EmulatorSettings
from services.generator.buy import Buyer, Claim, Terms
from services.generator.follow import FollowPredictions
from services.generator.original import Originals
from services.generator.plan import PlanJobs
from services.generator.prepare import Preparations, Steps
from services.generator.reuse import Reuse
from services.reconciler.ask import AskSilent
from services.reconciler.cancel import CancelUnwanted
from services.reconciler.doubt import SettleDoubt
from services.reconciler.give_up import GiveUp
from services.reconciler.reads import Reads
from shared import recipes
from shared.clock import utc_now
from shared.db.connection import Database
from shared.domain import keys
from shared.domain.backoff import MAX_ATTEMPTS
from shared.domain.prediction import FACT_OF_STATUS, Status, read_prediction
from shared.downloads import Downloads, open_sources
from shared.envelope import ORIGIN, SLOT, WEBHOOK_ID, Envelope
from shared.events import KeySource, UploadReceived, state
from shared.media.steps import PREPARE
from shared.objects import Bucket, open_bucket
from shared.recipes.again import again_rule
from shared.replicate_api import Replicate, open_replicate
from shared.settings import BucketSettings, ReplicateSettings, SourceSettings
from tests.support.waiting import eventually

Row = dict[str, Any]

LARGEST_ORIGINAL = 1_000_000


def a_photo(*, size: tuple[int, int] = (64, 48), format: str = "JPEG") -> bytes:  # noqa: A002
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, format=format)
    return file.getvalue()


class Ear:
    """Takes webhooks as Replicate sends them, and keeps them as the facts that they are."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[Envelope] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        prediction = read_prediction(body)
        slot = request.query.get("slot")
        self.heard.append(
            Envelope(
                id=request.headers["webhook-id"],
                type=FACT_OF_STATUS[prediction.status or Status.PROCESSING],
                source="replicate",
                time=utc_now(),
                body=body,
                extensions={ORIGIN: "webhook", WEBHOOK_ID: request.headers["webhook-id"]}
                | ({SLOT: slot} if slot else {}),
            )
        )
        return web.Response(status=204)

    async def hears(self, fact: str) -> Envelope:
        """The first webhook that states ``fact``, once it came."""

        async def look() -> list[Envelope]:
            return [envelope for envelope in self.heard if envelope.type == fact]

        return (await eventually(f"a webhook states {fact}", look))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    database: Database
    emulator: Emulator
    replicate: Replicate
    bucket: Bucket
    ear: Ear
    sources: Downloads

    @property
    def known(self) -> dict[str, Any]:
        return recipes.configured({})

    def buyer(self, **terms: Any) -> Buyer:
        return Buyer(
            database=self.database,
            replicate=self.replicate,
            bucket=self.bucket,
            recipes=self.known,
            terms=Terms(
                **{
                    "creates_per_minute": 60_000,
                    "at_once": 8,
                    "create_within": timedelta(seconds=5),
                    "lease": timedelta(seconds=10),
                    "link_lifetime": timedelta(hours=6),
                    "webhook_url": self.ear.url,
                    **terms,
                }
            ),
            now=utc_now,
            chance=lambda: 0.0,
            new_token=lambda: secrets.token_urlsafe(24),
        )

    def planner(
        self,
        *,
        folders: tuple[str, ...] = (),
        steps: Steps = PREPARE,
        database: Database | None = None,
    ) -> PlanJobs:
        return PlanJobs(
            database=database or self.database,
            originals=Originals(
                self.bucket, self.sources, max_bytes=LARGEST_ORIGINAL, copies_at_once=2
            ),
            preparations=Preparations(self.bucket, steps, at_once=2),
            reuse=Reuse(self.database, self.bucket),
            recipes=self.known,
            folders=folders,
            attempts=MAX_ATTEMPTS,
            now=utc_now,
        )

    @property
    def reads(self) -> Reads:
        return Reads(database=self.database, per_minute=60_000, share=1.0)

    def settler(
        self, *, grace: timedelta = timedelta(0), cold_start: timedelta | None = timedelta(0)
    ) -> SettleDoubt:
        return SettleDoubt(
            database=self.database,
            replicate=self.replicate,
            reads=self.reads,
            recipes={name: known.recipe for name, known in self.known.items()},
            grace=grace,
            cold_start=cold_start,
            now=utc_now,
        )

    def asker(self) -> AskSilent:
        return AskSilent(
            database=self.database,
            replicate=self.replicate,
            reads=self.reads,
            give_up=GiveUp(
                database=self.database,
                recipes={name: known.recipe for name, known in self.known.items()},
                now=utc_now,
            ),
            now=utc_now,
        )

    def canceler(self) -> CancelUnwanted:
        return CancelUnwanted(
            database=self.database, replicate=self.replicate, reads=self.reads, now=utc_now
        )

    def follower(self) -> FollowPredictions:
        rule = again_rule({name: known.recipe for name, known in self.known.items()})
        return FollowPredictions(database=self.database, again=rule, now=utc_now)

    # ---- what happens

    async def order(
        self, photo: bytes | None = None, *, job_id: UUID | None = None, **fact: Any
    ) -> UUID:
        """Order a job as another team would, and plan it."""
        job_id = job_id or uuid4()
        key = keys.originals(job_id) + "photo.jpg"
        await self.bucket.put(key, a_photo() if photo is None else photo, content_type="image/jpeg")
        wanted = {"recipe": "variations", "source": KeySource(key=key), **fact}
        await self.planner().hear(
            state(UploadReceived(job_id=job_id, **wanted), source="test", now=utc_now())
        )
        return job_id

    async def one_slot(self, **params: Any) -> UUID:
        """A job with a single slot that is due."""
        return await self.order(params={"count": 1, **params})

    async def claimed(self, buyer: Buyer) -> Claim:
        claims = await buyer.claim()
        assert isinstance(claims, list), f"nothing to buy for {claims}"
        return claims[0]

    async def buy_one(self, buyer: Buyer | None = None) -> Claim:
        buyer = buyer or self.buyer()
        claim = await self.claimed(buyer)
        await buyer.buy(claim)
        return claim

    # ---- what is seen

    async def rows(self, sql: str, *args: object) -> list[Row]:
        async with self.database.connection() as db:
            return [dict(row) for row in await db.fetch(sql, *args)]

    async def slots(self, job_id: UUID) -> list[Row]:
        return await self.rows("SELECT * FROM slot WHERE job_id = $1 ORDER BY ordinal", job_id)

    async def slot(self, job_id: UUID) -> Row:
        (slot,) = await self.slots(job_id)
        return slot

    async def purchases(self, job_id: UUID) -> list[Row]:
        return await self.rows(
            "SELECT * FROM prediction WHERE job_id = $1 ORDER BY ordinal, attempt", job_id
        )

    async def job(self, job_id: UUID) -> Row:
        (job,) = await self.rows("SELECT * FROM job WHERE id = $1", job_id)
        return job

    async def facts(self, job_id: UUID) -> list[str]:
        rows = await self.rows("SELECT type FROM journal WHERE job_id = $1 ORDER BY id", job_id)
        return [row["type"] for row in rows]

    def bought(self) -> list[Mapping[str, Any]]:
        """Every purchase, by the provider's own log."""
        return list(self.emulator.ledger.entries("purchase"))


@asynccontextmanager
async def open_shop(
    database: Database,
    bucket: Mapping[str, str],
    *,
    source_origin: str | None = None,
    **emulator: Any,
) -> AsyncIterator[Shop]:
    """``source_origin`` is the one from which originals may be fetched."""
    settings = BucketSettings(**{name.lower(): value for name, value in bucket.items()})  # type: ignore[arg-type]
    ear = Ear()
    app = web.Application()
    app.router.add_post("/webhooks/replicate", ear.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ear.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/replicate"
    try:
        async with (
            Emulator(EmulatorSettings(port=0, files_port=0, **emulator)) as provider,
            open_replicate(
                ReplicateSettings(
                    replicate_api_token="r8_shop00000000000000000000000000000000",
                    replicate_base_url=provider.url,
                )
            ) as replicate,
            open_bucket(settings) as opened,
            open_sources(
                SourceSettings(
                    source_allowed_origin=source_origin, source_max_bytes=LARGEST_ORIGINAL
                )
            ) as sources,
        ):
            yield Shop(
                database=database,
                emulator=provider,
                replicate=replicate,
                bucket=opened,
                ear=ear,
                sources=sources,
            )
    finally:
        await runner.cleanup()
