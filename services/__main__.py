"""All services in one process, for laptops and tests: ``python -m services``.

One set of connections, one health server, one drain; the wiring is the one that production runs.
"""

from services.aggregator import settings as aggregator_settings
from services.aggregator import wiring as aggregator
from services.api import settings as api_settings
from services.api import wiring as api
from services.generator import settings as generator_settings
from services.generator import wiring as generator
from services.ingress import settings as ingress_settings
from services.ingress import wiring as ingress
from services.reconciler import settings as reconciler_settings
from services.reconciler import wiring as reconciler
from services.report import settings as report_settings
from services.report import wiring as report
from services.storage import settings as storage_settings
from services.storage import wiring as storage
from shared import runtime
from shared.connections import Connections
from shared.runtime import Worker


class Settings(
    ingress_settings.Settings,
    generator_settings.Settings,
    storage_settings.Settings,
    aggregator_settings.Settings,
    report_settings.Settings,
    reconciler_settings.Settings,
    api_settings.Settings,
):
    """What all of them read, each name once."""


async def workers(settings: Settings, connections: Connections) -> tuple[Worker, ...]:
    return (
        *await ingress.workers(settings, connections),
        *await generator.workers(settings, connections),
        *await storage.workers(settings, connections),
        *await aggregator.workers(settings, connections),
        *await report.workers(settings, connections),
        *await reconciler.workers(settings, connections),
        *await api.workers(settings, connections),
    )


if __name__ == "__main__":
    runtime.main("darkroom", Settings, workers)
