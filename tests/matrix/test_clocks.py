"""F18 at a small count."""

import pytest

from tests.matrix import clocks
from tests.matrix.ground import Ground
from tests.matrix.promises import broken


@pytest.mark.skipif(not clocks.LIBRARY.exists(), reason=clocks.MISSING)
async def test_a_clock_that_is_ten_minutes_off_costs_nothing_and_blames_no_sender(
    ground: Ground,
) -> None:
    assert broken(await clocks.set_wrong(ground, 2)) == []
