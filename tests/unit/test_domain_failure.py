"""What a verdict means, and which one is worth another purchase."""

import pytest

from shared.domain.failure import failure_code, failure_words, provider_fault_passes
from shared.domain.prediction import Status
from shared.domain.slot import FailureCode

NSFW = "NSFW content detected. Try running it again, or try a different prompt."
INTERRUPTED = "Prediction interrupted; please retry (code: PA)"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (Status.FAILED, NSFW, FailureCode.NSFW),
        (Status.FAILED, "nsfw", FailureCode.NSFW),
        (Status.FAILED, "unsfwriter.py crashed", FailureCode.PROVIDER),
        (Status.FAILED, None, FailureCode.PROVIDER),
        (Status.CANCELED, NSFW, FailureCode.CANCELED),
        (Status.ABORTED, None, FailureCode.ABORTED),
    ],
)
def test_a_verdict_has_one_code(status: Status, error: str | None, code: FailureCode) -> None:
    assert failure_code(status, error) is code


@pytest.mark.parametrize(
    "error", ["E1000: unknown", "(E6716)", "E8367", "E8765", "E9243", "E9825", INTERRUPTED]
)
def test_a_passing_fault_of_the_provider_is_worth_another_attempt(error: str) -> None:
    assert provider_fault_passes(FailureCode.PROVIDER, error)


def test_a_run_that_never_began_is_worth_another_attempt() -> None:
    assert provider_fault_passes(FailureCode.ABORTED, None)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (FailureCode.PROVIDER, "E1001: out of memory"),
        (FailureCode.PROVIDER, "E4875"),
        (FailureCode.PROVIDER, "E10000"),
        (FailureCode.PROVIDER, None),
        (FailureCode.NSFW, INTERRUPTED),
        (FailureCode.CANCELED, INTERRUPTED),
        (FailureCode.EXPIRED, None),
    ],
)
def test_what_would_come_again_is_not_paid_for_again(code: FailureCode, error: str | None) -> None:
    assert not provider_fault_passes(code, error)


def test_the_words_of_a_failure_carry_no_link() -> None:
    told = failure_words(
        Status.FAILED, "cannot open https://s3.example/jobs/1/original/a.jpg?X-Amz-Signature=s now"
    )

    assert told == "cannot open [link] now"


def test_a_verdict_without_words_says_so() -> None:
    assert failure_words(Status.ABORTED, None) == (
        "the provider ended the prediction as aborted and gave no reason"
    )
