"""The one place that asks what time it is; everybody else is told."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The instant now, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251
