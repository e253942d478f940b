"""F21 at a small count."""

import pytest

from tests.matrix import flood
from tests.matrix.ground import Ground
from tests.matrix.promises import broken


async def test_of_a_burst_each_webhook_is_taken_or_told_to_come_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flood, "BURST", 600)
    monkeypatch.setattr(flood, "BURST_S", 0.3)

    assert broken(await flood.burst(ground, 1)) == []
