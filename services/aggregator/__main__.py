"""Run the aggregator: ``python -m services.aggregator``."""

from services.aggregator.settings import Settings
from services.aggregator.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("aggregator", Settings, workers)
