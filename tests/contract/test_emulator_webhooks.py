"""Deliveries: signed as the standard says, repeated only where the provider repeats."""

import base64
import json
from itertools import pairwise

import pytest
from svix.webhooks import Webhook, WebhookVerificationError

from deploy.local.emulator.webhooks import sign
from tests.support.emulated import Heard, World, a_world

OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret, 24 bytes").decode()


def test_the_published_test_vector_holds() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def verify(world: World, heard: Heard, *, secret: str | None = None) -> None:
    Webhook(secret or world.emulator.webhook_secret).verify(heard.raw, dict(heard.headers))


async def test_every_delivery_verifies_with_the_standards_own_library() -> None:
    async with a_world() as world:
        await world.bought()
        heard = await world.heard("the last word")

        for one in heard:
            verify(world, one)
        with pytest.raises(WebhookVerificationError):
            verify(world, heard[0], secret=OTHER_SECRET)


async def test_two_secrets_sign_every_delivery() -> None:
    own = "whsec_" + base64.b64encode(b"the older secret, 24 byt").decode()
    async with a_world(webhook_secret=f"{own},{OTHER_SECRET}") as world:
        await world.bought(events=("completed",))
        [heard] = await world.heard("the last word")

        verify(world, heard, secret=own)
        verify(world, heard, secret=OTHER_SECRET)


async def test_a_refused_last_word_comes_again_under_the_same_id_signed_anew() -> None:
    async with a_world(speed=1.0, cold_start_s=0, run_s=0.1) as world:
        world.buyer.answers = [500, 503, 404]
        await world.bought(events=("completed",))
        for attempt in range(1, 4):
            await world.written("delivery", attempt=attempt)
            world.emulator.clock.advance(60)
        heard = await world.heard("four attempts", lambda heard: len(heard) == 4)

        assert len({one.headers["webhook-id"] for one in heard}) == 1
        assert len({one.raw for one in heard}) == 1
        for one in heard:
            verify(world, one)
        attempts = await world.written("delivery", count=4)
        assert [one["status"] for one in attempts] == [500, 503, 404, 200]


async def test_the_last_attempt_comes_about_a_minute_after_the_first() -> None:
    async with a_world(speed=200.0) as world:
        world.buyer.answers = [500] * 20
        await world.bought(events=("completed",))
        [final] = await world.written("delivery", last=True)

        attempts = world.emulator.ledger.entries("delivery")
        waits = [round(later["t"] - earlier["t"]) for earlier, later in pairwise(attempts)]
        assert len(attempts) == 7
        assert 55 < final["t"] - attempts[0]["t"] < 75
        assert waits[-1] > waits[0]


async def test_a_webhook_in_between_is_never_tried_again() -> None:
    async with a_world() as world:
        world.buyer.answers = [500]
        await world.bought(events=("start", "completed"))
        heard = await world.heard("the last word")

        assert [one.status for one in heard] == ["starting", "succeeded"]
        [start] = world.emulator.ledger.entries("delivery", event="start")
        assert (start["status"], start["attempt"]) == (500, 1)


async def test_a_redirect_is_not_followed_and_loses_the_delivery() -> None:
    async with a_world() as world:
        world.buyer.answers = [301]
        await world.bought(events=("completed",))
        [delivery] = await world.written("delivery")
        world.emulator.clock.advance(120)

        assert (delivery["status"], delivery["heard"]) == (301, False)
        assert [one.path for one in world.buyer.heard] == ["/webhooks/replicate?slot=job.1.1.token"]


async def test_without_a_filter_only_outputs_and_the_end_are_told() -> None:
    async with a_world() as world:
        order = world.order()
        del order["webhook_events_filter"]
        await world.ask("POST", "/v1/predictions", order)
        heard = await world.heard("the last word")

        assert [one.status for one in heard] == ["processing", "succeeded"]
        assert heard[0].body["output"]


async def test_logs_are_told_at_most_twice_a_second() -> None:
    async with a_world(run_s=10) as world:
        await world.bought(events=("logs", "completed"))
        await world.heard("the last word")

        moments = [one["t"] for one in world.emulator.ledger.entries("delivery", event="logs")]
        assert 5 < len(moments) < 20


async def test_the_events_name_is_nowhere() -> None:
    async with a_world() as world:
        await world.bought()
        heard = await world.heard("the last word")

        assert all("event" not in one.body for one in heard)
        assert not {name for one in heard for name in one.headers if "event" in name.lower()}


async def test_a_receiver_that_is_away_is_written_down_and_tried_again() -> None:
    async with a_world(speed=500.0) as world:
        order = world.order(events=("completed",)) | {"webhook": "http://127.0.0.1:9/nobody"}
        await world.ask("POST", "/v1/predictions", order)
        [final] = await world.written("delivery", last=True)

        assert (final["status"], final["error"]) == (0, "ClientConnectorError")


async def test_the_query_of_the_webhook_arrives_whole() -> None:
    async with a_world() as world:
        await world.bought(events=("completed",))
        [heard] = await world.heard("the last word")

        assert heard.path == "/webhooks/replicate?slot=job.1.1.token"
        assert json.loads(heard.raw)["webhook"].endswith(heard.path)
