"""Run the API: ``python -m services.api``."""

from services.api.settings import Settings
from services.api.wiring import workers
from shared import runtime

if __name__ == "__main__":
    # Orders are taken, and jobs told, while the broker or the bucket is away.
    runtime.main("api", Settings, workers, ready_without=("rabbitmq", "consumers", "bucket"))
