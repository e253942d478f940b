"""What is derived from an output: its slot's steps, done off the event loop, a few at a time."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Permanent
from shared.media.made import Made

# Bytes of an output to its derived file, with options; a name of ``shared.media.steps.FINISH``.
Make = Callable[[bytes, Mapping[str, Any]], Made]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A finish step as it stands in its slot's row."""

    step: str
    variant: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A file that a step made of an output."""

    variant: str
    made: Made


class Finishing:
    """Does steps, so many at once and no more: each holds a picture or a sound in memory."""

    def __init__(self, steps: Mapping[str, Make], *, at_once: int) -> None:
        self._steps = steps
        self._under_way = asyncio.Semaphore(at_once)

    async def derive(self, data: bytes, steps: Sequence[Step]) -> tuple[Derived, ...]:
        """What ``steps`` make of one output. Raises Permanent (the output cannot be used) or
        Transient, whatever the step raised."""
        derived = []
        for one in steps:
            make = self._steps.get(one.step)
            if make is None:
                raise Permanent(f"there is no step {one.step!r} here")
            async with self._under_way:
                made = await asyncio.to_thread(make, data, one.options)
            derived.append(Derived(variant=one.variant, made=made))
        return tuple(derived)
