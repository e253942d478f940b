"""The body of a request, read within a size and a time."""

import asyncio

from aiohttp import web

from services.ingress.answers import (
    MALFORMED,
    NO_LENGTH,
    NOT_JSON,
    TOO_LARGE,
    TOO_SLOW,
    Refused,
)

# Beyond the first seconds a body must keep coming at this pace, so that a large one over a thin
# line arrives, and one that drips does not hold its connection.
BYTES_PER_SECOND_AT_LEAST = 1024 * 1024


def check_size_and_kind(request: web.Request, *, max_bytes: int) -> None:
    """Refuse by the headers alone what is too large, not plain, or not JSON."""
    declared = request.content_length
    if declared is None:
        if "Transfer-Encoding" not in request.headers:
            raise Refused(NO_LENGTH, "send a body with its Content-Length")
    elif declared > max_bytes:
        raise Refused(TOO_LARGE, f"at most {max_bytes} bytes are taken")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Refused(NOT_JSON, "the body must not be compressed or otherwise encoded")
    kind = request.headers.get("Content-Type")
    # Replicate's own wording is not documented: whatever says JSON, or nothing at all, will do.
    if kind and "json" not in kind.lower():
        raise Refused(NOT_JSON, "the content type must be application/json")


async def read_body(request: web.Request, *, max_bytes: int, seconds: float) -> bytes:
    """The body as it was sent. Raises Refused when it is too large, too slow or torn."""
    content = request.content
    if (
        content.is_eof() and content.exception() is None
    ):  # it came together with its headers, as small ones do
        return _within(content.read_nowait(), max_bytes)
    started = asyncio.get_running_loop().time()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout_at(started + seconds) as deadline:
            while part := await content.readany():
                parts.append(part)
                size += len(_within(part, max_bytes - size))
                deadline.reschedule(started + seconds + size / BYTES_PER_SECOND_AT_LEAST)
    except TimeoutError:
        raise Refused(TOO_SLOW, f"nothing whole came within {seconds:g} s") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refused(MALFORMED, "the body is not framed as its headers say") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _within(part: bytes, left: int) -> bytes:
    if len(part) > left:
        raise Refused(TOO_LARGE, "the body is larger than what is taken")
    return part
