"""The beginning of an id, by which people name what has one: as lists show it."""

import re
from uuid import UUID

LEAST = 8  # hexadecimal digits: the first group of a uuid

_DIGITS = re.compile(rf"[0-9a-f]{{{LEAST},32}}")


def digits_of(text: str) -> str | None:
    """The digits of an id or of its beginning, 8 to 32, without hyphens and in lower case; None where
    ``text`` is neither."""
    digits = text.strip().lower().replace("-", "")
    return digits if _DIGITS.fullmatch(digits) else None


def span(digits: str) -> tuple[UUID, UUID]:
    """The first and the last id that begin with these digits."""
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
