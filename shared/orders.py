"""What every order must keep to, whatever its recipe: pure, for who takes orders and who sends them."""

import math
from collections.abc import Mapping
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.errors import Permanent
from shared.events import UploadReceived
from shared.settings import Locale

# Orders name files, they do not carry them.
LARGEST_ORDER = 256 * 1024
DEEPEST = 50  # objects and lists within each other


def check_words(fact: UploadReceived) -> None:
    """Raises Permanent where no report could be written in that language or zone."""
    if fact.timezone is not None and not _is_zone(fact.timezone):
        raise Permanent(f"there is no time zone {fact.timezone!r}; write it like Asia/Seoul")
    if fact.locale is not None and fact.locale not in get_args(Locale):
        raise Permanent(f"there is no language {fact.locale!r}; there is en and ko")


def why_not_kept(value: Any, at: str = "the order", depth: int = 0) -> str | None:
    """Why a piece of JSON cannot be kept in Postgres as it is, None where it can.

    JSON may say what jsonb refuses: a NUL, half of a surrogate pair, and (as Python reads it) a
    number that is none.
    """
    if depth > DEEPEST:
        return f"{at} is nested deeper than {DEEPEST} levels"
    if isinstance(value, str):
        return (
            None if is_plain(value) else f"{at} has a character that is none (NUL or a surrogate)"
        )
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{at} is not a number"
    pieces: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        if not all(map(is_plain, value)):
            return f"{at} has a name with a character that is none (NUL or a surrogate)"
        pieces = [(name if depth == 0 else f"{at}.{name}", piece) for name, piece in value.items()]
    elif isinstance(value, list):
        pieces = [(f"{at}.{index}", piece) for index, piece in enumerate(value)]
    found = (why_not_kept(piece, where[:200], depth + 1) for where, piece in pieces)
    return next((why for why in found if why is not None), None)


def is_plain(text: str) -> bool:
    """Whether it consists of characters, as UTF-8 and Postgres know them."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
