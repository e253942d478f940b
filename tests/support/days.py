"""Days that do not turn while a test looks: what it does, and what it then counts, are of one day."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from shared.clock import utc_now
from tests.support.waiting import eventually


def where_it_is_noon() -> ZoneInfo:
    """A place where it is some minutes past twelve now, so that its midnight is hours away."""
    east = 12 - utc_now().hour
    return ZoneInfo(f"Etc/GMT{-east:+d}" if east else "Etc/GMT")


async def the_day_lasts(seconds: float) -> None:
    """Return when no midnight of UTC comes ``seconds`` from now, for what runs by that day already."""

    async def turns() -> bool:
        now = utc_now()
        return (now + timedelta(seconds=seconds)).date() != now.date()

    await eventually(
        "the new day begins", turns, holds=lambda near: not near, within=seconds + 20, every=0.2
    )
