"""Fields of a form, made from the JSON Schema of a recipe's parameters, and read back: pure.

A field reads what was typed and judges nothing: whether the value will do is for the recipe, whose
faults name fields by the same paths. What is typed where a number belongs and is none goes on as
text, and is refused there as well.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ROOT = "params"
LONG_TEXT = 200  # characters; where more are taken, there is room for several lines
DEEPEST = 4

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})")


class Kind(StrEnum):
    TEXT = "text"
    LONG = "long"
    WHOLE = "whole"
    NUMBER = "number"
    CHOICE = "choice"
    FLAG = "flag"
    LINES = "lines"  # a list of texts, one a line
    JSON = "json"  # whatever else there may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One input. ``least`` and ``most`` bound numbers (``over`` and ``under``: without themselves),
    the length of texts, or how many entries a list has. ``default`` is what is taken where nothing is
    typed; None: nothing is said then."""

    path: tuple[str, ...]
    kind: Kind
    required: bool
    default: Any = None
    least: float | None = None
    most: float | None = None
    over: float | None = None
    under: float | None = None
    pattern: str | None = None
    choices: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the form, which is the path that faults have."""
        return ".".join((ROOT, *self.path))

    @property
    def is_number(self) -> bool:
        return self.kind in (Kind.WHOLE, Kind.NUMBER)

    @property
    def is_text(self) -> bool:
        return self.kind in (Kind.TEXT, Kind.LONG)

    def shown(self, value: Any) -> str:
        """A value as somebody would have typed it."""
        if value is None:
            return ""
        match self.kind:
            case Kind.LINES:
                return "\n".join(map(str, value))
            case Kind.JSON:
                return json.dumps(value, ensure_ascii=False, indent=2)
            case Kind.FLAG:
                return "on" if value else ""
            case _:
                return str(value)


def fields_of(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """What a form asks for, in the order of the schema; an object in an object is asked for part by
    part."""
    return tuple(_fields(schema, schema.get("$defs", {}), (), required=True))


def values_of(fields: Sequence[Field], typed: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that ``typed`` means, by field names. What was left empty is left out."""
    values: dict[str, Any] = {}
    for field in fields:
        text = typed.get(field.name, "")
        if _is_left_out(field, text):
            continue
        place = values
        for step in field.path[:-1]:
            place = place.setdefault(step, {})
        place[field.path[-1]] = _value(field, text)
    return values


def typed_from(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the fields at first: ``values`` over the defaults."""
    return {field.name: field.shown(_at(values, field.path, field.default)) for field in fields}


def field_of(path: str, names: Sequence[str]) -> str | None:
    """Which of ``names`` a fault at ``path`` stands at: its own, or the one around it; a fault of
    several together stands at the first of them. None: at none."""
    around = [name for name in names if path == name or path.startswith(f"{name}.")]
    inside = [name for name in names if name.startswith(f"{path}.")]
    if path == ROOT:
        return None
    return max(around, key=len, default=inside[0] if inside else None)


def _fields(
    schema: Mapping[str, Any], known: Mapping[str, Any], path: tuple[str, ...], *, required: bool
) -> Iterator[Field]:
    needed = schema.get("required", ())
    for name, raw in schema.get("properties", {}).items():
        here, shape = (*path, name), _resolved(raw, known)
        must = required and name in needed
        if shape.get("type") == "object" and shape.get("properties") and len(here) < DEEPEST:
            yield from _fields(shape, known, here, required=must)
        else:
            yield _field(here, shape, known, required=must, default=raw.get("default"))


def _field(
    path: tuple[str, ...],
    shape: Mapping[str, Any],
    known: Mapping[str, Any],
    *,
    required: bool,
    default: Any,
) -> Field:
    kind, least, most, pattern = Kind.JSON, None, None, None
    choices: tuple[Any, ...] = ()
    match shape.get("type"):
        case "integer" | "number" as number:
            kind = Kind.WHOLE if number == "integer" else Kind.NUMBER
            least, most = shape.get("minimum"), shape.get("maximum")
        case "boolean":
            kind = Kind.FLAG
        case "string":
            least, most, pattern = (
                shape.get(name) for name in ("minLength", "maxLength", "pattern")
            )
            kind = Kind.LONG if most is None or most > LONG_TEXT else Kind.TEXT
        case "array":
            item = _resolved(shape.get("items", {}), known)
            if item.get("type") == "string" and "enum" not in item:
                kind, pattern = Kind.LINES, item.get("pattern")
                least, most = shape.get("minItems"), shape.get("maxItems")
    if "const" in shape or "enum" in shape:
        kind = Kind.CHOICE
        choices = tuple(shape.get("enum", (shape.get("const"),)))
    return Field(
        path=path,
        kind=kind,
        required=required,
        default=default,
        least=least,
        most=most,
        over=shape.get("exclusiveMinimum"),
        under=shape.get("exclusiveMaximum"),
        pattern=pattern,
        choices=choices,
    )


def _resolved(shape: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """``shape`` without the names of others, and without the null that says it may be left out."""
    for _ in range(DEEPEST):
        if "$ref" in shape:
            shape = known.get(str(shape["$ref"]).rpartition("/")[2], {})
        either = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
        if len(either) != 1:
            break
        shape = either[0]
    return shape


def _is_left_out(field: Field, text: str) -> bool:
    if field.kind is Kind.FLAG:
        return False
    if field.is_text:
        # Whoever empties a text that stood there means it.
        return not text and not field.required and not field.default
    return not text.strip()


def _value(field: Field, text: str) -> Any:
    match field.kind:
        case Kind.FLAG:
            return bool(text)
        case Kind.WHOLE if _WHOLE.fullmatch(text.strip()):
            return int(text)
        case Kind.WHOLE | Kind.NUMBER if _NUMBER.fullmatch(text.strip()):
            return float(text)
        case Kind.CHOICE:
            return next((one for one in field.choices if str(one) == text), text)
        case Kind.LINES:
            return [line.strip() for line in text.splitlines() if line.strip()]
        case Kind.JSON:
            return _json(text)
        case Kind.LONG:
            # Browsers send the ends of lines as two characters, and count them as one.
            return text.replace("\r\n", "\n")
        case _:
            return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _at(values: Mapping[str, Any], path: Sequence[str], default: Any) -> Any:
    here: Any = values
    for step in path:
        if not isinstance(here, Mapping) or step not in here:
            return default
        here = here[step]
    return here
