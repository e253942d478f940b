"""What a prediction's ``output`` names, and what it lacks of what was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.events import Skipped

LEFT_OUT = "the model made fewer files than asked for, as it does with what it holds for NSFW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to derive: a step by its name, with its options. ``variant`` names the file."""

    step: str
    variant: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a prediction: where it is, whose it is, and what shall become of it.

    ``makes`` is what kind of file it must be (``image``, ``audio``), None where nobody knows.
    """

    url: str
    index: int
    job_id: UUID
    ordinal: int
    attempt: int
    seed: int | None
    prediction_id: str
    makes: str | None = None
    finish: tuple[Wanted, ...] = ()


def wanted_of(finish: Sequence[Mapping[str, Any]]) -> tuple[Wanted, ...]:
    """What a slot's row says about how its outputs are finished."""
    return tuple(
        Wanted(step=said["step"], variant=said["variant"], options=said["options"])
        for said in finish
    )


def left_out(found: int, slot_input: Mapping[str, Any]) -> tuple[Skipped, ...]:
    """What the input asked for and the output lacks (SDXL drops pictures and still succeeds)."""
    asked = slot_input.get("num_outputs")
    if not isinstance(asked, int) or isinstance(asked, bool):
        return ()
    return tuple(Skipped(index=index, why=LEFT_OUT) for index in range(found, min(asked, 100)))
