"""Who may move what: what news of one prediction says to its slot, and to its own row."""

from shared.domain.prediction import TERMINAL, Status
from shared.domain.slot import News

_TOLD = {
    Status.STARTING: News.STARTED,
    Status.PROCESSING: News.STARTED,
    Status.FAILED: News.FAILED,
    Status.ABORTED: News.ABORTED,
    Status.CANCELED: News.CANCELED,
}
_ORDER: dict[Status | None, int] = {
    None: 0,
    Status.STARTING: 1,
    Status.PROCESSING: 2,
    **dict.fromkeys(TERMINAL, 3),
}


def told_to_slot(status: Status | None, *, current: bool, cancel_wanted: bool) -> News | None:
    """What a slot hears when one of its predictions has ``status``; None: nothing.

    ``current``: it is the purchase that the slot is at. ``cancel_wanted``: we asked for its end.
    """
    if status is Status.SUCCEEDED:
        return News.SUCCEEDED  # the first one wins, whichever attempt it comes from
    if status is None or not current:
        return None
    if status is Status.CANCELED and cancel_wanted:
        return None  # as we asked
    return _TOLD[status]


def further(known: Status | None, heard: Status | None) -> Status | None:
    """The status of a prediction of which ``heard`` came after ``known``: it never goes back."""
    return heard if _ORDER[heard] > _ORDER[known] else known
