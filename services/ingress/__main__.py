"""Run the ingress: ``python -m services.ingress``."""

from services.ingress.settings import Settings
from services.ingress.wiring import workers
from shared import runtime

if __name__ == "__main__":
    runtime.main("ingress", Settings, workers)
