"""Inputs against a model's schema, complaining in the vocabulary of the real validator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from deploy.local.emulator.problems import InvalidField

Kind = Literal["string", "integer", "number", "boolean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a model."""

    name: str
    kind: Kind
    description: str
    default: Any = None
    required: bool = False
    uri: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def complaints(
    inputs: Sequence[Input], given: Mapping[str, Any], *, refuse_unknown: bool
) -> list[InvalidField]:
    """Everything that is wrong with `given`, in the order of the schema."""
    found = [
        InvalidField("required", "input", f"{one.name} is required")
        for one in inputs
        if one.required and one.name not in given
    ]
    for one in inputs:
        if one.name in given:
            found += _wrong_value(one, given[one.name])
    if refuse_unknown:
        known = {one.name for one in inputs}
        found += [
            InvalidField(
                "additional_property_not_allowed",
                "input",
                f"Additional property {name} is not allowed",
            )
            for name in given
            if name not in known
        ]
    return found


def _wrong_value(one: Input, value: Any) -> list[InvalidField]:
    field = f"input.{one.name}"
    found = kind_of(value)
    if found == "number" and float(value).is_integer():
        found = "integer"  # 5.0 passes for an integer, 5.5 does not
    if found != one.kind and not (one.kind == "number" and found == "integer"):
        given = kind_of(value)
        return [
            InvalidField(
                "invalid_type", field, f"Invalid type. Expected: {one.kind}, given: {given}"
            )
        ]
    if one.choices and value not in one.choices:
        allowed = ", ".join(f'"{choice}"' for choice in one.choices)
        return [InvalidField("enum", field, f"{field} must be one of the following: {allowed}")]
    if one.minimum is not None and value < one.minimum:
        return [
            InvalidField("number_gte", field, f"Must be greater than or equal to {one.minimum:g}")
        ]
    if one.maximum is not None and value > one.maximum:
        return [InvalidField("number_lte", field, f"Must be less than or equal to {one.maximum:g}")]
    if one.uri and not is_uri(value):
        return [InvalidField("format", field, "Does not match format 'uri'")]
    return []


KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
}


def kind_of(value: Any) -> str:
    """JSON's own names."""
    return KINDS.get(type(value), "object")


def is_uri(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme) and (parts.scheme == "data" or bool(parts.netloc))
