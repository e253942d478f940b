"""What can be ordered here, and with which parameters."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.table import Table

from services.cli import completing, reading
from services.cli.environment import caller
from services.cli.exit_codes import ExitCode
from services.cli.live import Tongue
from services.cli.telling import AsJson, document, fail, wide_console
from shared.errors import Misconfigured, Permanent
from shared.recipes import configured
from shared.recipes.recipe import Configured, SourceRule

if TYPE_CHECKING:
    from rich.console import Console

Schema = Mapping[str, Any]

SOURCES = {
    SourceRule.REQUIRED: "a file is needed",
    SourceRule.OPTIONAL: "a file may be given",
    SourceRule.NONE: "none: words alone",
}


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Only this one.", autocompletion=completing.recipe_names),
    ] = None,
    locale: Annotated[Tongue, typer.Option(help="The language of the titles.")] = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """What can be ordered: every recipe with its model, source, parameters and price."""
    try:
        chosen = [reading.the_recipe(name).name] if name else None
        known = [
            recipe
            for key, recipe in configured(caller()).items()
            if chosen is None or key in chosen
        ]
    except (Permanent, Misconfigured) as error:
        fail(str(error), ExitCode.USAGE)
    if as_json:
        document([_described(recipe) for recipe in known], indent=2)
        return
    console = wide_console(160)
    for recipe in known:
        _tell(console, recipe, locale)


def _described(recipe: Configured) -> dict[str, Any]:
    """``params`` is their JSON Schema; ``estimate_micros`` is for one purchase, and ``price`` and it
    are null where nobody knows."""
    return {
        "name": recipe.name,
        "title": dict(recipe.recipe.title),
        "model": recipe.model,
        "price": asdict(recipe.price) if recipe.price else None,
        "estimate_micros": recipe.estimate_micros,
        "source": recipe.recipe.source,
        "source_types": sorted(recipe.recipe.source_types),
        "settings": dict(recipe.config),
        "params": _schema(recipe),
    }


def _schema(recipe: Configured) -> dict[str, Any]:
    return TypeAdapter(recipe.recipe.params).json_schema()


def _tell(console: "Console", recipe: Configured, locale: Tongue) -> None:
    schema = _schema(recipe)

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False)

    say(f"{recipe.name} · {recipe.recipe.title[locale]}", style="bold")
    say(f"  model   {recipe.model}")
    say(f"  price   {_price(recipe)}")
    types = ", ".join(sorted(recipe.recipe.source_types))
    say(f"  source  {SOURCES[recipe.recipe.source]}" + (f" ({types})" if types else ""))
    table = Table.grid(padding=(0, 3, 0, 0))
    for parameter in schema["properties"]:
        table.add_row(
            f"    {parameter}",
            "\n".join(_limits(schema["properties"][parameter], schema)),
            _default(parameter, schema),
        )
    console.print(table, markup=False, highlight=False)
    for line in schema.get("description", "").replace("``", "").splitlines():
        say(f"    {line}", style="dim")
    say(f"  order   {_command(recipe, schema)}\n")


def _price(recipe: Configured) -> str:
    """What its model costs, and what one purchase does if it runs as usual."""
    about = recipe.estimate_micros
    usual = "" if about is None else f"about ${_dollars(about)} a purchase"
    if recipe.price is None:
        return f"not known{usual and f'; counted as {usual}'}"
    units = {
        "a second": recipe.price.micro_dollars_per_second,
        "an output": recipe.price.micro_dollars_per_output,
    }
    told = [f"${_dollars(micros)} {unit}" for unit, micros in units.items() if micros]
    return f"{' and '.join(told) or 'nothing'}; {usual}"


def _dollars(micros: int) -> str:
    """With two decimals at least, and as many as it has."""
    whole, cents = f"{micros / 1e6:.6f}".split(".")
    return f"{whole}.{cents.rstrip('0').ljust(2, '0')}"


def _default(parameter: str, schema: Schema) -> str:
    if parameter in schema.get("required", ()):
        return "needed"
    value = schema["properties"][parameter].get("default")
    return "" if value in (None, "") else f"else {json.dumps(value, ensure_ascii=False)}"


def _limits(one: Schema, whole: Schema) -> Iterator[str]:
    """What a value may be, in words; a line for each part of an object."""
    one = _resolved(one, whole)
    match one.get("type"):
        case "string" if "pattern" in one:
            yield f"text like {one['pattern']}"
        case "string":
            yield f"text, {_range(one, 'Length')} characters"
        case "integer":
            yield f"whole number, {_range(one)}"
        case "number":
            yield f"number, {_range(one)}"
        case "boolean":
            yield "true or false"
        case "array":
            yield f"list of {_range(one, 'Items')}: {next(_limits(one['items'], whole))}"
        case "object" if "properties" in one:
            yield "object:"
            for name, part in one["properties"].items():
                yield f"  {name}: {next(_limits(part, whole))}"
        case _:
            yield "one of " + ", ".join(map(str, one["enum"])) if "enum" in one else "any"


def _resolved(one: Schema, whole: Schema) -> Schema:
    """Without references and without the choice of giving nothing."""
    if "$ref" in one:
        named: Schema = whole["$defs"][one["$ref"].rpartition("/")[2]]
        return named
    return next((each for each in one.get("anyOf", ()) if each.get("type") != "null"), one)


def _range(one: Schema, of: str = "") -> str:
    least, most = (one.get(f"{side}{of or 'imum'}") for side in ("min", "max"))
    if least is None and "exclusiveMinimum" in one:
        return f"more than {one['exclusiveMinimum']:g}, at most {most:g}"
    if most is None and "exclusiveMaximum" in one:
        most = one["exclusiveMaximum"] - 1
    if least is None and most is None:
        return "any"
    return f"at most {most}" if least is None else f"{least} to {most}"


def _command(recipe: Configured, schema: Schema) -> str:
    """The shortest order, with gaps to fill."""
    words = ["darkroom publish upload --recipe", recipe.name]
    if recipe.recipe.source is SourceRule.REQUIRED:
        words.append("--photo FILE")
    for parameter in schema.get("required", ()):
        kind = _resolved(schema["properties"][parameter], schema)
        gap = {"array": "'[…]'", "object": "'{…}'"}.get(kind.get("type", ""), "…")
        words.append(f"--param {parameter}={gap}")
    return " ".join(words)
