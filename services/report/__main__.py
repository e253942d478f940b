"""Run the report service: ``python -m services.report``."""

from services.report.settings import Settings
from services.report.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("report", Settings, workers)
