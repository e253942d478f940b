"""What counts as the beginning of an id, and which ids begin so."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.beginning import LEAST, digits_of, span


@given(st.uuids(), st.integers(LEAST, 32))
def test_every_id_lies_in_the_span_of_each_of_its_beginnings(one: UUID, length: int) -> None:
    first, last = span(one.hex[:length])

    assert first <= one <= last
    assert first.hex[:length] == last.hex[:length]
    # Their text is in the same order: it is what an index of texts goes by.
    assert str(first) <= str(one) <= str(last)


@given(st.uuids(), st.uuids(), st.integers(LEAST, 32))
def test_no_other_id_does(one: UUID, other: UUID, length: int) -> None:
    first, last = span(one.hex[:length])

    assert (first <= other <= last) == (other.hex[:length] == one.hex[:length])


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (" 7B2F6A52 ", "7b2f6a52"),
        ("7b2f6a52-0d", "7b2f6a520d"),
        ("7b2f6a5", None),
        ("7b2f6a5g", None),
        ("0" * 33, None),
        ("", None),
    ],
)
def test_digits_are_read_as_people_copy_them(text: str, digits: str | None) -> None:
    assert digits_of(text) == digits
