"""F11 at a small count."""

from tests.matrix import again
from tests.matrix.ground import Ground
from tests.matrix.promises import broken


async def test_a_webhook_that_comes_again_moves_nothing_however_late(ground: Ground) -> None:
    assert broken(await again.each_webhook_again(ground, 15)) == []
