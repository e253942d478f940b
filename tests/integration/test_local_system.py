"""The system on a laptop: brought up by several at once, it is one system."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.system import System, load


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[System, System]]:
    """Two commands that found nothing running, each about to start the same system."""
    one, other = (System(tmp_path, {}, emulator={}, services=()) for _ in range(2))
    yield one, other
    one.down()


def test_two_that_bring_it_up_at_once_get_the_same_system(twins: tuple[System, System]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(System.up, twins))

    one, other = twins
    assert one.layout == other.layout == load(one.root)
    mark = one.child("emulator").mark
    assert mark is not None
    assert one.child("emulator").log.read_text().count("Traceback") == 0


def test_bringing_it_up_again_changes_nothing(twins: tuple[System, System]) -> None:
    one, other = twins
    one.up()
    before = one.child("emulator").mark

    other.up()

    assert other.child("emulator").mark == before
