"""What the API is asked: read within a size and a time, and checked before anybody acts on it."""

import asyncio
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from services.api.problems import (
    FLAWED,
    NOT_JSON,
    TOO_LARGE,
    TOO_SLOW,
    UNKNOWN_JOB,
    UNREADABLE,
    Refused,
)
from shared.domain import cursor
from shared.domain.job import JobState
from shared.orders import DEEPEST, LARGEST_ORDER, not_kept
from shared.validation import faults

MOST_ON_A_PAGE = 200
SHORT_BODY = 16 * 1024
MOST_FAULTS = 50
LONGEST_NUMBER = 300  # digits
PLAIN = r"^[^\x00]*$"  # Postgres keeps no NUL
NOTHING_ELSE = ConfigDict(extra="forbid")  # said in the document; ``checked`` says it in words
KEY_PATTERN = r"^[\x21-\x7e]{1,200}$"

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CURSOR = cursor.PATTERN
_WHOLE = re.compile(r"-?[0-9]{1,18}")

T = TypeVar("T")


def _written(text: object) -> object:
    # A number of seconds would be one, too.
    if isinstance(text, str) and _TIME.match(text) is None:
        raise ValueError("must be a time such as 2026-11-21T04:00:00Z")
    return text


def _digits(text: object) -> object:
    if isinstance(text, str) and _WHOLE.fullmatch(text) is None:
        raise ValueError("must be a whole number")
    return text


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("must say its zone, as in 2026-11-21T04:00:00Z")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time that a calendar has in UTC, too") from None


