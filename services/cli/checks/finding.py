"""What a look at a part came to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from services.cli.checks.settings import DoctorSettings

# Webhooks are refused beyond five minutes; so far off, a clock is on its way there.
CLOCKS_DIFFER = timedelta(seconds=30)
SET_THE_CLOCK = "synchronise it (chrony or systemd-timesyncd)"


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` is what was looked at, ``mend`` what to type or change where it is not ``well``."""

    check: str
    well: bool
    said: str
    mend: str = ""


def well(check: str, said: str) -> Finding:
    return Finding(check, True, said)


def bad(check: str, said: str, mend: str) -> Finding:
    return Finding(check, False, said, mend)


# Looks at one part; raises nothing that it can name itself.
Look = Callable[[DoctorSettings], Awaitable[list[Finding]]]


def clock(check: str, whose: str, ahead: timedelta) -> Finding:
    """How far the clock of ``whose`` is ahead of ours."""
    if abs(ahead) <= CLOCKS_DIFFER:
        return well(check, f"the clock of {whose} agrees with ours")
    words = "ahead of" if ahead > timedelta(0) else "behind"
    return bad(
        check,
        f"the clock of {whose} is {abs(ahead).total_seconds():.0f} s {words} this machine's",
        f"one of the two is wrong: {SET_THE_CLOCK}; webhooks five minutes off are refused",
    )
