"""What every test may ask for."""

from pathlib import Path

import pytest

pytest_plugins = ("tests.support.stack", "tests.support.running")

# They look at the one system that a worker runs, and bring its processes down on purpose.
ON_ONE_SYSTEM = ("e2e", "chaos")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a parallel run the tests of the whole system stay on one worker, so that one system is
    started and the other worker has the rest."""
    for item in items:
        folder = Path(item.path).parent.name
        if folder in ON_ONE_SYSTEM:
            item.add_marker(pytest.mark.xdist_group("system"))
