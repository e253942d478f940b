"""Storage, put together."""

from services.storage.files import Files
from services.storage.finish import Finishing
from services.storage.handlers import StoreOutputs
from services.storage.settings import Settings
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.migrate import tables_check
from shared.db.parked import Parked
from shared.media import audio, steps
from shared.messaging import topology
from shared.messaging.relay import relay
from shared.recipes.again import again_rule
from shared.runtime import Worker


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    database = await connections.database(settings)
    connections.health.add("tables", tables_check(database))
    publisher = await connections.publisher(settings)
    subscriptions = await connections.subscriptions(settings)

    bucket = await connections.bucket(settings)
    known = {recipe.name: recipe for recipe in recipes.RECIPES}

    store_outputs = StoreOutputs(
        database=database,
        files=Files(
            await connections.downloads(settings),
            bucket,
            Finishing(bucket, steps.FINISH, at_once=settings.storage_finishes_at_once),
            listen=audio.probe,
            at_once=settings.storage_files_at_once,
            decodes_at_once=settings.storage_decodes_at_once,
        ),
        recipes=known,
        again=again_rule(known),
        now=utc_now,
        attempts=settings.storage_attempts,
        most_files=settings.storage_most_files,
        files_live=settings.files_live,
    )

    return (
        subscriptions.worker(
            # What may expire soon is served first.
            (topology.STORAGE_URGENT, topology.STORAGE_OUTPUTS),
            store_outputs.hear,
            parking=Parked(database),
            concurrency=settings.storage_predictions_at_once,
            max_attempts=settings.storage_attempts,
            within_s=settings.storage_message_seconds,
        ),
        relay(database, publisher, of=topology.STORAGE),
    )
