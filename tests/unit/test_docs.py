"""The pages of docs/ that name files, tests and rows name those that there are."""

import re
from pathlib import Path

import pytest

from tests.support.systems import PENDING_PARTS, PENDING_ROWS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
ROWS = {"W": 4, "V": 12, "R": 7, "T": 12, "A": 12}
SIX = (
    "services/ingress/app.py",
    "shared/messaging/topology.py",
    "services/storage/handlers.py",
    "shared/domain/slot.py",
    "services/aggregator/handlers.py",
    "services/report/handlers.py",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_our_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    told = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:services|shared|tests|deploy|docs)/[\w/.-]+\.\w+)`", told)

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_flow_begins_with_the_six_files_in_their_order() -> None:
    flow = (ROOT / "docs" / "flow.md").read_text(encoding="utf-8")

    places = [flow.index(name) for name in SIX]
    assert places == sorted(places)
    assert places[-1] < flow.index("## ")


def test_every_row_of_every_system_is_stated_once() -> None:
    systems = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")

    stated = re.findall(r"^\| ([WVRTA]\d+) \|", systems, re.MULTILINE)

    assert stated == [f"{system}{n}" for system, most in ROWS.items() for n in range(1, most + 1)]


def test_a_row_that_names_tests_has_them_and_they_carry_its_id() -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    systems = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([WVRTA]\d+) \|.*\| (.+) \|$", systems, re.MULTILINE)

    for row, today in rows:
        named = re.findall(r"`(test_\w+_)…`", today)
        assert [name for name in named if f"def {name}" not in tests] == []
        assert f'@pytest.mark.system("{row}")' in tests or row in PENDING_ROWS, row
        assert bool(named) is (row not in PENDING_ROWS), row
        assert ("not yet" in today) is (row in {*PENDING_ROWS, *PENDING_PARTS}), row


def test_decisions_are_numbered_without_a_gap() -> None:
    records = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))

    assert [name[:4] for name in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
