"""F19, once each: what needs no disk of its own."""

from tests.matrix import full
from tests.matrix.ground import Ground
from tests.matrix.promises import broken


async def test_a_service_that_may_open_nothing_more_goes_on_by_itself_afterwards(
    ground: Ground,
) -> None:
    assert broken(await full.nothing_left_to_open(ground, 1)) == []


async def test_a_pool_that_is_taken_whole_holds_everything_up_and_loses_nothing(
    ground: Ground,
) -> None:
    assert broken(await full.every_connection_taken(ground, 1)) == []
