"""Refusals, worded as the real API words them (`application/problem+json`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One complaint of the input's schema; `type` is the schema library's word for it."""

    type: str
    field: str
    description: str


def problem(status: int, detail: str, *, title: str | None = None, **more: object) -> web.Response:
    body = {"detail": detail, "status": status, **more}
    if title is not None:
        body["title"] = title
    return web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/problem+json"
    )


def unauthenticated() -> web.Response:
    return problem(401, "You did not pass a valid authentication token", title="Unauthenticated")


def insufficient_credit() -> web.Response:
    return problem(
        402,
        "You have insufficient credit to run this model. Go to "
        "https://replicate.com/account/billing#billing to purchase credit. Once you purchase "
        "credit, please wait a few minutes before trying again.",
        title="Insufficient credit",
    )


def not_found() -> web.Response:
    return problem(404, "The requested resource could not be found.")


def unparsable(why: str) -> web.Response:
    return problem(400, f"Failed to parse request body as JSON: {why}")


def invalid_version() -> web.Response:
    return problem(
        422,
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
        title="Invalid version or not permitted",
    )


def invalid_input(complaints: Sequence[InvalidField]) -> web.Response:
    return problem(
        422,
        "".join(f"- {one.field}: {one.description}\n" for one in complaints),
        title="Input validation failed",
        invalid_fields=[
            {"type": one.type, "field": one.field, "description": one.description}
            for one in complaints
        ],
    )


def throttled(retry_after: int, *, low_credit: bool, header: bool) -> web.Response:
    """The wait is in the body; whether the real API also sends the header is not known."""
    reduced = (
        " Your rate limit for creating predictions is reduced to 6 requests per minute with a "
        "burst of 1 requests while you have less than $5.0 in credit."
    )
    response = problem(
        429,
        f"Request was throttled.{reduced if low_credit else ''} "
        f"Your rate limit resets in ~{retry_after}s.",
        retry_after=retry_after,
    )
    if header:
        response.headers["Retry-After"] = str(retry_after)
    return response


def too_large_file() -> web.Response:
    return web.json_response({"detail": "Files must be less than 100MB in size"}, status=413)


def broken(status: int) -> web.Response:
    """What a proxy in front of the API says when the API does not answer: no JSON."""
    reason = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}.get(
        status, "Error"
    )
    return web.Response(
        status=status,
        text=f"<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {reason}</h1></center>\r\n</body>\r\n</html>\r\n",
        content_type="text/html",
    )
