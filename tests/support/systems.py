"""``make systems``: every row of docs/systems.md, and whether a test of this run holds it.

Loaded with ``-p tests.support.systems``. A test carries the ids of the rows that it holds, as in
``@pytest.mark.system("V6")``; what the table says is what these tests did, and nothing else.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "systems.md"

# What waits to be built: whole rows, and named parts of rows whose other part must hold. There is no
# other way to be pending.
PENDING_ROWS: frozenset[str] = frozenset()
PENDING_PARTS: dict[str, str] = {}

MARK = "system"  # and the name under which a report carries the row


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # a test that did not run holds nothing


@dataclass(frozen=True, slots=True)
class Result:
    """What one test did."""

    test: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table: ``pass``, ``fail`` or ``pending``, and the tests that say so."""

    row: str
    state: str
    results: tuple[Result, ...]
    waits_for: str | None = None  # a named part of a row that passes

    @property
    def failed(self) -> bool:
        return self.state == "fail"

    @property
    def told(self) -> str:
        return f"{self.state} ({self.waits_for} pending)" if self.waits_for else self.state


def rows_of(page: str) -> list[str]:
    """The ids of the rows that a page states, in its order."""
    return re.findall(r"^\| ([WVRTA]\d+) \|", page, re.MULTILINE)


def judge(row: str, results: Sequence[Result]) -> Verdict:
    """A row passes by a test that passed, where none failed; without one it fails."""
    outcomes = {result.outcome for result in results}
    if Outcome.FAILED in outcomes:
        return Verdict(row, "fail", tuple(results))
    if row in PENDING_ROWS:
        return Verdict(row, "pending", tuple(results))
    if Outcome.PASSED not in outcomes:
        return Verdict(row, "fail", tuple(results))
    return Verdict(row, "pass", tuple(results), PENDING_PARTS.get(row))


def table(verdicts: Sequence[Verdict]) -> Iterable[str]:
    """The lines that people read."""
    yield f"{'row':<5}{'state':<26}held by"
    for verdict in verdicts:
        first, *others = _held_by(verdict.results) or ["no test that ran"]
        yield f"{verdict.row:<5}{verdict.told:<26}{first}"
        yield from (f"{'':<31}{other}" for other in others)
    states = [verdict.state for verdict in verdicts]
    counts = (f"{states.count(state)} {state}" for state in ("pass", "fail", "pending"))
    yield f"{len(verdicts)} rows: {', '.join(counts)}"


def _held_by(results: Sequence[Result]) -> list[str]:
    """Tests by name, their cases counted: ``tests/e2e/test_x.py::test_y, 3 cases, 1 skipped``."""
    cases: dict[str, list[Outcome]] = {}
    for result in results:
        cases.setdefault(result.test.partition("[")[0], []).append(result.outcome)
    lines = []
    for test, outcomes in cases.items():
        told = [test]
        if len(outcomes) > 1:
            told.append(f"{len(outcomes)} cases")
        told += [
            f"{outcomes.count(outcome)} {outcome}"
            for outcome in (Outcome.FAILED, Outcome.SKIPPED)
            if outcome in outcomes
        ]
        lines.append(", ".join(told))
    return lines


class Table:
    """Gathers what the tests of a run did, row by row, and says it at the end."""

    def __init__(self, rows: Sequence[str]) -> None:
        self._rows = rows
        self._results: dict[str, dict[str, Outcome]] = {row: {} for row in rows}

    def note(self, row: str, test: str, outcome: Outcome) -> None:
        """Setup, call and teardown of a test speak one after the other: the worst of them counts,
        and a skip counts as long as nothing failed."""
        before = self._results[row].get(test)
        if before is None or outcome is Outcome.FAILED or before is Outcome.PASSED:
            self._results[row][test] = outcome

    def verdicts(self) -> list[Verdict]:
        return [
            judge(row, [Result(test, outcome) for test, outcome in sorted(tests.items())])
            for row, tests in self._results.items()
        ]

    # ---- what pytest asks for

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, row in report.user_properties:
            if name == MARK:
                self.note(str(row), report.nodeid, Outcome(report.outcome))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_sep("=", "docs/systems.md, row by row")
        for line in table(self.verdicts()):
            terminalreporter.write_line(line)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if any(verdict.failed for verdict in self.verdicts()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(rows_of(PAGE.read_text(encoding="utf-8"))))


def pytest_itemcollected(item: pytest.Item) -> None:
    """The row goes with the reports, which is what comes back from the workers of a parallel run."""
    known = rows_of(PAGE.read_text(encoding="utf-8"))
    for mark in item.iter_markers(MARK):
        for row in mark.args:
            if row not in known:
                raise pytest.UsageError(f"{item.nodeid} holds {row}, and docs/systems.md has none")
            item.user_properties.append((MARK, row))
