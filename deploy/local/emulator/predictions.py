"""One prediction, and the register of all."""

import asyncio
import base64
import bisect
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.local.emulator.faults import Chosen
from deploy.local.emulator.models import Model, Order, Script

PAGE = 100

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_prediction_id() -> str:
    """26 lower-case characters, never from the seed: a restarted emulator repeats no id."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant on both clocks."""

    wall: datetime
    provider: float


@dataclass(slots=True, eq=False)
class Prediction:
    """What the provider knows of one purchase."""

    number: int
    id: str
    model: Model
    version: str  # as answered
    input: Mapping[str, Any]
    order: Order
    script: Script
    api_url: str  # how the buyer calls the API: its links are built on it
    created: Moment
    run_s: float
    faults: Chosen
    webhook: str | None = None
    events: tuple[str, ...] = ()
    deployment: str | None = None
    deadline: datetime | None = None
    status: str = "starting"
    output: Any = None
    error: str | None = None
    started: Moment | None = None
    completed: Moment | None = None
    data_removed: bool = False
    work: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    file_tokens: list[str] = field(default_factory=list)

    def ran_s(self, now: float) -> float:
        """Provider seconds of running so far, or altogether."""
        if self.started is None:
            return 0.0
        until = now if self.completed is None else self.completed.provider
        return min(max(0.0, until - self.started.provider), self.run_s)


@dataclass(frozen=True, slots=True)
class Page:
    results: list[Prediction]
    next: str | None  # cursors
    previous: str | None


class Register:
    """All predictions, in the order in which they were made."""

    def __init__(self) -> None:
        self._by_id: dict[str, Prediction] = {}
        self._in_order: list[Prediction] = []

    def __len__(self) -> int:
        return len(self._in_order)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._in_order)

    def add(self, prediction: Prediction) -> None:
        self._by_id[prediction.id] = prediction
        self._in_order.append(prediction)

    def get(self, prediction_id: str) -> Prediction | None:
        return self._by_id.get(prediction_id)

    def page(self, *, cursor: str | None, after: datetime | None, before: datetime | None) -> Page:
        """100 of them, newest first. Raises ValueError for a cursor that is not ours."""
        low = 0 if after is None else bisect.bisect_left(self._in_order, after, key=_created)
        high = (
            len(self._in_order)
            if before is None
            else bisect.bisect_left(self._in_order, before, key=_created)
        )
        start, end = max(low, high - PAGE), high
        if cursor is not None:
            side, number = _read_cursor(cursor)
            if side == "older":
                end = min(high, number)
                start = max(low, end - PAGE)
            else:
                start = max(low, number)
                end = min(high, start + PAGE)
        return Page(
            results=self._in_order[start:end][::-1],
            next=_cursor("older", start) if start > low else None,
            previous=_cursor("newer", end) if end < high and cursor is not None else None,
        )


def _created(prediction: Prediction) -> datetime:
    return prediction.created.wall


def _cursor(side: str, place: int) -> str:
    return base64.urlsafe_b64encode(f"{side}:{place}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[str, int]:
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    side, _, place = text.partition(":")
    if side not in {"older", "newer"} or not place.isdigit():
        raise ValueError("not a cursor")
    return side, int(place)
