"""Spans of time as an operator types them."""

import re
from datetime import timedelta

import typer

_SPAN = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def span(text: str, option: str) -> timedelta:
    """``90s``, ``30m``, ``12h``, ``7d``. Raises BadParameter for ``option`` where it is none."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no time such as 90s, 30m, 12h, 7d", param_hint=option
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
