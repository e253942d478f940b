"""``python -m deploy.commands``: write down the tree of commands, for the shell and for people;
``--check``: say what is not up to date."""

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from typer.models import ArgumentInfo, ParameterInfo
from typer.utils import get_params_from_function

from services.cli.completing import recipe_names
from services.cli.entries import ENTRIES, SUMMARY, example
from services.cli.exit_codes import MEANINGS
from services.cli.outline import WRITTEN, Outline
from shared.recipes import RECIPES

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def outline() -> Outline:
    """The tree of the commands as they are written."""
    commands: dict[str, Outline] = {}
    for entry in ENTRIES.values():
        found = entry.found
        if isinstance(found, typer.Typer):
            inner = {
                known.name: _command(known.callback, known.epilog)
                for known in found.registered_commands
                if known.name and known.callback
            }
            commands[entry.name] = {"help": entry.summary, "commands": inner}
        else:
            commands[entry.name] = _command(found, example(entry.example))
    return {"help": SUMMARY, "commands": commands}


def _command(command: Callable[..., Any], epilog: str | None) -> Outline:
    told: Outline = {
        "help": inspect.cleandoc(command.__doc__ or ""),
        "example": (epilog or "").removeprefix(example("")),
        "arguments": [],
        "options": [],
    }
    for name, known in get_params_from_function(command).items():
        about = known.default
        if isinstance(about, ArgumentInfo):
            shown = {"name": about.metavar or name.upper()}
            told["arguments"].append(shown | _about(known.annotation, about))
        else:
            names = about.param_decls or _names(name, known.annotation)
            told["options"].append({"names": "/".join(names)} | _about(known.annotation, about))
    return told


def _names(name: str, kind: Any) -> list[str]:
    plain = name.replace("_", "-")
    return [f"--{plain}", f"--no-{plain}"] if bool in _parts(kind) else [f"--{plain}"]


def _about(kind: Any, about: ParameterInfo) -> Outline:
    parts, default = _parts(kind), about.default
    takes = "nothing" if bool in parts else "values" if list in parts else "value"
    told: Outline = {"takes": takes, "help": " ".join((about.help or "").split())}
    if default is ...:
        told["required"] = True
    elif default not in (None, False):
        told["default"] = str(getattr(default, "value", default))
    choices = next((one for one in parts if inspect.isclass(one) and issubclass(one, Enum)), None)
    if choices is not None:
        told["choices"] = [str(choice.value) for choice in choices]
    if about.autocompletion is recipe_names:
        told["choices"] = [recipe.name for recipe in RECIPES]
    elif about.autocompletion is not None:
        told["completes"] = about.autocompletion.__name__
    return told


def _parts(kind: Any) -> list[Any]:
    """What a type is put together from: ``list[str] | None`` of list, str and None."""
    return [get_origin(kind) or kind, *(part for one in get_args(kind) for part in _parts(one))]


INTRODUCTION = """\
# Commands

`darkroom COMMAND --help` says the same as this page, which is made from the commands themselves
(`python -m deploy.commands`). They speak to the installation that the environment names (`README.md`,
Settings), else to the one that runs on this machine.

## What every command keeps to

- The answer is on standard output. With `--json` nothing else is: one document, or a line of JSON for
  each thing where they come one after another (`jobs watch`, `publish upload --watch`,
  `overview --watch`, `replay`). Keys stay; new ones may come.
- What went wrong, what was asked for and is not there, and how far long work has come are sentences on
  standard error, also with `--json`. On a terminal the latter is a line that moves.
- Ids of jobs may be cut to their first eight digits or more where the help says so.
- Times are UTC, but where a page or a report of the installation's zone is drawn.

## Exit codes

| code | meaning |
|---|---|
"""

COMPLETION = """\
## Completion

```sh
darkroom --install-completion          # for the shell that you type in: bash, zsh or fish
darkroom --show-completion >> ~/.bashrc   # or put it where you keep such things
```

Commands, options and their choices are completed from a list, recipes by name, and ids of jobs from the
database of the installation, the latest first (`jobs cancel` only those that have not ended). A database
that does not answer within 0.2 s completes nothing, and says nothing.

"""


def page() -> str:
    codes = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANINGS.items())
    told = outline()
    commands = "\n".join(
        _section(f"darkroom {name}", one) for name, one in told["commands"].items()
    )
    return f"{INTRODUCTION}{codes}\n{COMPLETION}{commands}"


def _section(name: str, one: Outline) -> str:
    if "commands" in one:
        inner = "\n".join(
            _section(f"{name} {word}", deeper) for word, deeper in one["commands"].items()
        )
        return f"## {name}\n\n{one['help']}\n\n{inner}"
    level = "##" if name.count(" ") == 1 else "###"
    return "\n".join([f"{level} {name}\n", one["help"], "", *_usage(one), *_table(one)])


def _usage(one: Outline) -> Iterator[str]:
    yield "```sh"
    yield one["example"]
    yield "```\n"


def _table(one: Outline) -> Iterator[str]:
    rows = [(argument["name"], argument) for argument in one["arguments"]]
    rows += [(option["names"].replace("/", "` `"), option) for option in one["options"]]
    if not rows:
        return
    yield "| | |"
    yield "|---|---|"
    for name, about in rows:
        yield f"| `{name}` | {' '.join(_words(about))} |"
    yield ""


def _words(about: Outline) -> Iterator[str]:
    yield about["help"].replace("|", "\\|")
    if about["takes"] == "values":
        yield "Several."
    if "choices" in about:
        yield f"One of {', '.join(f'`{choice}`' for choice in about['choices'])}."
    if "default" in about and about["default"] != "True":
        yield f"Else `{about['default']}`."
    if about.get("required"):
        yield "Needed."


def documents() -> dict[Path, str]:
    return {
        WRITTEN: json.dumps(outline(), ensure_ascii=False, indent=1) + "\n",
        PAGE: page(),
    }


def stale() -> list[str]:
    """The files that differ from what the commands say."""
    return [
        path.name
        for path, text in documents().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    if "--check" in sys.argv[1:]:
        for name in stale():
            sys.stderr.write(f"{name} is not up to date: python -m deploy.commands\n")
        return 1 if stale() else 0
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
