"""What is done for each endpoint: a few lines that join who asks, what is asked, and who knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from services.api import endpoints
from services.api.answers import Index, Ordered, RecipeCard, Recipes, WebhookHealth
from services.api.app import Answer, Asked, Operation, Text
from services.api.asked import (
    SHORT_BODY,
    Lately,
    WhichJobs,
    Wish,
    checked,
    job_id_of,
    key_of,
    query_of,
    read_body,
)
from services.api.document import document_json, document_page
from services.api.gate import Gate
from services.api.orders import Orders, Placed
from services.api.page import STYLE
from services.api.reading import Reading
from services.api.uploads import NewUpload, Uploads
from services.api.view import events_url_of, url_of
from shared.clock import Clock
from shared.db import webhook_health
from shared.db.connection import Database
from shared.db.jobs import Wanted
from shared.domain import cursor
from shared.domain.overview import CONCERNS
from shared.recipes.recipe import Configured


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    gate: Gate
    orders: Orders
    uploads: Uploads
    reading: Reading
    database: Database
    recipes: Mapping[str, Configured]
    body_seconds: float
    now: Clock

    def by_name(self) -> dict[str, Operation]:
        return {
            endpoints.INDEX.name: self.index,
            endpoints.PLACE.name: self.place,
            endpoints.LIST.name: self.list_jobs,
            endpoints.SHOW.name: self.show,
            endpoints.CANCEL.name: self.cancel,
            endpoints.RETRY.name: self.retry,
            endpoints.UPLOAD.name: self.upload,
            endpoints.RECIPES.name: self.list_recipes,
            endpoints.WEBHOOKS.name: self.webhooks,
            endpoints.DOCUMENT.name: self.document,
            endpoints.PAGE.name: self.page,
            endpoints.STYLE.name: self.style,
        }

    async def index(self, _asked: Asked) -> Answer:
        return Answer(
            Index(
                service="darkroom",
                documentation=endpoints.PAGE.path,
                openapi=endpoints.DOCUMENT.path,
                warning=await self.gate.warning(),
            )
        )

    async def place(self, asked: Asked) -> Answer:
        body = await read_body(asked.request, seconds=self.body_seconds)
        return _placed(await self.orders.place(asked.asker.name, key_of(asked.request), body))

    async def retry(self, asked: Asked) -> Answer:
        job_id = job_id_of(asked.request)
        return _placed(await self.orders.retry(asked.asker.name, key_of(asked.request), job_id))

    async def cancel(self, asked: Asked) -> Answer:
        job_id = job_id_of(asked.request)
        body = await read_body(
            asked.request, seconds=self.body_seconds, at_most=SHORT_BODY, optional=True
        )
        await self.orders.cancel(job_id, checked(Wish, body).reason)
        return Answer(Ordered(id=job_id, url=url_of(job_id), events_url=events_url_of(job_id)))

    async def upload(self, asked: Asked) -> Answer:
        body = await read_body(asked.request, seconds=self.body_seconds, at_most=SHORT_BODY)
        wanted = checked(NewUpload, body)
        return Answer(await self.uploads.begin(asked.asker.name, key_of(asked.request), wanted))

    async def list_jobs(self, asked: Asked) -> Answer:
        which = query_of(WhichJobs, asked.request)
        wanted = Wanted(
            state=which.state,
            recipe=which.recipe,
            external_ref=which.external_ref,
            since=which.since,
            before=None if which.cursor is None else cursor.read(which.cursor),
        )
        return Answer(await self.reading.page(wanted, limit=which.limit))

    async def show(self, asked: Asked) -> Answer:
        return Answer(await self.reading.story(asked.asker, job_id_of(asked.request)))

    async def list_recipes(self, _asked: Asked) -> Answer:
        return Answer(Recipes(recipes=tuple(map(_card, self.recipes.values()))))

    async def webhooks(self, asked: Asked) -> Answer:
        seconds = query_of(Lately, asked.request).seconds
        async with self.database.connection() as db:
            fared = await webhook_health.since(db, self.now() - timedelta(seconds=seconds))
        return Answer(_told(fared, seconds))

    async def document(self, _asked: Asked) -> Text:
        return Text(document_json(), "application/json")

    async def page(self, _asked: Asked) -> Text:
        return Text(document_page(), "text/html")

    async def style(self, _asked: Asked) -> Text:
        return Text(STYLE.read_bytes(), "text/css")


def _placed(placed: Placed) -> Answer:
    headers = {"Location": placed.ordered.url}
    if placed.again:
        headers["Idempotent-Replayed"] = "true"
    return Answer(placed.ordered, headers)


def _card(recipe: Configured) -> RecipeCard:
    what = recipe.recipe
    return RecipeCard(
        name=recipe.name,
        title=dict(what.title),
        model=recipe.model,
        source=what.source,
        source_types=tuple(sorted(what.source_types)),
        params=schema_of(what.params),
        example=dict(what.example),
        typical_seconds=what.typical_run.total_seconds(),
    )


_SCHEMAS: dict[type, dict[str, Any]] = {}


def schema_of(params: type[Any]) -> dict[str, Any]:
    if params not in _SCHEMAS:
        _SCHEMAS[params] = TypeAdapter(params).json_schema()
    return _SCHEMAS[params]


def _told(fared: webhook_health.Fared, seconds: int) -> WebhookHealth:
    webhooks, ended = fared.webhooks, fared.ended
    return WebhookHealth(
        seconds=seconds,
        last_at=webhooks.last_at,
        taken=webhooks.taken,
        unplaced=webhooks.unplaced,
        refused=dict(webhooks.refused),
        share_taken=webhooks.share_taken,
        asked=webhooks.asked,
        to_journal_p95_seconds=webhooks.to_journal_p95,
        jobs_completed=ended.completed,
        jobs_failed=ended.failed,
        jobs_canceled=ended.canceled,
        share_completed=ended.share_completed,
        warnings=tuple(CONCERNS[concern]["en"] for concern in webhooks.concerns()),
    )
