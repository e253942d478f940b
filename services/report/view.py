"""What a report shows, free of rows and of any language. The page is made from this alone."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.slot import FailureCode
from shared.settings import Locale


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The page's own copy of a picture: sized down, upright, without metadata."""

    content_type: str
    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What the order brought. ``picture`` is None where it cannot be shown."""

    picture: Picture | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One file that the job made; ``place`` is how people name it: ``2``, or ``2.1`` where the
    slots of this job yielded several. ``width`` and ``height`` are the stored file's."""

    place: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    seconds: float | None
    seed: int | None
    prediction_id: str | None
    picture: Picture | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A slot without a file. ``code`` is None where the job ended before its turn."""

    place: str
    code: FailureCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """One completed job.

    ``entries`` are in display order; ``left_out`` is how many more there are. ``files`` and
    ``failures`` count all of them. ``unknown_zone`` is a zone that the order named and nobody
    knows: times are then in ``zone``, and the page says so.
    """

    job_id: UUID
    external_ref: str | None
    recipe_title: str
    locale: Locale
    zone: ZoneInfo
    unknown_zone: str | None
    ordered_at: datetime
    finished_at: datetime
    sections: tuple[str, ...]
    original: Original | None
    entries: tuple[Result | Failure, ...]
    left_out: int
    files: int
    failures: int
