"""What a line of a job's timeline says to people, where the name of its fact says too little."""

from shared.db.journal import Entry
from shared.domain import calling
from shared.errors import Permanent
from shared.events import CallbackDelivered, CallbackFailed, read
from shared.words import Words


def words_of(entry: Entry) -> Words | None:
    """The line in every language; None where its type is all there is to say, or its body is past
    its retention."""
    if entry.body is None:
        return None
    try:
        if entry.type == CallbackDelivered.type:
            told = read(CallbackDelivered, entry.envelope)
            return calling.delivered(
                told.told, host=told.host, status=told.status, tries=told.tries
            )
        if entry.type == CallbackFailed.type:
            lost = read(CallbackFailed, entry.envelope)
            return calling.failed(lost.told, host=lost.host, reason=lost.reason, tries=lost.tries)
    except Permanent:
        return None  # of a later release: its name has to do
    return None
