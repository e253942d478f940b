"""Another purchase: worth it, allowed, left, and for a job that is open."""

from dataclasses import dataclass, replace

import pytest

from shared.domain.slot import FailureCode
from shared.recipes.again import again_rule
from shared.recipes.variations import VARIATIONS

PASSES = "Prediction interrupted; please retry (code: PA)"


@dataclass(frozen=True)
class AJob:
    recipe: str = "variations"
    is_open: bool = True


@dataclass(frozen=True)
class ASlot:
    attempt: int = 1
    not_listed: int = 0


again = again_rule({"variations": VARIATIONS})


@pytest.mark.parametrize(
    ("job", "slot", "code", "error", "expected"),
    [
        (AJob(), ASlot(), FailureCode.PROVIDER, PASSES, True),
        (AJob(), ASlot(), FailureCode.ABORTED, None, True),
        (AJob(), ASlot(VARIATIONS.attempts - 1), FailureCode.PROVIDER, PASSES, True),
        (AJob(), ASlot(VARIATIONS.attempts), FailureCode.PROVIDER, PASSES, False),
        (AJob(), ASlot(VARIATIONS.attempts, not_listed=1), FailureCode.PROVIDER, PASSES, True),
        (AJob(is_open=False), ASlot(), FailureCode.PROVIDER, PASSES, False),
        (AJob(recipe="gone"), ASlot(), FailureCode.PROVIDER, PASSES, False),
        (AJob(), ASlot(), FailureCode.PROVIDER, "out of memory (E1001)", False),
        (AJob(), ASlot(), FailureCode.NSFW, "NSFW content detected", False),
        (AJob(), ASlot(), FailureCode.CANCELED, None, False),
        (AJob(), ASlot(), FailureCode.EXPIRED, None, False),
    ],
)
def test_another_purchase_is_made_where_it_is_worth_it(
    job: AJob, slot: ASlot, code: FailureCode, error: str | None, expected: bool
) -> None:
    assert again(job, slot, code, error) is expected


def test_a_recipe_may_pay_again_for_files_that_expired() -> None:
    paying = again_rule({"variations": replace(VARIATIONS, pays_again_when_expired=True)})

    assert paying(AJob(), ASlot(), FailureCode.EXPIRED, None)
