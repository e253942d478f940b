"""A refused input, told in one sentence that names the fields and never repeats their values."""

from pydantic import ValidationError

MOST = 8  # faults named in one sentence


def faults(error: ValidationError, *, whole: str) -> list[tuple[str, str]]:
    """Each fault as (field path, what is wrong); ``whole`` names the input where no field does.

    Values are left out: they may be a secret, or a page long.
    """
    return [
        (
            ".".join(map(str, fault["loc"])) or whole,
            "is missing"
            if fault["type"] == "missing"
            else fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors(include_input=False, include_url=False)
    ]


def sentence(error: ValidationError, *, whole: str) -> str:
    """The first faults in one line."""
    return "; ".join(f"{field}: {what}" for field, what in faults(error, whole=whole)[:MOST])
