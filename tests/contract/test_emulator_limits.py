"""How often one may ask."""

from deploy.local.emulator.limits import Bucket
from tests.support.emulated import a_world


class Wall:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_minute_gives_as_many_as_it_should() -> None:
    wall = Wall()
    bucket = Bucket(per_minute=60, burst=10, now=wall)

    at_once = sum(bucket.take() is None for _ in range(10))
    refused = bucket.take()
    wall.seconds += 1.001

    assert at_once == 10
    assert refused is not None
    assert refused.retry_after == 1
    assert bucket.take() is None


def test_whoever_waits_as_told_gets_through_and_whoever_hammers_never_does() -> None:
    wall = Wall()
    bucket = Bucket(per_minute=6, burst=1, now=wall)
    bucket.take()

    hammered = []
    for _ in range(20):
        wall.seconds += 5
        hammered.append(bucket.take())
    last = hammered[-1]
    assert last is not None
    wall.seconds += last.retry_after

    assert all(hammered)
    assert bucket.take() is None


async def test_what_is_left_is_told_with_every_answer() -> None:
    async with a_world() as world:
        _, _, created = await world.ask("POST", "/v1/predictions", world.order())
        _, _, listed = await world.ask("GET", "/v1/predictions")

        assert (created["ratelimit-remaining"], created["ratelimit-reset"]) == ("599", "1")
        assert listed["ratelimit-remaining"] == "2999"


async def test_creates_beyond_the_limit_are_throttled_and_reads_are_not() -> None:
    async with a_world(creates_per_minute=2) as world:
        answers = [await world.ask("POST", "/v1/predictions", world.order()) for _ in range(3)]
        read, _, _ = await world.ask("GET", "/v1/predictions")

        assert [status for status, _, _ in answers] == [201, 201, 429]
        _, body, _ = answers[-1]
        assert body["retry_after"] == 30
        assert body["detail"] == "Request was throttled. Your rate limit resets in ~30s."
        assert read == 200
        assert len(world.emulator.ledger.entries("purchase")) == 2


async def test_a_refused_create_has_counted() -> None:
    async with a_world(creates_per_minute=2) as world:
        wrong, right = world.order(num_outputs=9), world.order()
        answers = [
            await world.ask("POST", "/v1/predictions", order) for order in (wrong, wrong, right)
        ]

        assert [status for status, _, _ in answers] == [422, 422, 429]


async def test_low_credit_leaves_six_a_minute_and_says_why() -> None:
    async with a_world(low_credit=True) as world:
        await world.buy()
        status, body, _ = await world.ask("POST", "/v1/predictions", world.order())

        assert status == 429
        assert "reduced to 6 requests per minute with a burst of 1" in body["detail"]
        assert body["retry_after"] == 10


async def test_the_header_can_be_had_beside_the_body() -> None:
    async with a_world(creates_per_minute=1, retry_after_header=True) as world:
        await world.buy()
        _, body, headers = await world.ask("POST", "/v1/predictions", world.order())

        assert headers["Retry-After"] == str(body["retry_after"])