def _a_cursor(text: str) -> str:
    cursor.read(text)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class WhichJobs:
    """What a list is of; every filter that is given must fit. ``since`` is about when the job was
    taken in; ``cursor`` is ``next`` of the page before."""

    state: JobState | None = None
    recipe: Annotated[str, Field(min_length=1, max_length=100, pattern=PLAIN)] | None = None
    external_ref: Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)] | None = None
    since: Annotated[datetime, BeforeValidator(_written), AfterValidator(_aware)] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ON_A_PAGE), BeforeValidator(_digits)] = 50
    cursor: Annotated[str, Field(pattern=_CURSOR), AfterValidator(_a_cursor)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """How far back to look, in seconds."""

    seconds: Annotated[int, Field(ge=60, le=86_400), BeforeValidator(_digits)] = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Why; it is shown with the job."""

    __pydantic_config__: ClassVar = NOTHING_ELSE

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=PLAIN)] = "asked for"


def job_id_of(request: web.Request) -> UUID:
    """The job that the path names. Raises Refused where that is no id."""
    job_id = uuid_of(request.match_info["job_id"])
    if job_id is None:
        raise Refused(UNKNOWN_JOB, "the path names no job: its id is a uuid, with hyphens")
    return job_id


def uuid_of(text: object) -> UUID | None:
    """A uuid as everybody writes it; None: it is none."""
    if not isinstance(text, str) or _UUID.fullmatch(text) is None:
        return None
    return UUID(text)


def key_of(request: web.Request) -> str | None:
    """The idempotency key, if one is given."""
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return None
    key = given[0].strip()
    if len(given) > 1 or not 1 <= len(key) <= 200 or not all("!" <= c <= "~" for c in key):
        what = "must be one text of 1 to 200 visible ASCII characters"
        raise Refused(FLAWED, f"Idempotency-Key: {what}", faults=[("Idempotency-Key", what)])
    return key


def query_of(
    kind: type[T],
    request: web.Request,
    *,
    beside: Collection[str] = (),
    blank: bool = False,
) -> T:
    """The query, each name once. Names ``beside`` are somebody else's; ``blank``: a form leaves
    fields empty, which is as good as leaving them out. Raises Refused with what is wrong, name by
    name."""
    known = {*kind.__dataclass_fields__, *beside}  # type: ignore[attr-defined]
    wrong = [(name[:64], "is no parameter here") for name in request.query if name not in known]
    wrong += [
        (name, "is given twice")
        for name in sorted(set(request.query))
        if len(request.query.getall(name)) > 1
    ]
    if wrong:
        raise _flawed(wrong)
    return _read(
        kind,
        {
            name: value
            for name, value in request.query.items()
            if name not in beside and (value or not blank)
        },
        whole="query",
    )


def form_of(kind: type[T], fields: Mapping[str, str]) -> T:
    """A form's fields; an empty one is as good as left out. Raises Refused with what is wrong, field
    by field."""
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    wrong = [(name[:64], "is no field here") for name in fields if name not in known]
    if wrong:
        raise _flawed(wrong)
    return _read(kind, {name: value for name, value in fields.items() if value}, whole="form")


def _read(kind: type[T], fields: Mapping[str, str], *, whole: str) -> T:
    try:
        return _reader(kind).validate_python(fields)
    except ValidationError as error:
        raise _flawed(faults(error, whole=whole)) from None


def checked(kind: type[T], body: Mapping[str, Any]) -> T:
    """A body as ``kind``. Raises Refused with what is wrong, field by field."""
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    wrong = [(name[:64], "is no field here") for name in body if name not in known]
    if wrong:
        raise _flawed(wrong)
    try:
        # As JSON, in which a list may stand for a tuple, and nothing else for anything.
        return _reader(kind).validate_json(json.dumps(body), strict=True)
    except ValidationError as error:
        raise _flawed(faults(error, whole="body")) from None


_READERS: dict[type, TypeAdapter[Any]] = {}


def _reader(kind: type[T]) -> TypeAdapter[T]:
    """Built once: it takes longer than what it reads."""
    if kind not in _READERS:
        _READERS[kind] = TypeAdapter(kind)
    return _READERS[kind]


def _flawed(wrong: list[tuple[str, str]]) -> Refused:
    sentence = "; ".join(f"{path}: {what}" for path, what in wrong[:8])
    return Refused(FLAWED, sentence, faults=wrong[:MOST_FAULTS])


async def read_body(
    request: web.Request, *, seconds: float, at_most: int = LARGEST_ORDER, optional: bool = False
) -> dict[str, Any]:
    """The JSON object that was sent. Raises Refused."""
    declared = request.content_length
    if declared is not None and declared > at_most:
        raise Refused(TOO_LARGE, f"at most {at_most} bytes are taken")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Refused(NOT_JSON, "the body must not be compressed or otherwise encoded")
    if not request.body_exists and optional:
        return {}
    # Browsers send other types to anybody without asking first.
    if request.content_type != "application/json":
        raise Refused(NOT_JSON, "the content type must be application/json")
    data = await read_bytes(request, seconds=seconds, at_most=at_most)
    if not data.strip() and optional:
        return {}
    return json_object(data)


def json_object(data: bytes) -> dict[str, Any]:
    """The object that ``data`` is. Raises Refused, for what nobody could keep by its path."""
    try:
        body = json.loads(
            data.decode(),
            parse_constant=_no_number,
            parse_int=_whole_number,
            object_pairs_hook=_object,
        )
    except ValueError:
        raise Refused(UNREADABLE, "the body is not JSON") from None
    except RecursionError:
        raise _flawed([("body", f"is nested deeper than {DEEPEST} levels")]) from None
    if not isinstance(body, dict):
        raise Refused(FLAWED, "the body must be an object", faults=[("body", "must be an object")])
    found = not_kept(body) or _said_twice(body)
    if found is not None:
        raise _flawed([(found[0] or "body", found[1])])
    return body


class _Doubled(dict[str, Any]):
    """An object that says a name twice; readers differ on what that means."""

    twice: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled = _Doubled(made)
    names = [name for name, _ in pairs]
    doubled.twice = next(name for name in made if names.count(name) > 1)
    return doubled


def _said_twice(value: Any, at: str = "") -> tuple[str, str] | None:
    """The path of a name that stands twice in one object; ``value`` is not deep."""
    if isinstance(value, _Doubled):
        return f"{at}{value.twice}"[:200], "is given twice"
    if isinstance(value, dict):
        pieces = list(value.items())
    elif isinstance(value, list):
        pieces = [(str(index), piece) for index, piece in enumerate(value)]
    else:
        return None
    found = (_said_twice(piece, f"{at}{name}."[:200]) for name, piece in pieces)
    return next((one for one in found if one is not None), None)


def _no_number(_name: str) -> float:
    # No JSON, and read by many: refused like other numbers that cannot be kept.
    return math.nan


def _whole_number(text: str) -> int | float:
    return int(text) if len(text.lstrip("-")) <= LONGEST_NUMBER else math.inf


async def read_bytes(request: web.Request, *, seconds: float, at_most: int) -> bytes:
    """The body as it came. Raises Refused where it is too large, too slow, or breaks off."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while part := await request.content.readany():
                size += len(part)
                if size > at_most:
                    raise Refused(TOO_LARGE, f"at most {at_most} bytes are taken")
                parts.append(part)
    except TimeoutError:
        raise Refused(TOO_SLOW, f"the body did not come within {seconds:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(UNREADABLE, "the body is not framed as its headers say") from None
    return b"".join(parts)
