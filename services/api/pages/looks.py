"""How values look on pages: pure, and as plain text or one ``<time>``."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

Say = Callable[..., str]


def when(at: datetime | None, zone: ZoneInfo) -> str:
    """A moment in the zone of the installation, to the second; a dash for none."""
    if at is None:
        return "–"
    there = at.astimezone(zone)
    return Markup('<time datetime="{exact}" title="{exact}">{shown}</time>').format(
        exact=there.isoformat(timespec="milliseconds"), shown=f"{there:%Y-%m-%d %H:%M:%S}"
    )


def clock(at: datetime, zone: ZoneInfo) -> str:
    """The time of day to the thousandth, with the moment itself behind it."""
    there = at.astimezone(zone)
    return Markup('<time datetime="{exact}" title="{exact}">{shown}</time>').format(
        exact=there.isoformat(timespec="milliseconds"), shown=f"{there:%H:%M:%S.%f}"[:-3]
    )


def ago(at: datetime | None, now: datetime, zone: ZoneInfo, say: Say) -> str:
    """How long ago a moment was, with the moment itself behind it; a dash for none."""
    if at is None:
        return "–"
    there = at.astimezone(zone)
    return Markup('<time datetime="{exact}" title="{exact}">{shown}</time>').format(
        exact=there.isoformat(timespec="seconds"),
        shown=_rounded((now - at).total_seconds(), "ago", say),
    )


def in_words(length: float, say: Say) -> str:
    """How long it is until something, in seconds: "in 12 s", or "now"."""
    return _rounded(length, "in", say)


def _rounded(length: float, kind: str, say: Say) -> str:
    if length < 1:
        return say(f"{kind}.now")
    for unit, one, most in (
        ("seconds", 1, 120),
        ("minutes", 60, 7200),
        ("hours", 3600, 172_800),
    ):
        if length < most:
            return say(f"{kind}.{unit}", count=int(length // one))
    return say(f"{kind}.days", count=int(length // 86_400))


def seconds(value: float | None) -> str:
    """A length of time in two or three figures: 0.25 s, 12.3 s, 4 min 5 s, 2 h 3 min."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def usually(value: float, say: Say) -> str:
    """A length of time that nobody has measured: 30 s, 2 min."""
    minutes, rest = divmod(round(value), 60)
    told = ([say("span.minutes", count=minutes)] if minutes else []) + (
        [say("span.seconds", count=rest)] if rest or not minutes else []
    )
    return " ".join(told)


def dollars(value: float | None, say: Say) -> str:
    """US dollars, to the hundredth of a cent below one; what is not known says so."""
    if value is None:
        return say("money.unknown")
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def size(value: int | None) -> str:
    """Bytes in the unit that people know files by."""
    if value is None:
        return "–"
    if value < 1000:
        return f"{value} B"
    for unit, length in (("kB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)):
        if value < length * 1000 or unit == "GB":
            return f"{value / length:.1f} {unit}"
    raise AssertionError("the last unit takes everything")


def share(value: float | None) -> str:
    """A part of one as percent; a dash where there is nothing that it could be of."""
    if value is None:
        return "–"
    return f"{value * 100:.1f} %" if 0 < value < 1 else f"{value * 100:.0f} %"


def exactly(value: float) -> str:
    """A part of one to the hundredth of a percent, and never rounded up to all of it."""
    return "100 %" if value >= 1 else f"{min(value * 100, 99.99):.2f} %"
