"""What a prediction's ``output`` lacks of what was asked for."""

from collections.abc import Mapping
from typing import Any

from shared.events import Skipped

LEFT_OUT = "the model made fewer files than asked for, as it does with what it holds for NSFW"


def left_out(found: int, slot_input: Mapping[str, Any]) -> tuple[Skipped, ...]:
    """What the input asked for and the output lacks (SDXL drops pictures and still succeeds)."""
    asked = slot_input.get("num_outputs")
    if not isinstance(asked, int) or isinstance(asked, bool):
        return ()
    return tuple(Skipped(index=index, why=LEFT_OUT) for index in range(found, min(asked, 100)))
