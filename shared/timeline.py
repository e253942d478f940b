"""What a line of a job's timeline says to people, where the name of its fact says too little."""

from pydantic import ValidationError

from shared.domain import calling
from shared.domain.telling import taken_over
from shared.events import ArtifactsStored, CallbackDelivered, CallbackFailed, adapter
from shared.words import Words


def words_of(fact_type: str, body: bytes | None) -> Words | None:
    """The line in every language. None where the type is all there is to say, where the body is past
    its retention, or of a later release."""
    if body is None:
        return None
    try:
        if fact_type == CallbackDelivered.type:
            told = adapter(CallbackDelivered).validate_json(body)
            return calling.delivered(
                told.told, host=told.host, status=told.status, tries=told.tries
            )
        if fact_type == CallbackFailed.type:
            lost = adapter(CallbackFailed).validate_json(body)
            return calling.failed(lost.told, host=lost.host, reason=lost.reason, tries=lost.tries)
        if fact_type == ArtifactsStored.type:
            stored = adapter(ArtifactsStored).validate_json(body)
            return None if stored.reused_from is None else taken_over(stored.reused_from)
    except ValidationError:
        return None
    return None
