"""The table of `make systems` says what the tests did: it can fail, and little may be pending."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.systems import (
    PAGE,
    PENDING_PARTS,
    PENDING_ROWS,
    Outcome,
    Result,
    Table,
    judge,
    rows_of,
    table,
)

ROOT = Path(__file__).parents[2]
ROWS = rows_of(PAGE.read_text(encoding="utf-8"))


def results(*outcomes: Outcome) -> list[Result]:
    return [Result(f"tests/e2e/test_it.py::test_{n}", o) for n, o in enumerate(outcomes)]


def test_only_what_waits_to_be_built_may_be_pending() -> None:
    rows, parts = sorted(PENDING_ROWS), dict(PENDING_PARTS)

    assert rows == []
    assert parts == {}
    assert {*PENDING_ROWS, *PENDING_PARTS} <= set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_without_a_passing_test_fails_unless_it_may_wait(row: str) -> None:
    states = {judge(row, of).state for of in (results(), results(Outcome.SKIPPED, Outcome.SKIPPED))}

    assert states == {"pending" if row in PENDING_ROWS else "fail"}


@pytest.mark.parametrize("row", ROWS)
def test_one_failing_test_fails_its_row_whatever_others_say(row: str) -> None:
    assert judge(row, results(Outcome.PASSED, Outcome.FAILED, Outcome.PASSED)).state == "fail"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_whose_tests_pass_passes_and_names_the_part_that_waits(row: str) -> None:
    verdict = judge(row, results(Outcome.PASSED, Outcome.SKIPPED))

    if row in PENDING_ROWS:
        assert verdict.told == "pending"
    elif row in PENDING_PARTS:
        assert verdict.told == f"pass ({PENDING_PARTS[row]} pending)"
    else:
        assert verdict.told == "pass"


@pytest.mark.parametrize(
    ("phases", "state"),
    [
        ((Outcome.PASSED, Outcome.PASSED, Outcome.PASSED), "pass"),
        ((Outcome.PASSED, Outcome.PASSED, Outcome.FAILED), "fail"),
        ((Outcome.FAILED, Outcome.PASSED), "fail"),
        ((Outcome.PASSED, Outcome.SKIPPED, Outcome.PASSED), "fail"),
        ((Outcome.SKIPPED, Outcome.PASSED), "fail"),
    ],
    ids=["good", "teardown fails", "setup fails", "skips itself", "is skipped"],
)
def test_a_test_passes_when_its_setup_call_and_teardown_do(
    phases: tuple[Outcome, ...], state: str
) -> None:
    told = Table(["V1"])

    for phase in phases:
        told.note("V1", "tests/e2e/test_it.py::test_it", phase)

    assert [verdict.state for verdict in told.verdicts()] == [state]


def test_the_table_names_every_row_in_the_order_of_the_page_and_the_tests_of_each() -> None:
    told = Table(ROWS)
    told.note("T7", "tests/e2e/test_it.py::test_t7[a]", Outcome.PASSED)
    told.note("T7", "tests/e2e/test_it.py::test_t7[b]", Outcome.PASSED)

    lines = list(table(told.verdicts()))

    assert [line.split()[0] for line in lines[1:-1]] == ROWS
    assert "pass" in lines[1 + ROWS.index("T7")]
    assert "tests/e2e/test_it.py::test_t7, 2 cases" in lines[1 + ROWS.index("T7")]
    pending = len(PENDING_ROWS)
    assert lines[-1] == (
        f"{len(ROWS)} rows: 1 pass, {len(ROWS) - 1 - pending} fail, {pending} pending"
    )


def run(folder: Path, rows: list[str], *, fails: str | None = None) -> tuple[int, str]:
    """A run of pytest over one test for each of the rows."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = system(row): a row\n")
    lines = ["import pytest"]
    for row in rows:
        outcome = "raise AssertionError" if row == fails else "pass"
        lines.append(f"@pytest.mark.system({row!r})\ndef test_{row.lower()}(): {outcome}")
    (folder / "test_rows.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.systems", "-q", str(folder)]
    ended = subprocess.run(
        [*command, "-c", str(folder / "pytest.ini"), "-p", "no:randomly"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_run_in_which_every_row_holds_ends_well(tmp_path: Path) -> None:
    code, said = run(tmp_path, [row for row in ROWS if row not in PENDING_ROWS])

    assert code == 0, said
    pending = len(PENDING_ROWS)
    assert f"{len(ROWS) - pending} pass, 0 fail, {pending} pending" in said


def test_a_run_in_which_one_row_has_no_test_ends_badly(tmp_path: Path) -> None:
    code, said = run(tmp_path, [row for row in ROWS if row != "A6"])

    assert code == 1, said
    assert "1 fail" in said


def test_a_run_in_which_one_test_fails_ends_badly_and_shows_the_row(tmp_path: Path) -> None:
    code, said = run(tmp_path, ROWS, fails="R4")

    assert code == 1, said
    assert any(line.split()[:2] == ["R4", "fail"] for line in said.splitlines() if line)


def test_a_test_that_names_a_row_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    code, said = run(tmp_path, ["Q1"])

    assert code not in (0, 1), said
    assert "Q1" in said
