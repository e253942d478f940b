"""What every test may ask for."""

from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("darkroom", deadline=None)
settings.load_profile("darkroom")

pytest_plugins = ("tests.support.stack", "tests.support.running")

# They look at the one system that a worker runs, and bring its processes down on purpose.
OF_THE_WHOLE_SYSTEM = ("e2e", "chaos")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-times",
        type=int,
        default=0,
        help="kill at every crash point, so many times each (0: at one of each service)",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a parallel run each folder of tests of the whole system stays on one worker, so that a
    system is started once for it. They take longest and wait most, so they begin first, beside each
    other, and whoever is done takes the rest."""
    whole = [item for item in items if _folder(item) in OF_THE_WHOLE_SYSTEM]
    for item in whole:
        item.add_marker(pytest.mark.xdist_group(_folder(item)))
    first = set(whole)
    items.sort(key=lambda item: item not in first)


def _folder(item: pytest.Item) -> str:
    return Path(item.path).parent.name
