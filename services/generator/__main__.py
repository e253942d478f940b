"""Run the generator: ``python -m services.generator``."""

from services.generator.settings import Settings
from services.generator.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("generator", Settings, workers)
