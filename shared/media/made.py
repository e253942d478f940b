"""What a step of preparing or finishing makes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file and its measures; ``score`` (0 to 1, more is better) where the step judges too."""

    data: bytes
    content_type: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    score: float | None = None
