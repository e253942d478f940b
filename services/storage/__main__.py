"""Run storage: ``python -m services.storage``."""

from services.storage.settings import Settings
from services.storage.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("storage", Settings, workers)
