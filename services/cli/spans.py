"""Spans and moments of time as an operator types them."""

import re
from datetime import UTC, datetime, timedelta

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
    return _length(found)


def moment(text: str, option: str, *, now: datetime) -> datetime:
    """``30m`` or ``7d`` before ``now``, or a time such as 2026-11-21T04:00Z (UTC unless it says
    otherwise). Ends the command where it is neither."""
    ago = _SPAN.fullmatch(text)
    if ago is not None:
        return now - _length(ago)
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is neither 90s, 30m, 12h, 7d nor a time such as 2026-11-21T04:00Z",
            param_hint=option,
        ) from None


def _length(found: re.Match[str]) -> timedelta:
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
