"""What the API answers when it cannot do what was asked: one problem per cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """``code`` is its name in answers, metrics and the document. ``retry_after`` in seconds."""

    status: int
    code: str
    title: str
    retry_after: int | None = None


UNREADABLE = Kind(400, "unreadable", "The request cannot be read")
NO_TOKEN = Kind(401, "no_token", "A token is needed")
NOT_ALLOWED = Kind(403, "not_allowed", "This token may not do that")
FROM_ELSEWHERE = Kind(403, "from_elsewhere", "Without a token only this machine is served")
UNKNOWN_PATH = Kind(404, "unknown_path", "There is nothing here")
UNKNOWN_JOB = Kind(404, "unknown_job", "There is no such job")
WRONG_METHOD = Kind(405, "wrong_method", "This is not done that way")
TOO_SLOW = Kind(408, "too_slow", "The body did not come in time")
CONFLICT = Kind(409, "conflict", "Something else was ordered under this name")
ORDERED = Kind(409, "ordered", "The job of this key is ordered")
HAS_ENDED = Kind(409, "has_ended", "The job has ended")
STILL_OPEN = Kind(409, "still_open", "The job has not ended")
GONE = Kind(410, "gone", "It was here, and is deleted")
TOO_LARGE = Kind(413, "too_large", "The body is too large")
NOT_JSON = Kind(415, "not_json", "Bodies are plain JSON")
UNMET = Kind(417, "unmet", "Of what may be expected there is 100-continue alone")
FLAWED = Kind(422, "flawed", "The request cannot be carried out as it is")
TOO_MANY = Kind(429, "too_many", "Too many requests at once", retry_after=1)
BROKEN = Kind(500, "broken", "Something of ours failed")
UNAVAILABLE = Kind(503, "unavailable", "We cannot answer now", retry_after=2)

KINDS = (
    UNREADABLE,
    NO_TOKEN,
    NOT_ALLOWED,
    FROM_ELSEWHERE,
    UNKNOWN_PATH,
    UNKNOWN_JOB,
    WRONG_METHOD,
    TOO_SLOW,
    CONFLICT,
    ORDERED,
    HAS_ENDED,
    STILL_OPEN,
    GONE,
    TOO_LARGE,
    NOT_JSON,
    UNMET,
    FLAWED,
    TOO_MANY,
    BROKEN,
    UNAVAILABLE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``path`` names the field, as in ``params.count``; ``what`` is wrong with it."""

    path: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """``application/problem+json``: what was in the way, in one sentence, and field by field where
    the request itself is wrong. No value that was sent is repeated. ``code`` is for programs.
    ``instance``, where it is there, is the path of what stands in the way."""

    title: str
    status: int
    detail: str
    code: str
    faults: tuple[Fault, ...] = ()
    instance: str | None = None


class Refused(Exception):
    """The request is not carried out. ``detail`` is for whoever asked: no secret, no link."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        faults: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = tuple(Fault(path=path, what=what) for path, what in faults)
        self.headers = dict(headers or {})
        self.instance = instance

    @property
    def problem(self) -> Problem:
        return Problem(
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            code=self.kind.code,
            faults=self.faults,
            instance=self.instance,
        )
