"""What the README promises about settings is what the services read, in both directions."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from deploy.local.system import SERVICES
from shared.recipes import RECIPES, VARIABLES
from shared.settings import CommonSettings

README = Path(__file__).parents[2] / "README.md"


def told() -> set[str]:
    section = README.read_text().split("## Settings", 1)[1].split("\n## ", 1)[0]
    names: set[str] = set()
    for line in section.splitlines():
        if line.startswith("| `"):
            names |= set(re.findall(r"`([A-Z][A-Z0-9_]+)`", line.split("|")[1]))
    return names


def read() -> set[str]:
    names = set(VARIABLES)
    for service in SERVICES:
        kind: type[CommonSettings] = import_module(f"services.{service}.settings").Settings
        names |= {field.upper() for field in kind.model_fields}
    return names


def test_every_setting_that_a_service_reads_is_in_the_readme() -> None:
    assert read() - told() == set()


def test_every_setting_in_the_readme_is_read_by_a_service() -> None:
    assert told() - read() == set()


@pytest.mark.parametrize("file", ["compose.yaml", ".env.example"])
def test_what_a_recipe_reads_can_be_set_where_docker_runs_it(file: str) -> None:
    text = (README.parent / file).read_text()

    assert sorted(name for name in VARIABLES if name not in text) == []


def test_every_recipe_is_in_the_readme_with_each_of_its_parameters() -> None:
    section = README.read_text().split("## Order a job", 1)[1].split("\n## ", 1)[0]
    told = {
        line.split("|")[1].strip(" `"): set(re.findall(r"`(\w+)`", line.split("|")[3]))
        for line in section.splitlines()
        if line.startswith("| `") and line.count("|") == 4
    }

    for recipe in RECIPES:
        assert set(recipe.params.__dataclass_fields__) <= told[recipe.name]
