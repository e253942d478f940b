"""Calling back who ordered: how patiently, and what people read about it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from shared.words import Words

# After each try that was not taken. A receiver may be away over a night: ten tries in 16 hours,
# the first four within three minutes.
WAITS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
)


def wait_after(tried: int, waits: Sequence[timedelta] = WAITS, *, chance: float) -> timedelta:
    """How long to wait after try number ``tried`` (1, 2, …): three quarters of what the table says
    to all of it, so that what failed together does not come back together. ``chance`` is in [0, 1)."""
    if not waits:
        return timedelta(0)
    return waits[min(tried, len(waits)) - 1] * (0.75 + chance / 4)


class Silence:
    """Hosts that did not answer when they were last called. Until they do, one call at a time finds
    out, so that whoever hangs keeps no places from all others."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._being_called: dict[str, bool] = {}  # of silent hosts, the longest silent first

    def may_call(self, host: str) -> bool:
        """Whether to call it now. Whoever may says afterwards how it went, by one of the others."""
        if self._being_called.get(host, False):
            return False
        if host in self._being_called:
            self._being_called[host] = True
        return True

    def was_silent(self, host: str) -> None:
        if host not in self._being_called and len(self._being_called) >= self._most:
            del self._being_called[next(iter(self._being_called))]
        self._being_called[host] = False

    def answered(self, host: str) -> None:
        """With whatever: it is there."""
        self._being_called.pop(host, None)

    def not_called(self, host: str) -> None:
        """It did not come to the call."""
        if host in self._being_called:
            self._being_called[host] = False


_NEWS: Mapping[str, Words] = {
    "job.completed": {"en": "the job is completed", "ko": "작업이 완료되었다고"},
    "job.failed": {"en": "the job has failed", "ko": "작업이 실패했다고"},
    "job.canceled": {"en": "the job was canceled", "ko": "작업이 취소되었다고"},
    "report.published": {"en": "the report is ready", "ko": "보고서가 준비되었다고"},
    "report.failed": {"en": "there will be no report", "ko": "보고서를 만들지 못했다고"},
}


def delivered(told: str, *, host: str, status: int, tries: int) -> Words:
    """What people read of a fact (its type) that somebody was told."""
    en, ko = _news(told)
    return {
        "en": f"{host} was told that {en} (answer {status}{_at_the(tries)})",
        "ko": f"{host}에 {ko} 알렸습니다(응답 {status}{_after_ko(tries)})",
    }


def failed(told: str, *, host: str, reason: str, tries: int) -> Words:
    """What people read of a fact that somebody could not be told. ``reason`` is a sentence."""
    en, ko = _news(told)
    counted = "1 try" if tries == 1 else f"{tries} tries"
    return {
        "en": f"{host} could not be told that {en}, given up after {counted}: {reason}",
        "ko": f"{host}에 {ko} 알리지 못했습니다({tries}번 시도): {reason}",
    }


def _news(told: str) -> tuple[str, str]:
    words = _NEWS.get(told, {"en": f"of {told}", "ko": f"{told} 소식을"})
    return words["en"], words["ko"]


def _at_the(tries: int) -> str:
    return "" if tries == 1 else f", try {tries}"


def _after_ko(tries: int) -> str:
    return "" if tries == 1 else f", {tries}번째 시도"
