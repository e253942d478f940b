"""F12 at a small count."""

import pytest

from tests.matrix import disorder
from tests.matrix.ground import Ground
from tests.matrix.promises import broken


async def test_no_order_of_the_news_ever_moves_a_state_back(ground: Ground) -> None:
    assert broken(await disorder.disorder(ground, 1_000)) == []


async def test_a_state_that_went_back_would_be_seen(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(disorder.FAR["prediction"], "starting", 8)  # as if it came after the rest

    assert broken(await disorder.disorder(ground, 300)) != []
