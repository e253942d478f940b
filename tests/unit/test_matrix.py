"""What the command of the matrix says and how it ends, without running a row."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import pytest

from tests.matrix import __main__ as command
from tests.matrix.ground import Ground
from tests.matrix.promises import Fault, Promise, Row, all_of, at_most, broken, none, told
from tests.matrix.table import ROWS


def a_row(*promises: Promise) -> Row:
    async def run(_ground: Ground, _times: int) -> list[Promise]:
        return list(promises)

    return Row(name="F0", title="nothing", faults=(Fault("nothing", 100, run),))


def ended(monkeypatch: pytest.MonkeyPatch, row: Row, *words: str) -> int:
    monkeypatch.setattr(command, "ROWS", (row,))
    monkeypatch.setattr(command, "configure_logging", lambda *_, **__: None)
    ground = nullcontext(cast(Ground, None))
    monkeypatch.setattr(command, "a_ground", lambda **_: ground)
    monkeypatch.setattr(sys, "argv", ["matrix", "F0", *words])
    return command.main()


def test_a_promise_that_was_broken_ends_the_command_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = a_row(all_of("kept", 3, 3), none("thing lost", ["it"]))

    assert ended(monkeypatch, row) == 1
    assert "BROKEN no thing lost: 1: it" in capsys.readouterr().out


def test_kept_promises_end_it_with_0_and_the_table_says_k_of_n(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written = tmp_path / "out.json"

    assert ended(monkeypatch, a_row(told("a", 1)), "--times", "7", "--json", str(written)) == 0
    assert "F0 nothing: 7 of 100 times, kept" in capsys.readouterr().out
    [result] = json.loads(written.read_text())
    assert (result["times"], result["stated"], result["kept"]) == (7, 100, True)


def test_what_never_comes_to_pass_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_ground: Ground, _times: int) -> list[Promise]:
        raise AssertionError("not within 5 s: it settles")

    row = Row(name="F0", title="nothing", faults=(Fault("nothing", 1, never),))

    assert ended(monkeypatch, row) == 1


@pytest.mark.parametrize(
    ("promise", "kept"),
    [
        (none("x", 0), True),
        (none("x", 2), False),
        (none("x", []), True),
        (all_of("x", 4, 5), False),
        (at_most("x", 1.5, 1.5), True),
        (at_most("x", 1.5, 1.51), False),
        (told("x", None), True),
    ],
)
def test_a_promise_is_kept_by_what_was_measured(promise: Promise, kept: bool) -> None:
    assert (broken([promise]) == []) is kept


def test_every_fault_has_a_name_of_its_own_in_its_row() -> None:
    for row in ROWS:
        names = [fault.name for fault in row.faults]
        assert len(set(names)) == len(names), row.name
