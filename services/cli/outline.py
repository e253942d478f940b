"""The tree of commands as data: what the shell completes from, and what the page of commands lists.

To complete a name all commands would have to be imported, which takes longer than anybody waits for
a key. So the tree is written down beside this module (``python -m deploy.commands``), and a test
holds it against the commands themselves.
"""

import inspect
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import ArgumentInfo, ParameterInfo
from typer.utils import get_params_from_function

from services.cli.completing import COMPLETERS, Offered
from services.cli.entries import ENTRIES, SUMMARY, example

WRITTEN = Path(__file__).with_suffix(".json")

Outline = dict[str, Any]


def read() -> Outline:
    kept: Outline = json.loads(WRITTEN.read_text(encoding="utf-8"))
    return kept


def of_all() -> Outline:
    """The tree of the commands as they are written, each of them imported."""
    commands: dict[str, Outline] = {}
    for entry in ENTRIES.values():
        found = entry.found
        if isinstance(found, typer.Typer):
            inner = {
                known.name: _of(known.callback, known.epilog)
                for known in found.registered_commands
                if known.name and known.callback
            }
            commands[entry.name] = {"help": entry.summary, "commands": inner}
        else:
            commands[entry.name] = _of(found, example(entry.example))
    return {"help": SUMMARY, "commands": commands}


def _of(command: Callable[..., Any], epilog: str | None) -> Outline:
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
            shown = {"names": "/".join(about.param_decls or _names(name, known.annotation))}
            told["options"].append(shown | _about(known.annotation, about))
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
    if about.autocompletion is not None:
        told["completes"] = about.autocompletion.__name__
    return told


def _parts(kind: Any) -> list[Any]:
    """What a type is put together from: ``list[str] | None`` of list, str and None."""
    inner = get_args(kind)
    own = [get_origin(kind) or kind]
    return own + [part for one in inner for part in _parts(one)]


# ---- and back, for the shell


def sketch(outline: Outline, typed: Collection[str]) -> typer.Typer:
    """The commands as far as the shell has to know them; none of them does anything. ``typed``: the
    words on the line, of which some are the command that is completed; no other one needs more than
    its name."""
    app = typer.Typer(name="darkroom", rich_markup_mode=None)
    app.callback(help=outline["help"])(_nothing)
    for name, inner in outline["commands"].items():
        if "commands" in inner:
            app.add_typer(
                sketch(inner if name in typed else inner | {"commands": {}}, typed), name=name
            )
        else:
            app.command(name, help=inner["help"])(_function(inner) if name in typed else _nothing)
    return app


def _nothing() -> None: ...


def _function(command: Outline) -> Callable[..., None]:
    def stands_for_it(**_given: object) -> None: ...

    parameters = [*_parameters(command)]
    stands_for_it.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    stands_for_it.__annotations__ = {one.name: one.annotation for one in parameters}
    return stands_for_it


def _parameters(command: Outline) -> Iterator[inspect.Parameter]:
    for number, one in enumerate(command["arguments"]):
        argument = typer.Argument(help=one["help"], autocompletion=_offers(one))
        yield _parameter(f"argument_{number}", one, argument)
    for number, one in enumerate(command["options"]):
        option = typer.Option(*_declared(one), help=one["help"], autocompletion=_offers(one))
        yield _parameter(f"option_{number}", one, option)


def _declared(one: Mapping[str, Any]) -> list[str]:
    """A pair of yes and no is declared in one, and other names each by itself."""
    is_pair = one["takes"] == "nothing" and "/" in one["names"]
    names: str = one["names"]
    return [names] if is_pair else names.split("/")


def _parameter(name: str, one: Mapping[str, Any], about: Any) -> inspect.Parameter:
    kind: Any = {"nothing": bool, "values": list[str] | None, "value": str | None}[one["takes"]]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if one["takes"] == "nothing" else None,
        annotation=Annotated[kind, about],
    )


def _offers(one: Mapping[str, Any]) -> Callable[[str], Offered] | None:
    if "completes" in one:
        return COMPLETERS[one["completes"]]
    if "choices" in one:
        choices: list[str] = one["choices"]

        def offer(incomplete: str) -> Offered:
            return [(choice, "") for choice in choices if choice.startswith(incomplete)]

        return offer
    return None
