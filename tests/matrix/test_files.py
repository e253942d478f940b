"""F15 at small counts."""

import pytest

from tests.matrix import files
from tests.matrix.ground import Ground
from tests.matrix.ill_bucket import Ill
from tests.matrix.promises import broken


@pytest.mark.parametrize("ill", Ill)
async def test_every_output_is_ours_whatever_the_bucket_says_at_first(
    ground: Ground, ill: Ill
) -> None:
    assert broken(await files.of_the_bucket(ill)(ground, 6)) == []


@pytest.mark.parametrize("name", ["429", "500", "truncated"])
async def test_every_output_is_ours_whatever_its_host_says_at_first(
    ground: Ground, name: str
) -> None:
    assert broken(await files.of_the_host(name)(ground, 6)) == []


async def test_a_host_that_sends_us_elsewhere_is_not_followed(ground: Ground) -> None:
    assert broken(await files.redirected(ground, 6)) == []


async def test_what_is_gone_is_expired_and_its_job_ends(ground: Ground) -> None:
    assert broken(await files.expired(ground, 6)) == []


async def test_what_expires_first_is_brought_back_first(ground: Ground) -> None:
    assert broken(await files.earliest_first(ground, 12)) == []
