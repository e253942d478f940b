"""The trace context as a text: which goes on, and where it stands in an address."""

import pytest

from shared.domain.trace import read_traceparent, trace_id, traceparent_of_url

CONTEXT = f"00-{7:032x}-{9:016x}-01"
URL = "https://darkroom.example/webhooks/replicate?slot=a.1.1.b"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "junk",
        f"00-{0:032x}-{9:016x}-01",  # the trace that is none
        f"00-{7:032x}-{0:016x}-01",  # the step that is none
        f"01-{7:032x}-{9:016x}-01",  # a version that may mean something else
        CONTEXT.upper().replace("00-", "00-A", 1),
        CONTEXT + "-more",
        CONTEXT + "\n",
    ],
)
def test_what_is_no_context_goes_no_further(text: str | None) -> None:
    assert read_traceparent(text) is None


def test_a_context_is_read_as_it_stands_and_names_its_trace() -> None:
    assert read_traceparent(CONTEXT) == CONTEXT
    assert trace_id(CONTEXT) == f"{7:032x}"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"{URL}&traceparent={CONTEXT}", CONTEXT),
        (f"/webhooks/replicate?traceparent={CONTEXT}&slot=a", CONTEXT),
        (f"{URL}&traceparent={CONTEXT}&traceparent={CONTEXT}", None),
        (f"{URL}&traceparent={CONTEXT}0", None),
        (f"{URL}&nottraceparent={CONTEXT}", None),
        (f"{URL}&traceparent={'0' * 55}", None),
        (URL, None),
        (None, None),
    ],
)
def test_a_webhooks_address_names_the_step_that_it_follows(
    url: str | None, found: str | None
) -> None:
    assert traceparent_of_url(url) == found
