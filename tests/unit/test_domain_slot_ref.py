"""The slot's name in a webhook URL."""

from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.slot_ref import SlotRef, read_slot_ref, slot_ref_of_url

REF = SlotRef(UUID("0b0e5c2a-54f0-4d0e-9b8b-0f6f6c1f7d11"), 3, 2, "a" * 22)
URL = "https://darkroom.example/webhooks/replicate"

refs = st.builds(
    SlotRef,
    st.uuids(),
    st.integers(1, 999_999),
    st.integers(1, 9_999),
    st.from_regex(r"[A-Za-z0-9_-]{16,64}", fullmatch=True),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(refs)
def test_a_name_is_read_back_as_it_was_written(ref: SlotRef) -> None:
    assert read_slot_ref(str(ref)) == ref
    assert slot_ref_of_url(f"{URL}?slot={quote(str(ref))}&context=1") == ref


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        f" {REF}",
        f"{REF}\n",
        str(REF).upper(),
        str(REF).replace(".3.", ".0."),
        str(REF).replace(".3.", ".-3."),
        str(REF).replace(".2.", ".99999."),
        str(REF).replace("a" * 22, "a" * 15),
        str(REF).replace("a" * 22, "a" * 65),
        str(REF).replace("a" * 22, "ä" * 22),
        "x" * 100_000,
    ],
)
def test_what_is_not_exactly_a_name_names_no_slot(text: str | None) -> None:
    assert read_slot_ref(text) is None


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        URL,
        f"{URL}?slot=",
        f"{URL}?slot={REF}&slot={REF}",
        "http://[",
        f"{URL}#slot={REF}",
    ],
)
def test_a_url_without_exactly_one_slot_names_none(url: str | None) -> None:
    assert slot_ref_of_url(url) is None


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text())
def test_no_url_is_an_error(url: str) -> None:
    slot_ref_of_url(url)
