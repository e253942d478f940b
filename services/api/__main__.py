"""Run the API: ``python -m services.api``."""

from services.api.settings import Settings
from services.api.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("api", Settings, workers)
