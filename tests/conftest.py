"""What every test may ask for."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("darkroom", deadline=None)
settings.load_profile("darkroom")

pytest_plugins = ("tests.support.stack", "tests.support.running")

# They look at the one system that a worker runs, and bring its processes down on purpose.
OF_THE_WHOLE_SYSTEM = ("e2e", "chaos", "matrix", "browser")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-times",
        type=int,
        default=0,
        help="kill at every crash point, so many times each (0: at one of each service)",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the whole system take longest and wait most, so they begin first. In a parallel run
    each worker has a system of its own."""
    items.sort(key=lambda item: Path(item.path).parent.name not in OF_THE_WHOLE_SYSTEM)
