"""What a report shows, free of rows and of any language. The page is made from this alone."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.slot import FailureCode
from shared.settings import Locale


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A colour (``#rrggbb``) and the part of a picture that has it, above 0 and up to 1."""

    colour: str
    part: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The page's own copy of a picture: sized down, upright, without metadata.

    ``colours``, the largest part first, are those of the stored file where it has only a few.
    """

    content_type: str
    data: bytes
    width: int
    height: int
    colours: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The page's own copy of a sound. ``data`` is None where it would be too much for a page.

    ``peaks`` (0 to 1) draw it from its beginning to its end; ``loudness`` is in LUFS.
    """

    content_type: str
    data: bytes | None
    peaks: tuple[float, ...]
    loudness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A picture that something began with: what the order brought, the stencil, or what the model
    drew before it was finished. ``picture`` is None where it cannot be shown."""

    picture: Picture | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What was asked for in words and measures: ``surface`` in metres, ``colours`` as ``#rrggbb``."""

    prompt: str | None = None
    surface: tuple[float, float] | None = None
    colours: tuple[str, ...] = ()
    stencil: Original | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One file that the job made; ``place`` is how people name it: ``2``, or ``2.1`` where the
    slots of this job yielded several. ``width`` and ``height`` are the stored file's.

    ``score`` (0 to 1) is None where nobody judged; ``source`` is the file that this one was derived
    from, where the page shows it too.
    """

    place: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    seconds: float | None
    seed: int | None
    prediction_id: str | None
    picture: Picture | None
    score: float | None = None
    source: Original | None = None
    sound: Sound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What was to be made and is not here. ``code`` is None where the deadline came first."""

    place: str
    code: FailureCode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """One completed job.

    ``original`` is None where the order brought none. ``notes`` are what the recipe says of this
    order. ``entries`` are in display order; ``left_out`` is how many more there are. ``files`` and
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
    brief: Brief
    notes: tuple[str, ...]
    entries: tuple[Result | Failure, ...]
    left_out: int
    files: int
    failures: int
