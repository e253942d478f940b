"""The aggregator, put together."""

from services.aggregator.handlers import EndJobs
from services.aggregator.settings import Settings
from shared import recipes
from shared.clock import utc_now
from shared.connections import Connections
from shared.db.migrate import tables_check
from shared.db.parked import Parked
from shared.messaging import topology
from shared.messaging.relay import relay
from shared.runtime import Worker


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    database = await connections.database(settings)
    connections.health.add("tables", tables_check(database))
    publisher = await connections.publisher(settings)
    subscriptions = await connections.subscriptions(settings)

    end_jobs = EndJobs(
        database=database,
        recipes={recipe.name: recipe for recipe in recipes.RECIPES},
        now=utc_now,
    )

    return (
        subscriptions.worker(
            topology.AGGREGATOR_SLOTS,
            end_jobs.one,
            handle_many=end_jobs.many,
            batch=settings.aggregator_batch,
            # One batch at a time: two would only wait for each other's lock on the same job.
            concurrency=1,
            parking=Parked(database),
        ),
        relay(database, publisher, of=topology.AGGREGATOR),
    )
