"""A moment, as an operator types it: how long ago, or when."""

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, option: str, *, now: datetime) -> datetime:
    """``30m`` or ``7d`` before ``now``, or a time such as 2026-11-21T04:00Z (UTC unless it says
    otherwise). Ends the command where it is neither."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is neither 90s, 30m, 12h, 7d nor a time such as 2026-11-21T04:00Z",
            param_hint=option,
        ) from None
