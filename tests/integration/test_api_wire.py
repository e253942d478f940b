"""What comes over the line and is no good HTTP, or too much of it: short problems, and never ours."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.api.document import document
from tests.support.serving_api import Api, an_api
from tests.support.wire import Answered, a_line, answer_of, asked, said

ORDER = json.dumps({"recipe": "sound-effect", "params": {"prompt": "rain"}}).encode()
JSON = "Content-Type: application/json"
PLAIN_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ORDER), ORDER)
JOB = "7b2f6a52-6d0c-4a55-9e0e-0c5f7c0a9b11"


@pytest_asyncio.fixture
async def api(service_environment: dict[str, str]) -> AsyncIterator[Api]:
    async with an_api(
        service_environment, api_body_seconds=0.5, api_requests_per_second=0
    ) as running:
        yield running


def is_a_problem(answered: Answered) -> None:
    """A short problem document that tells nothing of what runs here."""
    assert answered.headers["content-type"] == "application/problem+json", answered.whole
    assert answered.problem["status"] == answered.status
    assert set(answered.problem) == {"title", "status", "detail", "code", "faults"}
    assert len(answered.whole) < 4096
    assert re.search(rb"Traceback|aiohttp|[Pp]ython|\.py\b|llhttp", answered.whole) is None
    assert answered.headers["server"] == "darkroom"
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["cache-control"] == "no-store"


# What is sent, and by which status it is refused.
NOT_HTTP: dict[str, tuple[bytes, int]] = {
    "nonsense": (b"hello\r\n\r\n", 400),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + b"\x00" * 40 + b"\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", 400),
    "HTTP/9.9": (b"GET /v1 HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    "no target": (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a NUL in the path": (asked("GET", b"/v1/\x00jobs"), 400),
    "a space in the path": (asked("GET", "/v1/jobs /x"), 400),
    "a lower-case method": (asked("get", "/v1"), 400),
    "a method of signs": (asked("G(T", "/v1"), 400),
    "a NUL in a header": (asked("GET", "/v1", b"X-A: a\x00b"), 400),
    "a bare line feed in a header": (asked("GET", "/v1", b"X-A: a\nX-B: c"), 400),
    "a space before the colon": (asked("GET", "/v1", "X-A : b"), 400),
    "a folded header": (asked("GET", "/v1", "X-A: b\r\n c"), 400),
    "a header without a name": (asked("GET", "/v1", ": b"), 400),
    "a header without a colon": (asked("GET", "/v1", "X-A"), 400),
    "a line of 100 KB": (asked("GET", "/v1/" + "a" * 100_000), 400),
    "a header of 100 KB": (asked("GET", "/v1", "X-A: " + "a" * 100_000), 400),
    "10,000 headers": (asked("GET", "/v1", *(f"X-{n}: a" for n in range(10_000))), 400),
    "65 headers": (asked("GET", "/v1", *(f"X-{n}: a" for n in range(65))), 400),
    "two lengths": (
        asked("POST", "/v1/jobs", JSON, "Content-Length: 5", "Content-Length: 6", body=ORDER),
        400,
    ),
    "a length of words": (asked("POST", "/v1/jobs", JSON, "Content-Length: five", body=ORDER), 400),
    "a length with a sign": (
        asked("POST", "/v1/jobs", JSON, "Content-Length: +5", body=ORDER),
        400,
    ),
    "a length below nothing": (
        asked("POST", "/v1/jobs", JSON, "Content-Length: -5", body=ORDER),
        400,
    ),
    "a length beyond all": (
        asked("POST", "/v1/jobs", JSON, "Content-Length: " + "9" * 40, body=ORDER),
        400,
    ),
    "a length and chunks": (
        asked(
            *("POST", "/v1/jobs", JSON, "Content-Length: 5", "Transfer-Encoding: chunked"),
            body=PLAIN_CHUNK,
        ),
        400,
    ),
    "chunks and a length": (
        asked(
            *("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked", "Content-Length: 5"),
            body=PLAIN_CHUNK,
        ),
        400,
    ),
    "chunks twice": (
        asked(
            *("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
            body=PLAIN_CHUNK,
        ),
        400,
    ),
    "chunks not last": (
        asked("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked, identity", body=PLAIN_CHUNK),
        400,
    ),
    "chunks by another name": (
        asked("POST", "/v1/jobs", JSON, "Transfer-Encoding: xchunked", body=PLAIN_CHUNK),
        400,
    ),
    "chunks behind a tab": (
        asked("POST", "/v1/jobs", JSON, "Transfer-Encoding:\x0bchunked", body=PLAIN_CHUNK),
        400,
    ),
}

# HTTP, and refused by its name.
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "an unknown expectation": (
        asked("POST", "/v1/jobs", JSON, "Expect: the-unexpected", body=ORDER),
        417,
        "unmet",
    ),
    "an unknown expectation elsewhere": (asked("GET", "/x", "Expect: tea"), 417, "unmet"),
    "no length": (asked("POST", "/v1/jobs", JSON, close=True), 400, "unreadable"),
    "zipped": (
        asked("POST", "/v1/jobs", JSON, "Content-Encoding: gzip", body=ORDER),
        415,
        "not_json",
    ),
    "zipped twice": (
        asked("POST", "/v1/jobs", JSON, "Content-Encoding: gzip, br", body=ORDER),
        415,
        "not_json",
    ),
    "an encoding of nobody": (
        asked("POST", "/v1/jobs", JSON, "Content-Encoding: \xff", body=ORDER),
        415,
        "not_json",
    ),
    "a form": (
        asked("POST", "/v1/jobs", "Content-Type: application/x-www-form-urlencoded", body=b"a=b"),
        415,
        "not_json",
    ),
    "several parts": (
        asked("POST", "/v1/jobs", "Content-Type: multipart/form-data; boundary=a", body=b"--a"),
        415,
        "not_json",
    ),
    "a type that is none": (
        asked("POST", "/v1/jobs", "Content-Type: ;;;", body=b"{}"),
        415,
        "not_json",
    ),
    "a hundred megabytes, said": (
        asked("POST", "/v1/jobs", JSON, "Content-Length: 100000000", body=b"{"),
        413,
        "too_large",
    ),
    "a body that does not come": (
        asked("POST", "/v1/jobs", JSON, "Content-Length: 100", body=b"{"),
        408,
        "too_slow",
    ),
    "chunks that do not come": (
        asked("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked", body=b"5\r\n{"),
        408,
        "too_slow",
    ),
    "a proxy's request": (asked("GET", "http://evil.example/v1/nothing"), 404, "unknown_path"),
    "a tunnel": (
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        404,
        "unknown_path",
    ),
    "a star": (asked("OPTIONS", "*"), 404, "unknown_path"),
    "an invented method": (asked("PROPFIND", "/v1/jobs"), 405, "wrong_method"),
    "a trace": (asked("TRACE", "/v1/jobs", "X-Secret: 1"), 405, "wrong_method"),
    "dots": (asked("GET", "/v1/../../etc/passwd"), 404, "unknown_path"),
    "encoded dots": (asked("GET", "/v1/%2e%2e/%2e%2e/etc/passwd"), 404, "unknown_path"),
    "an encoded slash": (asked("GET", f"/v1/jobs/{JOB}%2fevents"), 404, "unknown_job"),
    "an encoded NUL": (asked("GET", "/v1/jobs/%00"), 404, "unknown_job"),
    "an encoding that is none": (asked("GET", "/v1/jobs/%zz%"), 404, "unknown_job"),
    "letters that are none": (asked("GET", "/v1/jobs/%ff%fe%ed%a0%80"), 404, "unknown_job"),
    "raw letters that are none": (asked("GET", b"/v1/jobs/\xff\xfe"), 400, "unreadable"),
    "a path of semicolons": (asked("GET", "/v1/jobs;a=b"), 404, "unknown_path"),
    "two slashes": (asked("POST", "//v1/jobs", JSON, body=ORDER), 404, "unknown_path"),
    "a query of nobody": (asked("GET", "/v1/jobs?%ff=%ed%a0%80"), 422, "flawed"),
    "a raw query of nobody": (asked("GET", b"/v1/jobs?\xff=\xfe"), 400, "unreadable"),
    "a filter that is no text": (asked("GET", "/v1/jobs?external_ref=%ff%00"), 422, "flawed"),
    "a time before all": (
        asked("GET", "/v1/jobs?since=0001-01-01T00:00:00%2B23:59"),
        422,
        "flawed",
    ),
    "a time after all": (asked("GET", "/v1/jobs?since=9999-12-31T23:59:59-23:59"), 422, "flawed"),
    "a limit in other digits": (asked("GET", "/v1/jobs?limit=%D9%A3"), 422, "flawed"),
    "two keys": (
        asked("POST", "/v1/jobs", JSON, "Idempotency-Key: a", "Idempotency-Key: b", body=ORDER),
        422,
        "flawed",
    ),
    "a key that is none": (
        asked("POST", "/v1/jobs", JSON, b"Idempotency-Key: \xff\xfe", body=ORDER),
        422,
        "flawed",
    ),
    "a host of somebody else": (
        asked("GET", "/v1/jobs", "Host: evil.example"),
        403,
        "from_elsewhere",
    ),
    "a host that is none": (asked("GET", "/v1/jobs", "Host: [::1"), 403, "from_elsewhere"),
    "no host": (b"GET /v1/jobs HTTP/1.0\r\n\r\n", 403, "from_elsewhere"),
    "an origin that is none": (
        asked("GET", "/v1/jobs", b"Origin: \xff"),
        403,
        "from_elsewhere",
    ),
}


async def test_what_is_no_http_is_refused_shortly_and_nothing_of_it_is_an_order(api: Api) -> None:
    answers = {name: await said(api.front.url, sent) for name, (sent, _) in NOT_HTTP.items()}

    wanted = {name: status for name, (_, status) in NOT_HTTP.items()}
    assert {name: answered.status for name, answered in answers.items()} == wanted
    for answered in answers.values():
        is_a_problem(answered)
        assert answered.closed, answered.whole
    await takes_orders_and_has_none(api)


async def test_what_is_http_and_cannot_be_meant_is_refused_by_name(api: Api) -> None:
    answers = {name: await said(api.front.url, sent) for name, (sent, *_) in REFUSED.items()}

    wanted = {name: (status, code) for name, (_, status, code) in REFUSED.items()}
    told = {name: (answered.status, answered.code) for name, answered in answers.items()}
    assert {n: one for n, one in told.items() if one != wanted[n]} == {}
    for answered in answers.values():
        is_a_problem(answered)
    await takes_orders_and_has_none(api)


async def takes_orders_and_has_none(api: Api) -> None:
    listed = await api.front.get("/v1/jobs")
    ordered = await api.front.ask(
        "POST", "/v1/jobs", data=ORDER, headers={"Content-Type": "application/json"}
    )

    assert listed.body["jobs"] == []
    assert ordered.status == 202


async def test_what_hides_behind_a_body_is_no_second_request(api: Api) -> None:
    hidden = asked("POST", "/v1/jobs", JSON, body=ORDER)
    for smuggling in (
        asked(
            *("POST", "/v1/jobs", JSON, "Content-Length: 4", "Transfer-Encoding: chunked"),
            body=b"0\r\n\r\n" + hidden,
            close=False,
        ),
        asked(
            *("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked"),
            body=b"0;\n" + hidden,
            close=False,
        ),
        asked(
            *("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked"),
            body=b"0x0\r\n\r\n" + hidden,
            close=False,
        ),
        # Refused before its body was read: what is left on the line must not be taken for another.
        asked(
            *("POST", "/v1/jobs", "Content-Type: text/plain", f"Content-Length: {len(hidden)}"),
            body=hidden,
            close=False,
        ),
        asked(
            *("POST", "/v1/jobs", JSON, "Content-Encoding: gzip", f"Content-Length: {len(hidden)}"),
            body=hidden,
            close=False,
        ),
    ):
        answered = await said(api.front.url, smuggling)
        assert 400 <= answered.status < 500, answered.whole
        is_a_problem(answered)

    assert (await api.front.get("/v1/jobs")).body["jobs"] == []


async def test_a_hundred_megabytes_are_not_read(service_environment: dict[str, str]) -> None:
    head = asked("POST", "/v1/jobs", JSON, "Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"

    # However slowly they come: it is their number that ends it.
    async with an_api(service_environment, api_body_seconds=60) as api:
        answered = await said(api.front.url, head, *([chunk] * 1600), within=60)

    # The line may be cut before the answer was read: whoever sends that much was told to stop.
    assert answered.status in (0, 413)


async def test_a_line_may_ask_for_more_than_one_thing_and_is_answered_in_turn(api: Api) -> None:
    async with a_line(api.front.url) as (reader, writer), asyncio.timeout(20):
        writer.write(
            asked("GET", "/v1/docs.css", close=False)
            + asked("GET", "/v1/nothing", close=False)
            + asked("POST", "/v1/jobs", JSON, "Expect: 100-continue", body=ORDER)
        )
        first, second = await answer_of(reader), await answer_of(reader)
        go_on = await reader.readuntil(b"\r\n\r\n")
        third = await answer_of(reader)

    assert (first.status, second.status, third.status) == (200, 404, 202)
    assert go_on == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("version", ["8", "13", "x"])
async def test_a_socket_of_the_web_is_a_request_like_any_other(api: Api, version: str) -> None:
    answered = await said(
        api.front.url,
        asked(
            *("GET", "/v1/recipes", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Sec-WebSocket-Version: {version}"),
        ),
    )

    assert answered.status == 200
    assert "upgrade" not in answered.headers


async def test_what_may_be_answered_to_anything_is_in_the_document() -> None:
    for methods in document()["paths"].values():
        for what in methods.values():
            assert {"400", "417", "500", "503"} <= set(what["responses"])
