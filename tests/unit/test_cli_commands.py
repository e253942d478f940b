"""Every command, held to what all of them keep to; the page of commands; what a shell completes."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deploy import commands
from services.cli import completing, outline
from services.cli.app import app
from services.cli.entries import ENTRIES
from services.cli.exit_codes import MEANINGS, ExitCode
from services.cli.outline import completions
from shared.domain.job import JobState
from shared.recipes import RECIPES

ROOT = Path(__file__).parents[2]
WIDE = 100
# They only do something, or what they say is a document already.
WITHOUT_JSON = {
    ("up",): "`status` tells what runs",
    ("down",): "`status` tells what runs",
    ("demo",): "`jobs list` tells what came of it",
    ("prove",): "its --json names the file for its figures",
    ("bucket-policy",): "a policy is JSON",
}


def told(
    tree: outline.Outline, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, one in tree["commands"].items():
        if "commands" in one:
            yield from told(one, (*path, name))
        else:
            yield (*path, name), one


TREE = commands.outline()
COMMANDS = dict(told(TREE))
GROUPS = [(name,) for name, one in TREE["commands"].items() if "commands" in one]


def name_of(path: tuple[str, ...]) -> str:
    return " ".join(path)


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_every_command_that_tells_something_tells_it_to_programs_too(path: tuple[str, ...]) -> None:
    flags = {one["names"]: one["takes"] for one in COMMANDS[path]["options"]}

    assert (flags.get("--json") == "nothing") is (path not in WITHOUT_JSON)


@pytest.mark.parametrize("path", [(), *GROUPS, *COMMANDS], ids=name_of)
def test_help_fits_a_terminal(path: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*path, "--help"])

    assert said.exit_code == 0, said.output
    assert max(map(len, said.output.splitlines())) <= WIDE
    assert "…" not in said.output


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_every_command_says_what_it_does_and_shows_one_that_can_be_typed(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me.jpg").touch()
    command = COMMANDS[path]
    said = CliRunner().invoke(app, [*path, "--help"]).output

    assert command["help"]
    assert " ".join(command["example"].split()) in " ".join(said.split())
    for one in (*command["arguments"], *command["options"]):
        assert one["help"], one
    typed = re.sub(r'^eval "\$\((.*)\)"$', r"\1", command["example"])
    program, *words = shlex.split(typed)
    assert (program, tuple(words[: len(path)])) == ("darkroom", path)
    parsed = typer.main.get_command(app)
    context: Any = parsed.make_context("darkroom", [], resilient_parsing=True)
    for word in path:
        found = parsed.get_command(context, word)  # type: ignore[attr-defined]
        assert found is not None
        parsed = found
    parsed.make_context(name_of(path), words[len(path) :])  # a UsageError where it takes them not


def test_the_list_of_all_fits_a_line_each() -> None:
    said = CliRunner().invoke(app, ["--help"]).output.splitlines()

    for entry in ENTRIES.values():
        [line] = [line for line in said if line.split()[:1] == [entry.name]]
        assert line.endswith(entry.summary)


def test_the_page_and_what_the_shell_completes_from_are_those_of_the_commands() -> None:
    assert commands.stale() == [], "make commands"


def test_every_exit_code_has_a_meaning_and_stands_in_the_page() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert set(MEANINGS) == set(ExitCode)
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | {meaning} |" in page


def test_no_command_ends_with_a_code_of_its_own() -> None:
    wild = re.compile(r"typer\.Exit\((?!\w*\.?ExitCode|code\)|how_it_ended|ExitCode)")
    sources = (ROOT / "services" / "cli").rglob("*.py")

    found = {path.name for path in sources if wild.search(path.read_text(encoding="utf-8"))}
    assert found == {"prove.py"}  # whose own process says what it found


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("jo", ["jobs"]),
        ("jobs ", ["list", "show", "watch", "cancel", "retry", "erase"]),
        ("jobs list --sta", ["--state"]),
        ("jobs list --state ", [str(state) for state in JobState]),
        ("jobs list --state c", ["completed", "canceled"]),
        ("jobs list --recipe ", [recipe.name for recipe in RECIPES]),
        ("jobs list --limit 5 --rec", ["--recipe"]),
        ("jobs list --json --js", []),
        ("recipes re", ["restoration"]),
        ("parked replay --any --d", ["--dead", "--dry-run"]),
        ("publish upload --photo ", []),
        ("publish upload --photo me.jpg --par", ["--param"]),
        ("publish upload --param count=2 --par", ["--param"]),
        ("ledger --by ", ["recipe", "day", "job"]),
        ("nothing ", []),
        ("doctor x", []),
    ],
)
def test_the_shell_is_offered_what_could_come_next(typed: str, offered: list[str]) -> None:
    *before, incomplete = typed.split(" ")

    assert [word for word, _ in completions(TREE, before, incomplete)] == offered


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("jobs show 7b", ("job_ids", "7b")),
        ("jobs watch ", ("job_ids", "")),
        ("jobs cancel one two th", ("open_job_ids", "th")),
        ("jobs cancel --reason why 7", ("open_job_ids", "7")),
        ("webhooks list --job 7", ("job_ids", "7")),
        ("replay --job 7", ("job_ids", "7")),
        ("jobs show one two", None),
    ],
)
def test_ids_are_asked_for_where_an_id_is_meant(
    typed: str, asked: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    for name in completing.COMPLETERS:

        def note(incomplete: str, name: str = name) -> completing.Offered:
            seen.append((name, incomplete))
            return []

        monkeypatch.setitem(completing.COMPLETERS, name, note)
    *before, incomplete = typed.split(" ")

    completions(TREE, before, incomplete)

    assert seen == ([] if asked is None else [asked])


def test_what_zsh_evaluates_holds_nothing_that_it_would_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = [("7b2f'$(rm x)`y`\"", 'a\'b $(touch /tmp/x) `id` "c"; d')]
    monkeypatch.setitem(completing.COMPLETERS, "job_ids", lambda _incomplete: nasty)

    answered = outline.answers(
        {"_DARKROOM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "darkroom jobs show "}
    )

    said = capsys.readouterr().out
    assert answered
    assert said.startswith("_arguments '*: :((\"")
    assert said.endswith("\"))'\n")
    inside = said.removeprefix("_arguments '*: :((").removesuffix("))'\n")
    assert not set("$`'();\\") & set(inside)


def test_whoever_does_not_ask_for_completion_is_answered_by_the_command_itself() -> None:
    assert not outline.answers({})
    assert not outline.answers({"_DARKROOM_COMPLETE": "source_bash"})


LOADED = """
import sys
from services.cli.__main__ import main
try:
    main()
except SystemExit:
    pass
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded_by(*words: str, **environment: str) -> set[str]:
    """The packages that a process has imported that did this."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stderr.splitlines()[-1].split())


def test_looking_at_the_list_of_commands_imports_none_of_them() -> None:
    loaded = loaded_by("--help")

    assert "typer" in loaded
    assert not loaded & {
        "pydantic",
        "asyncpg",
        "aio_pika",
        "aiohttp",
        "structlog",
        "rich",
        "shared",
    }


def test_completing_a_word_imports_no_library_at_all() -> None:
    asked = {"_DARKROOM_COMPLETE": "complete_bash", "COMP_WORDS": "darkroom jobs list --state "}

    loaded = loaded_by(**asked, COMP_CWORD="4")

    assert "services" in loaded
    assert not loaded & {"typer", "pydantic", "asyncpg", "asyncio", "rich", "shared"}


def test_listing_jobs_waits_for_no_part_that_it_does_not_ask() -> None:
    loaded = loaded_by("jobs", "list", "--help")

    assert "asyncpg" in loaded
    assert not loaded & {"aio_pika", "aiobotocore", "replicate", "numpy", "PIL"}
