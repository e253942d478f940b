"""What goes wrong between a caller and the API."""

from collections.abc import Sequence

from darkroom_client.shapes import Fault


class DarkroomError(Exception):
    """Whatever goes wrong here."""


class Refused(DarkroomError):
    """The API says no, and would say it again. ``code`` is for programs (``flawed``, ``conflict``,
    ``unknown_job``…), ``faults`` name the fields that are wrong. ``instance`` is the path of what
    stands in the way, where the API tells it: ``ordered`` has the job that the key ordered before."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str = "",
        faults: Sequence[Fault] = (),
        instance: str | None = None,
    ) -> None:
        # An API that puts its faults into the sentence has told them already.
        told = [f"{fault.path}: {fault.what}" for fault in faults]
        named = "".join(f"; {one}" for one in told if one not in detail)
        super().__init__(f"{detail} ({status}){named}")
        self.detail = detail
        self.status = status
        self.code = code
        self.faults = tuple(faults)
        self.instance = instance


class Unanswered(DarkroomError):
    """No answer that could be used, as often as was worth trying. What was ordered may be on record:
    the same order under the same ``idempotency_key`` is the same job."""


class NotYet(DarkroomError):
    """The job has not ended within the time that the caller gave."""
