"""The sums of a polite end, the same for every way to run a service."""

from shared.runtime import HARD_EXIT_AFTER_DRAIN_S
from shared.settings import CommonSettings

# What one piece of work may take, by the settings that bound it: those of one line add up.
BOUNDS = (
    ("create_within_seconds",),
    ("source_within_seconds",),
    ("download_within_seconds",),
    ("webhook_body_seconds", "webhook_confirm_seconds"),
)


def slowest_message(settings: CommonSettings) -> float:
    """The most seconds that one message may take here; 0 where no setting says."""
    return max(sum(getattr(settings, name, 0.0) for name in bound) for bound in BOUNDS)


def leaves_in_time(settings: CommonSettings, *, grace_s: float, pause_s: float = 0.0) -> None:
    """Whoever waits kills last: slowest message < drain, and pause + drain + hard exit < grace."""
    assert slowest_message(settings) < settings.drain_seconds
    assert pause_s + settings.drain_seconds + HARD_EXIT_AFTER_DRAIN_S < grace_s
