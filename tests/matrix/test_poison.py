"""F16 at small counts. What the others suffer is measured by the row alone: one message in a hundred
of so few says nothing of a p99, and a busy machine says anything."""

import pytest

from tests.matrix import poison
from tests.matrix.ground import Ground
from tests.matrix.promises import Promise, Run, broken

FEW = 120


def of_the_messages(promises: list[Promise]) -> list[Promise]:
    return [promise for promise in broken(promises) if "p99" not in promise.what]


@pytest.mark.parametrize("kind", [poison.crashing, poison.hanging, poison.malformed])
async def test_poison_is_parked_after_five_starts_and_nobody_else(
    ground: Ground, kind: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "REPLICAS", 2)

    assert of_the_messages(await kind(ground, FEW)) == []
