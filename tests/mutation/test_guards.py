"""The list of guards fits the tree, and the script that takes them away is believed for a reason."""

from pathlib import Path

import pytest

from tests.mutation.guards import GUARDS, Guard
from tests.mutation.run import Verdict, judge, open_tree

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_once_where_the_list_says(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text().count(guard.text) == 1
    assert guard.text != guard.without


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_tests_of_a_guard_exist(guard: Guard) -> None:
    for asked in guard.tests:
        path, _, test = asked.partition("::")
        assert (ROOT / path).exists(), asked
        assert not test or f"def {test}(" in (ROOT / path).read_text(), asked


def test_every_guard_has_a_name_of_its_own() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


@pytest.mark.parametrize(
    ("code", "printed", "verdict"),
    [
        (0, "3 passed in 1 s", Verdict.SURVIVED),
        (1, "FAILED tests/a.py::test_a - assert 1 == 2", Verdict.RED),
        (1, "ERROR tests/a.py::test_a - the database did not start", Verdict.BROKEN),
        (2, "ERROR tests/a.py - SyntaxError", Verdict.BROKEN),
        (4, "ERROR: not found: tests/a.py::test_a", Verdict.BROKEN),
        (5, "no tests ran in 0.01s", Verdict.BROKEN),
        (None, "", Verdict.HUNG),
    ],
)
def test_only_a_test_that_failed_shows_that_a_guard_is_held_up(
    code: int | None, printed: str, verdict: Verdict
) -> None:
    assert judge(code, printed)[0] is verdict


def test_a_guard_that_nobody_misses_is_told_and_one_that_is_missed_names_its_test() -> None:
    text = "return wait if left is None or left <= FIRST else min(wait, left / 2)"
    missed = "test_there_is_always_another_try_before_it_is_too_late"

    def guard(test: str) -> Guard:
        asked = f"tests/unit/test_domain_backoff.py::{test}"
        return Guard(test, "shared/domain/backoff.py", text, "return wait", (asked,))

    with open_tree(stack=False) as tree:
        held = tree.show(guard(missed))
        forgotten = tree.show(guard("test_what_the_other_side_asked_for_is_waited_at_the_least"))

    assert (held.verdict, held.by) == (Verdict.RED, missed)
    assert forgotten.verdict is Verdict.SURVIVED
    assert "return wait if left" in (ROOT / "shared/domain/backoff.py").read_text()
