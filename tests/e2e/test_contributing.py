"""CONTRIBUTING's recipe, by the page alone: written from its text, and ordered as it says."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from deploy.local.stack import Isolation
from deploy.local.system import System
from tests.support.running import a_system, eyes_on

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".darkroom*", ".*_cache", "__pycache__", ".hyp*")
# What holds for every recipe: a sixth must pass it as the others do.
FOR_EVERY_RECIPE = (
    "tests/unit/test_recipes.py",
    "tests/unit/test_readme.py",
    "tests/unit/test_migrating.py",
    "tests/unit/test_cli_ordering.py",
    "tests/unit/test_report_render.py",
)


def blocks(kind: str) -> dict[str, str]:
    """The code blocks of the page that stand below ``<!-- kind: name -->``, by name."""
    found = re.findall(rf"<!-- {kind}: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return dict(found)


def changed(text: str, change: str) -> str:
    """``text`` with the lines that begin with + put below the line that each of them follows.

    Fails where the page shows a line that is not there.
    """
    lines, at = text.splitlines(), 0
    for told in change.splitlines():
        line = told[1:]
        if told.startswith("+"):
            lines.insert(at, line)
        else:
            assert line in lines[at:], f"there is no line {line!r} where the page shows it"
            at = lines.index(line, at)
        at += 1
    return "\n".join(lines) + "\n"


def run(copy: Path, *command: str, env: dict[str, str] | None = None) -> str:
    """What a command says in the copy; it must end well."""
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=copy,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is, with what the page says to write and to change."""
    copy = tmp_path_factory.mktemp("project") / "darkroom"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    modules = {name: text for name, text in blocks("example").items() if name.endswith(".py")}
    assert list(modules) == ["shared/recipes/wallpaper.py"]
    for name, text in modules.items():
        (copy / name).write_text(text, encoding="utf-8")
    changes = blocks("change")
    assert set(changes) == {"shared/recipes/__init__.py", "README.md"}
    for name, change in changes.items():
        path = copy / name
        path.write_text(changed(path.read_text(encoding="utf-8"), change), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def sixth(stack: Isolation, template_database: str, copy: Path) -> Iterator[System]:
    """The whole system, run from the copy."""
    with a_system(stack, template_database, project=copy) as system:
        yield system


def test_a_recipe_from_the_page_passes_what_every_recipe_must(copy: Path) -> None:
    written = [str(copy / name) for name in ("shared/recipes/wallpaper.py",)]

    run(copy, "ruff", "check", *written)
    run(copy, "ruff", "format", "--check", *written)
    run(copy, "mypy", "shared/recipes")
    told = run(copy, "pytest", "-q", "-n0", "-k", "wallpaper or recipe or demo", *FOR_EVERY_RECIPE)

    assert "passed" in told
    assert "wallpaper" in run(copy, "services.cli", "recipes", "wallpaper")


async def test_a_recipe_from_the_page_makes_pictures_and_a_report(
    copy: Path, sixth: System
) -> None:
    program, *words = shlex.split(blocks("example")["order"])
    assert program == "darkroom"

    said = run(copy, "services.cli", *words, env=sixth.layout.environment())

    async with eyes_on(sixth) as world:
        [job] = await world.rows("SELECT * FROM job")
        bought = await world.bought_for(UUID(str(job["id"])))
        files = await world.files(job["id"])
        page = (await world.bucket.get_bytes(job["report_key"], limit=50_000_000)).decode()
    assert str(job["id"]) in said
    assert (job["recipe"], job["state"], job["stored"]) == ("wallpaper", "completed", 2)
    assert all("a lake in winter" in one["input"]["prompt"] for one in bought)
    assert [file["ordinal"] for file in files] == [1, 2]
    assert "Wallpapers" in page
    assert "Every screen gets a picture of its own." in page


@pytest.mark.parametrize(
    "wrong",
    [" from shared.recipes.variations import VARIATION\n+x\n", " RECIPES = (\n+x\n"],
)
def test_a_page_that_shows_lines_that_are_not_there_fails(wrong: str) -> None:
    text = (ROOT / "shared" / "recipes" / "__init__.py").read_text(encoding="utf-8")

    with pytest.raises(AssertionError, match="there is no line"):
        changed(text, wrong)
