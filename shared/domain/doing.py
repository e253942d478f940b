"""What is being done about a slot that is still open, in the few words that people care for."""

from enum import StrEnum

from shared.domain.slot import SlotState


class Doing(StrEnum):
    """From the farthest along to the one that has farthest to go."""

    FETCHING = "fetching"  # made; its files are on the way into our bucket
    MAKING = "making"
    QUEUED = "queued"  # bought; no GPU works on it yet
    ORDERING = "ordering"  # being bought
    CHECKING = "checking"  # whether it was bought is being found out
    AGAIN = "again"  # an attempt came to nothing, and another will be bought
    WAITING = "waiting"  # to be bought for the first time
    HELD = "held"  # not to be bought yet: what its recipe may cost a day is spent


_OF_STATE = {
    SlotState.CREATING: Doing.ORDERING,
    SlotState.IN_DOUBT: Doing.CHECKING,
    SlotState.SUBMITTED: Doing.QUEUED,
    SlotState.RUNNING: Doing.MAKING,
    SlotState.SUCCEEDED: Doing.FETCHING,
}


def doing(state: SlotState, attempt: int, *, held: bool = False) -> Doing | None:
    """What is being done about a slot at that attempt; None: it is closed. ``held``: nothing more
    is bought of its recipe today."""
    if state is SlotState.PENDING:
        if held:
            return Doing.HELD
        return Doing.WAITING if attempt == 1 else Doing.AGAIN
    return _OF_STATE.get(state)
