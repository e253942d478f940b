"""The fast clock: what of a run is shortened by one factor, and what is not. Pure.

The provider's life (runs, the minute in which it tries a webhook again, the hour in which it keeps
files), its limits, and whatever patience of ours is a setting go faster together. Deadlines and
heartbeats of connections, the rest between tries in the code, timestamps and signatures stay on the
wall: against a fast provider they weigh more, so that a run errs against us.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Seconds of production, by the setting that holds them, and the least that the setting takes.
PATIENCE: Mapping[str, tuple[float, float]] = {
    "CREATE_WITHIN_SECONDS": (30.0, 0.5),
    "CREATE_LEASE_SECONDS": (60.0, 1.5),
    "DOUBT_GRACE_SECONDS": (15.0, 0.1),
    "DOUBT_COLD_START_SECONDS": (300.0, 0.1),
    "DOUBT_EVERY_SECONDS": (3.0, 0.1),
    "STRAYS_EVERY_SECONDS": (60.0, 1.0),
    "ASK_AFTER_SECONDS": (30.0, 1.0),  # what a picture usually takes
    "ASK_EVERY_SECONDS": (1.0, 0.2),
    "BRING_BACK_EVERY_SECONDS": (1.0, 0.2),
    "CANCEL_EVERY_SECONDS": (1.0, 0.2),
    "DEADLINES_EVERY_SECONDS": (5.0, 0.5),
    "LOSSES_EVERY_SECONDS": (5.0, 0.5),
    "STORAGE_PATIENCE_SECONDS": (180.0, 2.0),
    "REPORT_PATIENCE_SECONDS": (300.0, 2.0),
    "REPLICATE_FILES_LIVE_SECONDS": (3600.0, 1.0),
}
CREATES_PER_MINUTE = 600
READS_PER_MINUTE = 3000
COLD_START_S, RUN_S = 0.1, 1.0  # of the wall: at most 2 processors make the pictures


@dataclass(frozen=True, slots=True)
class FastClock:
    """``factor`` provider seconds pass in a second of the wall."""

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= 100:
            raise ValueError("the clock's factor lies between 1 and 100")

    def on_the_wall(self, provider_s: float) -> float:
        return provider_s / self.factor

    def at_the_provider(self, wall_s: float) -> float:
        return wall_s * self.factor

    @property
    def patience(self) -> Mapping[str, str]:
        """Settings of the services: production's own, ``factor`` times as fast."""
        shortened = {
            name: f"{max(least, self.on_the_wall(seconds)):g}"
            for name, (seconds, least) in PATIENCE.items()
        }
        return shortened | {
            "REPLICATE_CREATES_PER_MINUTE": f"{CREATES_PER_MINUTE * self.factor:.0f}",
            "REPLICATE_READS_PER_MINUTE": f"{READS_PER_MINUTE * self.factor:.0f}",
        }

    @property
    def emulated(self) -> Mapping[str, str]:
        """Settings of the emulator. Its runs are as long on the wall as without the clock."""
        return {
            "EMULATOR_SPEED": f"{self.factor:g}",
            "EMULATOR_COLD_START_S": f"{self.at_the_provider(COLD_START_S):g}",
            "EMULATOR_RUN_S": f"{self.at_the_provider(RUN_S):g}",
            "EMULATOR_CREATES_PER_MINUTE": f"{CREATES_PER_MINUTE * self.factor:.0f}",
            "EMULATOR_READS_PER_MINUTE": f"{READS_PER_MINUTE * self.factor:.0f}",
        }
