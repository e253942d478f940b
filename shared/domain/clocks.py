"""Clocks of several machines: what must be added to each, for what followed to come later."""

import math
from collections.abc import Sequence
from enum import StrEnum


class Clock(StrEnum):
    """Whose clock a moment was read from. All are brought to the database's."""

    DATABASE = "database"
    PUBLISHER = "publisher"
    GENERATOR = "generator"
    PROVIDER = "provider"
    INGRESS = "ingress"
    STORAGE = "storage"


# The first came before the second, so what is to be added to their clocks differs by so many
# microseconds at most: whole ones, since what is added up in circles must come out even.
Bound = tuple[Clock, Clock, int]


def shifts(bounds: Sequence[Bound]) -> dict[Clock, float] | None:
    """The seconds that must be added to each clock, at least, for all ``bounds`` to hold; None:
    nothing helps."""
    if all(slack >= 0 for _, _, slack in bounds):
        return {}
    told = {Clock.DATABASE, *(clock for a, b, _ in bounds for clock in (a, b))}
    clocks = [clock for clock in Clock if clock in told]
    most: dict[tuple[Clock, Clock], float] = {
        (a, b): 0 if a is b else math.inf for a in clocks for b in clocks
    }
    for a, b, slack in bounds:
        most[a, b] = min(most[a, b], slack)
    found: dict[Clock, float] = {}
    for clock in clocks:
        _tighten(most, clocks)
        if any(most[one, one] < 0 for one in clocks):
            return None
        highest, lowest = most[clock, Clock.DATABASE], -most[Clock.DATABASE, clock]
        by = min(max(0, lowest), highest)
        most[clock, Clock.DATABASE], most[Clock.DATABASE, clock] = by, -by
        if by:
            found[clock] = by / 1e6
    return found


def _tighten(most: dict[tuple[Clock, Clock], float], clocks: Sequence[Clock]) -> None:
    """What follows from two differences is a bound too."""
    for through in clocks:
        for a in clocks:
            for b in clocks:
                way = most[a, through] + most[through, b]
                most[a, b] = min(most[a, b], way)
