"""What the fuzzer checks beside its own: loaded by it, in its process."""

import re
from typing import Any

import schemathesis

# What a document cannot say: by the path of the fault, what is said of it.
BEYOND_A_SCHEMA = (
    # Who can never be called is the installation's to say: nobody, or a host that is not allowed.
    (
        r"callback_url",
        r"nobody is called back here.*|the address .*|only https on .*|\S+ (is|has) .*",
    ),
    (r"source\.key", r"the original must lie under .*"),
    (r"job_id", r"is not the job of this Idempotency-Key.*"),
    (r"timezone", r"there is no time zone .*"),
    (r"bytes", r"must be \d+ or less"),  # as large as this installation takes
    # JSON Schema counts 3.0 among the whole numbers; we do not.
    (r"params\..*|deadline_seconds|bytes", r"must be a whole number"),
    (r"cursor", r"is no cursor of ours"),
    (r"params\.surface", r"one side may be \d+ times as long as the other, no more"),
    (r"params\.colours", r"the same colour is named twice"),
    (r"params", r"at_least is \d+, and only \d+ are ordered"),
    (r".*", r"has a (name with a )?character that is none \(NUL or a surrogate\)"),
    (r".*", r"is nested deeper than 50 levels"),
)
PROBLEM = "application/problem+json"


@schemathesis.check
def valid_data_is_taken(_ctx: Any, response: Any, case: Any) -> None:
    """A valid request is refused only for what no schema can say."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 422:
        return
    for fault in response.json()["faults"]:
        known = any(
            re.fullmatch(path, fault["path"]) and re.fullmatch(what, fault["what"], re.DOTALL)
            for path, what in BEYOND_A_SCHEMA
        )
        assert known, f"a valid request is refused: {fault['path']}: {fault['what']}"


@schemathesis.check
def errors_are_problems(_ctx: Any, response: Any, case: Any) -> None:
    """Whatever is refused says so in the one shape that refusals have."""
    if response.status_code < 400 or case.method == "HEAD":
        return
    assert response.headers["content-type"] == [PROBLEM], response.headers["content-type"]
    told = response.json()
    assert told["status"] == response.status_code
    assert re.fullmatch(r"[a-z_]+", told["code"])
    assert "Traceback" not in response.text


@schemathesis.check
def nobody_says_what_runs_here(_ctx: Any, response: Any, _case: Any) -> None:
    """No answer names the server's software or its version."""
    for name in ("server", "x-powered-by"):
        said = response.headers.get(name, [])
        assert not any(re.search(r"\d|python|aiohttp", one, re.IGNORECASE) for one in said), said
