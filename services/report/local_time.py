"""Instants, spans and sizes as people of one language write them."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.settings import Locale

_EN_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EN_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
_KO_DAYS = "월화수목금토일"

# Largest unit first, with what one of it is in seconds; a span is told in two of them at most.
_UNITS: Mapping[Locale, tuple[tuple[int, str], ...]] = {
    "en": ((86_400, " d"), (3_600, " h"), (60, " min"), (1, " s")),
    "ko": ((86_400, "일"), (3_600, "시간"), (60, "분"), (1, "초")),
}


def instant(at: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """``Saturday 21 November 2026, 14:42`` · ``2026년 11월 21일 토요일 오후 2:42``."""
    return _WRITTEN[locale](at.astimezone(zone))


def machine_readable(at: datetime, zone: ZoneInfo) -> str:
    """ISO 8601 with the zone's offset, for ``<time datetime>``."""
    return at.astimezone(zone).isoformat(timespec="seconds")


def span(length: timedelta, locale: Locale) -> str:
    """``1 min 24 s`` · ``1분 24초``. Below ten seconds with a tenth."""
    units = _UNITS[locale]
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}{units[-1][1]}"
    left = round(seconds)
    told: list[str] = []
    for size, name in units:
        count, left = divmod(left, size)
        if count:
            told.append(f"{count}{name}")
        elif told:
            break  # not "1 d 5 s"
    return " ".join(told[:2])


def zone_name(zone: ZoneInfo, at: datetime) -> str:
    """``Asia/Seoul (UTC+9)``, with the offset that holds at ``at``."""
    minutes = int((at.astimezone(zone).utcoffset() or timedelta()).total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "+" if minutes > 0 else "−"
    offset = "UTC" if not minutes else f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")
    return offset if zone.key == offset else f"{zone.key} ({offset})"


def size(count: int) -> str:
    """``820 kB``: thousands, as phones and computers show their files. It never breaks in two."""
    if count < 1_000:
        return f"{count}\N{NO-BREAK SPACE}B"
    if count < 999_500:
        return f"{count / 1e3:.0f}\N{NO-BREAK SPACE}kB"
    return f"{count / 1e6:.1f}\N{NO-BREAK SPACE}MB"


def _english(at: datetime) -> str:
    day, month = _EN_DAYS[at.weekday()], _EN_MONTHS[at.month - 1]
    return f"{day} {at.day} {month} {at.year}, {at:%H:%M}"


def _korean(at: datetime) -> str:
    half, hour = "오전" if at.hour < 12 else "오후", at.hour % 12 or 12
    day = f"{at.year}년 {at.month}월 {at.day}일 {_KO_DAYS[at.weekday()]}요일"
    return f"{day} {half} {hour}:{at.minute:02}"


_WRITTEN: Mapping[Locale, Callable[[datetime], str]] = {"en": _english, "ko": _korean}
