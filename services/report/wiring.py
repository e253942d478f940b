"""The report service, put together."""

import asyncio

from services.report import sounds
from services.report.compose import People
from services.report.handlers import PublishReports
from services.report.pictures import for_page
from services.report.render import known_sections
from services.report.settings import Settings
from services.report.view import Picture, Sound
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.migrate import tables_check
from shared.db.parked import Parked
from shared.errors import Misconfigured
from shared.media import audio, waveform
from shared.messaging import topology
from shared.messaging.relay import relay
from shared.runtime import Worker


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    known = {recipe.name: recipe for recipe in recipes.RECIPES}
    for recipe in known.values():
        if unknown := set(recipe.report_sections) - known_sections():
            raise Misconfigured(
                f"recipe {recipe.name} wants report sections that have no template: "
                f"{', '.join(sorted(unknown))}"
            )

    database = await connections.database(settings)
    connections.health.add("tables", tables_check(database))
    publisher = await connections.publisher(settings)
    subscriptions = await connections.subscriptions(settings)
    # Decoded, a picture is up to a hundred times its file: one at a time bounds the memory.
    decoding = asyncio.Semaphore(1)

    async def shrink(data: bytes, edge: int) -> Picture:
        async with decoding:
            return await asyncio.to_thread(for_page, data, edge=edge)

    async def listen(data: bytes) -> Sound:
        async with decoding:
            return await asyncio.to_thread(
                sounds.for_page,
                data,
                small_copy=audio.small_copy,
                peaks=waveform.peaks,
                loudness=audio.loudness,
            )

    publish_reports = PublishReports(
        database=database,
        bucket=await connections.bucket(settings),
        shrink=shrink,
        listen=listen,
        recipes=known,
        people=People(zone=settings.timezone, locale=settings.locale),
        file_max_bytes=settings.report_file_max_bytes,
        now=utc_now,
    )

    return (
        subscriptions.worker(
            topology.REPORT_JOBS,
            publish_reports.hear,
            concurrency=settings.report_concurrency,
            parking=Parked(database),
        ),
        relay(database, publisher, of=topology.REPORT),
    )
