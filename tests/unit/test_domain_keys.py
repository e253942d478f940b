"""Keys: an order reads nobody else's files, and a name that was sent makes no path."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import keys

JOB = UUID("11111111-2222-4333-8444-555555555555")
OTHER = UUID("99999999-2222-4333-8444-555555555555")


def test_an_order_may_name_what_lies_in_its_own_folder() -> None:
    assert keys.allowed_source(f"jobs/{JOB}/original/IMG_0001.jpg", JOB)


@pytest.mark.parametrize(
    "key",
    [
        f"jobs/{OTHER}/original/a.jpg",
        f"jobs/{JOB}/generated/1-1-0.png",
        f"jobs/{JOB}/original/../../{OTHER}/original/a.jpg",
        f"jobs/{JOB}/original/./a.jpg",
        f"jobs/{JOB}/original//a.jpg",
        f"/jobs/{JOB}/original/a.jpg",
        f"jobs/{JOB}/original/",
        f"jobs/{JOB}/original/a\x00.jpg",
        f"jobs/{JOB}/original/a\nb.jpg",
        f"jobs/{JOB}/original/" + "a" * 1024,
        "https://example.com/a.jpg",
        "",
    ],
)
def test_an_order_may_name_nothing_else(key: str) -> None:
    assert not keys.allowed_source(key, JOB)


def test_a_configured_folder_may_be_named_too() -> None:
    assert keys.allowed_source("incoming/2026/a.jpg", JOB, ("incoming/",))
    assert not keys.allowed_source("incoming/../jobs/a.jpg", JOB, ("incoming/",))


def test_an_original_says_which_job_it_lies_beside() -> None:
    assert keys.job_beside(f"jobs/{JOB}/original/a.jpg") == JOB
    assert keys.job_beside(f"{keys.originals(OTHER)}2026/a.jpg") == OTHER


@pytest.mark.parametrize(
    "key",
    [
        "incoming/2026/a.jpg",
        f"incoming/jobs/{JOB}/original/a.jpg",
        f"jobs/{JOB}/generated/1-1-0.png",
        f"jobs/{str(JOB).replace('-', '')}/original/a.jpg",
        "jobs/mine/original/a.jpg",
        "jobs",
        "",
    ],
)
def test_what_lies_elsewhere_names_no_job(key: str) -> None:
    assert keys.job_beside(key) is None


@given(st.integers(1, 9999), st.integers(1, 99), st.integers(0, 99))
def test_two_files_of_a_job_never_share_a_key(ordinal: int, attempt: int, index: int) -> None:
    one = keys.generated(JOB, ordinal, attempt, index, "image/png")

    assert one == f"jobs/{JOB}/generated/{ordinal}-{attempt}-{index}.png"
    assert one != keys.generated(JOB, ordinal, attempt + 1, index, "image/png")
    assert one != keys.derived(
        JOB, ordinal, attempt, index, variant="thumb", content_type="image/png"
    )


@pytest.mark.parametrize(
    ("key", "copy"),
    [
        (f"jobs/{JOB}/generated/3-2-0.png", f"jobs/{OTHER}/generated/3-0-0.png"),
        (f"jobs/{JOB}/derived/3-2-1-quantised.png", f"jobs/{OTHER}/derived/3-0-1-quantised.png"),
        (f"jobs/{JOB}/prepared/1-stencil.png", f"jobs/{OTHER}/prepared/1-0-stencil.png"),
    ],
)
def test_what_is_taken_over_lies_where_nothing_is_ever_made(key: str, copy: str) -> None:
    assert keys.reused(key, OTHER) == copy
    # Taken over once more it has the same place again.
    assert keys.reused(copy, JOB) == copy.replace(str(OTHER), str(JOB))
