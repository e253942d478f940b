"""The order in which a job's files are shown and told: one rule for events, pages and people."""

from typing import Protocol

_FIRST = ("original", "prepared")
_OF_AN_OUTPUT = ("generated", "derived")


class Placed(Protocol):
    """What is asked of a file."""

    @property
    def kind(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def ordinal(self) -> int | None: ...
    @property
    def attempt(self) -> int | None: ...
    @property
    def index(self) -> int: ...
    @property
    def variant(self) -> str | None: ...
    @property
    def score(self) -> float | None: ...


def place(file: Placed) -> tuple[float | str, ...]:
    """Sort by it: what the job began with, then slot by slot what was made. Where outputs were
    judged the best comes first, equals by their number, so that no order in which they came shows;
    each output stands before what was derived from it."""
    return (
        _number(file.kind, _FIRST),
        float("inf") if file.ordinal is None else file.ordinal,
        file.attempt or 0,
        float("inf") if file.score is None else -file.score,
        file.index,
        _number(file.kind, _OF_AN_OUTPUT),
        file.variant or "",
        file.key,
    )


def _number(kind: str, kinds: tuple[str, ...]) -> int:
    return kinds.index(kind) if kind in kinds else len(kinds)
