"""What a prediction's ``output`` names: pure, and ready for every shape that models give it."""

from collections.abc import Mapping
from typing import Any

DEEPEST = 8  # lists in lists that are looked into


def outputs_of(output: Any, *, deep: int = DEEPEST) -> tuple[str | None, ...]:
    """The outputs in their order: an address each, or None for what is no address.

    A string is one output, a list its members, an object its values (those that are no text, such
    as a score, are no outputs). Null and empty are none.
    """
    match output:
        case None | "":
            return ()
        case str():
            return (output,)
        case Mapping() if deep:
            texts = (v for v in output.values() if isinstance(v, str | list | Mapping))
            return tuple(one for value in texts for one in outputs_of(value, deep=deep - 1))
        case list() if deep:
            found = (outputs_of(value, deep=deep - 1) or (None,) for value in output)
            return tuple(one for members in found for one in members)
        case _:
            return (None,)
