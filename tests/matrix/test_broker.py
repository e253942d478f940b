"""F14 at small counts."""

from tests.matrix import broker
from tests.matrix.ground import Ground
from tests.matrix.promises import broken


async def test_what_no_queue_takes_is_a_loud_error_and_no_ack(ground: Ground) -> None:
    assert broken(await broker.unroutable(ground, 60)) == []


async def test_what_a_full_queue_refuses_is_a_loud_error_and_no_ack(ground: Ground) -> None:
    assert broken(await broker.nacked(ground, 60)) == []


async def test_a_confirm_that_was_lost_is_unknown_and_no_ack(ground: Ground) -> None:
    assert broken(await broker.lost_confirm(ground, 20)) == []


async def test_two_publishes_of_one_fact_each_get_their_own_word(ground: Ground) -> None:
    assert broken(await broker.duplicate_in_flight(ground, 60)) == []


async def test_a_consumer_comes_back_to_a_queue_that_was_deleted(ground: Ground) -> None:
    assert broken(await broker.queue_deleted(ground, 2)) == []


async def test_a_consumer_that_the_broker_forgot_comes_back(ground: Ground) -> None:
    assert broken(await broker.queue_replaced(ground, 2)) == []


async def test_a_queue_with_other_arguments_is_named_and_left_as_it_is(ground: Ground) -> None:
    assert broken(await broker.argument_drift(ground, 2)) == []
