"""The API, put together."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import structlog

from services.api import callbacks
from services.api.app import ApiApp, Limits
from services.api.fan_out import FanOut
from services.api.gate import Gate
from services.api.links import Links
from services.api.operations import Operations
from services.api.orders import Orders
from services.api.originals import Originals
from services.api.pages.job import OneJob
from services.api.pages.jobs import Jobs
from services.api.pages.login import Login
from services.api.pages.overview import Home
from services.api.pages.parked import Parking
from services.api.pages.recipes import Recipes
from services.api.pages.site import Site
from services.api.pages.table import table
from services.api.reading import Reading
from services.api.received import Receiver
from services.api.settings import Settings
from services.api.uploads import Uploads, types_of
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.migrate import tables_check
from shared.messaging import topology
from shared.messaging.relay import relay
from shared.messaging.watch import Watch, watching
from shared.objects import Bucket
from shared.overview import Overviews
from shared.runtime import Worker
from shared.serving import room_for, serve
from shared.settings import environment

log = structlog.get_logger()


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    database = await connections.database(settings)
    publisher = await connections.publisher(settings)
    bucket = await connections.bucket(settings)
    connections.health.add("tables", tables_check(database))
    configured = recipes.configured(environment())
    plain = {name: known.recipe for name, known in configured.items()}
    lifetime = timedelta(seconds=settings.api_link_seconds)

    gate = Gate(
        database,
        opened=settings.api_open,
        origins=settings.api_cors_origins,
        now=utc_now,
        link_lifetime=lifetime,
    )
    reading = Reading(
        database=database,
        recipes=plain,
        links=Links(bucket, lifetime=lifetime, now=utc_now),
        gate=gate,
    )

    def news() -> AbstractAsyncContextManager[Watch]:
        return watching(
            settings.amqp_url.get_secret_value(),
            hears=topology.API.watches,
            name="darkroom-api-live",
        )

    fan_out = FanOut(reading.standings, watching=news, at_most=settings.api_streams)
    orders = Orders(
        database=database,
        bucket=bucket,
        recipes=configured,
        folders=settings.source_folders,
        never_called=settings.why_never_called,
        now=utc_now,
    )
    operations = Operations(
        gate=gate,
        orders=orders,
        uploads=Uploads(
            database=database,
            bucket=bucket,
            types=types_of(plain.values()),
            max_bytes=settings.source_max_bytes,
            lifetime=lifetime,
            now=utc_now,
        ),
        reading=reading,
        database=database,
        recipes=configured,
        body_seconds=settings.api_body_seconds,
        now=utc_now,
    )
    api = ApiApp(
        operations.by_name(),
        gate=gate,
        reading=reading,
        fan_out=fan_out,
        limits=Limits(
            per_second=settings.api_requests_per_second, answer_s=settings.api_answer_seconds
        ),
        origins=settings.api_cors_origins,
    )
    site = Site(
        api,
        gate=gate,
        zone=settings.timezone,
        tongue=settings.locale,
        media=await _media_origin(bucket),
        answer_s=settings.api_answer_seconds,
        body_s=settings.api_body_seconds,
        session_s=settings.api_session_seconds,
        now=utc_now,
    )
    subscriptions = await connections.subscriptions(settings)
    home = Home(
        overviews=Overviews(
            database=database,
            depths=subscriptions.levels(),
            zone=ZoneInfo(settings.timezone),
            files_live=settings.files_live,
        ),
        reading=reading,
        runbook=settings.api_runbook_url,
    )
    to_order = Recipes(
        recipes=configured,
        orders=orders,
        receiver=Receiver(
            max_bytes=settings.source_max_bytes,
            seconds=settings.api_photo_seconds,
            at_once=settings.api_photos_at_once,
        ),
        originals=Originals(bucket=bucket),
        within_s=settings.api_answer_seconds,
    )
    pages = table(
        home=home,
        to_order=to_order,
        jobs=Jobs(reading=reading),
        job=OneJob(reading=reading, orders=orders, database=database),
        parking=Parking(database=database, now=utc_now),
        login=Login(gate=gate, lifetime=timedelta(seconds=settings.api_session_seconds)),
    )
    return (
        serve(
            api.web_app(*site.routes(pages)),
            connections.health,
            name="api",
            host=settings.api_host,
            port=settings.api_port,
            connections=room_for(settings.api_connections),
            leave=api.leave,
            drain=api.drain,
            drain_s=settings.drain_seconds,
            linger_s=settings.api_linger_seconds,
            unread=api.unread,
        ),
        fan_out.worker,
        gate.worker,
        await callbacks.worker(settings, connections),
        relay(database, publisher, of=topology.API),
    )


async def _media_origin(bucket: Bucket) -> str:
    """Where links to files lead. Made here, without asking the bucket."""
    parts = urlsplit(await bucket.link("any", lifetime=timedelta(minutes=1)))
    return f"{parts.scheme}://{parts.netloc}"
