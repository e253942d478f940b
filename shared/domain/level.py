"""How much of something waits, and since when: what is scaled, alarmed and shown by."""

from dataclasses import dataclass

COUNTED = 1_000  # more is told as this many


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """``count`` of them wait, ``COUNTED`` at the most; the first since ``seconds`` (0: none)."""

    count: int
    seconds: float

    @property
    def is_more(self) -> bool:
        """Whether it may be more than ``count``."""
        return self.count >= COUNTED
