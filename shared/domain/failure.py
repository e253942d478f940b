"""What a verdict of Replicate means for the slot: its code, and whether to pay for another."""

import re

from shared.domain.prediction import Status
from shared.domain.slot import FailureCode

_LINK = re.compile(r"(?:https?|data):\S+", re.IGNORECASE)
_NSFW = re.compile(r"\bNSFW\b", re.IGNORECASE)

# Replicate's own codes for faults that were its own and pass (its page on error codes).
# E1001 (out of memory) and E4875 (no webhook URL) come again with the same input.
_PASSING = re.compile(r"\b(?:E1000|E6716|E8367|E8765|E9243|E9825)\b|code: PA\b")


def failure_code(status: Status, error: str | None) -> FailureCode:
    """The code of a prediction that ended without success."""
    if status is Status.CANCELED:
        return FailureCode.CANCELED
    if status is Status.ABORTED:
        return FailureCode.ABORTED
    return FailureCode.NSFW if _NSFW.search(error or "") else FailureCode.PROVIDER


def without_links(error: str | None) -> str | None:
    return None if error is None else _LINK.sub("[link]", error)


def failure_words(status: Status, error: str | None) -> str:
    """What to tell about it: the provider's words, without links (they may open our input)."""
    return (
        without_links(error) or f"the provider ended the prediction as {status} and gave no reason"
    )


def provider_fault_passes(code: FailureCode, error: str | None) -> bool:
    """Whether another attempt of the very same input has a fair chance.

    The default of recipes: a passing fault of the provider's, or a run that never started.
    Not NSFW (the same seed gives the same picture), not a cancellation (somebody meant it).
    """
    return code is FailureCode.ABORTED or (
        code is FailureCode.PROVIDER and _PASSING.search(error or "") is not None
    )
