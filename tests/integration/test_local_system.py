"""The system on a laptop: brought up by several at once, it is one system."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import chosen
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


def test_a_setting_of_the_services_leaves_the_emulator_alone(twins: tuple[System, System]) -> None:
    one, other = twins
    one.up()
    before = one.child("emulator").mark

    other.up(setting={"TIMEZONE": "Asia/Seoul"})

    assert other.child("emulator").mark == before


def test_a_setting_of_the_emulator_starts_it_anew_where_it_was(
    twins: tuple[System, System],
) -> None:
    one, other = twins
    one.up()
    before = one.child("emulator").mark

    other.up(setting={"EMULATOR_RUN_S": "60"})

    after = other.child("emulator").mark
    assert after is not None
    assert after != before
    assert other.layout.emulator_url == one.layout.emulator_url
    other.wait_ready("emulator")


def test_other_parts_start_the_emulator_anew(twins: tuple[System, System]) -> None:
    one, _ = twins
    one.up()
    before = one.child("emulator").mark

    elsewhere = System(one.root, {"S3_BUCKET": "theirs"}, emulator={}, services=())
    elsewhere.up()

    assert elsewhere.child("emulator").mark not in (None, before)


def test_of_two_that_set_something_at_once_neither_undoes_the_other(
    twins: tuple[System, System],
) -> None:
    settings = ({"TIMEZONE": "Asia/Seoul"}, {"EMULATOR_RUN_S": "60"})

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one, setting: one.up(setting=setting), twins, settings))

    kept = load(twins[0].root)
    assert kept is not None
    assert kept.options == {"TIMEZONE": "Asia/Seoul", "EMULATOR_RUN_S": "60"}


def test_what_does_not_go_with_what_was_set_meanwhile_changes_and_stops_nothing(
    twins: tuple[System, System],
) -> None:
    one, late = twins
    setting = chosen.agreed(["CREATE_WITHIN_SECONDS=39", "EMULATOR_RUN_S=60"], kept={})
    one.up(setting=chosen.agreed(["CREATE_LEASE_SECONDS=50"], kept={}))
    before = one.child("emulator").mark

    with pytest.raises(chosen.Refused, match=r"CREATE_LEASE_SECONDS must be at least 1\.5"):
        late.up(setting=setting, check=chosen.check)

    assert late.child("emulator").mark == before
    kept = load(one.root)
    assert kept is not None
    assert kept.options == {"CREATE_LEASE_SECONDS": "50"}
