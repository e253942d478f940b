"""Where a list goes on: opaque to whoever carries it, and worthless to whoever invents one. Pure."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

_FORM = struct.Struct(">Bq16s")
_VERSION = 1
PATTERN = "^[A-Za-z0-9_-]{34}$"  # the length of the form in base64
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Place = tuple[datetime, UUID]


def written(place: Place) -> str:
    """The cursor behind the job that was entered then under that id."""
    at, job_id = place
    packed = _FORM.pack(_VERSION, (at - _BEGIN) // _MICROSECOND, job_id.bytes)
    return urlsafe_b64encode(packed).decode().rstrip("=")


def read(cursor: str) -> Place:
    """Raises ValueError for what was never one."""
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        version, microseconds, job_id = _FORM.unpack(packed)
        place = _BEGIN + microseconds * _MICROSECOND, UUID(bytes=job_id)
    except (ValueError, struct.error, OverflowError):
        raise ValueError("is no cursor of ours") from None
    # One place has one name: letters that decoding overlooks make another one.
    if version != _VERSION or written(place) != cursor:
        raise ValueError("is no cursor of ours")
    return place
