"""Run the reconciler: ``python -m services.reconciler``."""

from services.reconciler.settings import Settings
from services.reconciler.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("reconciler", Settings, workers)
