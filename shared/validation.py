"""A refused input, told in one sentence that names the fields and never repeats their values."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

MOST = 8  # faults named in one sentence
# The name of a fault whose message is a sentence of ours already.
OURS = "ours"

# By the validator's own name of the fault; braces are what it says of the limit that was broken.
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must have {min_length} characters or more",
    "string_too_long": "may have {max_length} characters at most",
    "string_pattern_mismatch": "must match {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt:.15g}",
    "greater_than_equal": "must be {ge:.15g} or more",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be {le:.15g} or less",
    "too_short": "must have {min_length} entries or more",
    "too_long": "may have {max_length} entries at most",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "dataclass_type": "must be an object",
    "dataclass_exact_type": "must be an object",
    "uuid_type": "must be a uuid",
    "uuid_parsing": "must be a uuid",
    "datetime_type": "must be a time such as 2026-11-21T04:00:00Z",
    "datetime_parsing": "must be a time such as 2026-11-21T04:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-11-21T04:00:00Z",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "url_type": "must be a URL",
    "url_parsing": "must be a URL",
    "url_syntax_violation": "must be a URL",
    "url_scheme": "must be a URL that begins with {expected_schemes}",
    "url_too_long": "must be a shorter URL",
    "json_invalid": "is not JSON",
    "json_type": "is not JSON",
}


def faults(error: ValidationError, *, whole: str) -> list[tuple[str, str]]:
    """Each fault as (field path, what is wrong); ``whole`` names the input where no field does.

    Values are left out: they may be a secret, or a page long.
    """
    found = error.errors(include_input=False, include_url=False)
    inside = {fault["loc"][:depth] for fault in found for depth in range(len(fault["loc"]))}
    return [
        (_path(fault["loc"]) or whole, words(fault["type"], fault["msg"], fault.get("ctx", {})))
        for fault in found
        # A list whose entries are refused is counted without them: that says nothing of its own.
        if not (fault["type"] == "too_short" and fault["loc"] in inside)
    ]


def words(kind: str, message: str, limits: Mapping[str, Any]) -> str:
    """What is wrong, in our own words; a rule of ours has brought them."""
    if kind in (OURS, "value_error"):
        return message.removeprefix("Value error, ")
    if kind == "string_too_short" and limits.get("min_length") == 1:
        return "must not be empty"
    told = _WORDS.get(kind)
    return f"cannot be used ({kind})" if told is None else told.format_map(limits)


def sentence(error: ValidationError, *, whole: str) -> str:
    """The first faults in one line."""
    told = [f"{field}: {what}" for field, what in faults(error, whole=whole)]
    more = [f"and {len(told) - MOST} more"] if len(told) > MOST else []
    return "; ".join([*told[:MOST], *more])


def _path(loc: Sequence[int | str]) -> str:
    # One of several shapes is named by the field that makes it that shape: source.key, once.
    steps = [step for at, step in enumerate(loc) if at == 0 or step != loc[at - 1]]
    return ".".join(map(str, steps))
