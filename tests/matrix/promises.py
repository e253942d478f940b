"""What a row promises, and what became of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests.matrix.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """``measured`` is what was seen, in words; ``kept`` whether that is what was promised."""

    what: str
    measured: str
    kept: bool


def none(what: str, found: int | Sequence[object]) -> Promise:
    """Nothing of the kind was found; a few of what was are shown."""
    if isinstance(found, int):
        return Promise(what=f"no {what}", measured=str(found), kept=not found)
    some = f": {'; '.join(str(one) for one in found[:3])}" if found else ""
    return Promise(what=f"no {what}", measured=f"{len(found)}{some}", kept=not found)


def all_of(what: str, seen: int, expected: int) -> Promise:
    return Promise(what=what, measured=f"{seen} of {expected}", kept=seen == expected)


def at_most(what: str, limit: float, measured: float, unit: str = "s") -> Promise:
    return Promise(
        what=f"{what} ≤ {limit:g} {unit}",
        measured=f"{measured:.3g} {unit}",
        kept=measured <= limit,
    )


def told(what: str, measured: object) -> Promise:
    """A figure that nothing was promised of."""
    return Promise(what=what, measured=str(measured), kept=True)


def broken(promises: Sequence[Promise]) -> list[Promise]:
    return [promise for promise in promises if not promise.kept]


# Brings its fault about so many times, and says what became of the promises.
Run: TypeAlias = Callable[[Ground, int], Awaitable[list[Promise]]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a row. ``stated``: so often the matrix wants it, in ``unit``."""

    name: str
    stated: int
    run: Run
    unit: str = "times"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    name: str
    title: str
    faults: tuple[Fault, ...]
