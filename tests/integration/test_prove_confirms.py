"""What the broker has confirmed must come out, and is told where it does not."""

import asyncio
from contextlib import suppress

import pytest

from deploy.local.prove import confirms
from deploy.local.prove.confirms import Confirms
from deploy.local.stack import Isolation
from shared.clock import utc_now
from shared.messaging.consumer import open_subscriptions
from shared.messaging.publisher import open_publisher
from tests.support.waiting import eventually


async def confirmed(stack: Isolation, published_to: str, *, seen_from: str) -> Confirms:
    """A hundred confirms or more, published to one broker and looked for at another."""
    async with (
        open_publisher(published_to, name="test") as publisher,
        open_subscriptions(seen_from, name="test") as subscriptions,
    ):
        parts = stack.environment()
        for url in {published_to, seen_from}:
            await asyncio.to_thread(
                Confirms(publisher, {**parts, "AMQP_URL": url}, utc_now=utc_now).declare
            )
        made = Confirms(publisher, {**parts, "AMQP_URL": published_to}, utc_now=utc_now)
        publishing = asyncio.create_task(made.publish(subscriptions, 400.0))

        async def so_far() -> int:
            return made.confirmed

        await eventually("a hundred confirms", so_far, holds=lambda n: n >= 100, within=60)
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing
        return made


async def test_everything_that_was_confirmed_comes_out(
    stack: Isolation, bare_amqp_url: str
) -> None:
    made = await confirmed(stack, bare_amqp_url, seen_from=bare_amqp_url)

    assert made.confirmed >= 100
    assert made.gone == 0


async def test_what_was_confirmed_and_never_comes_out_is_counted(
    stack: Isolation, bare_amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirms, "ALL_SEEN_WITHIN_S", 1.0)
    elsewhere = stack.create_vhost("prove-confirms-elsewhere")
    try:
        made = await confirmed(stack, bare_amqp_url, seen_from=elsewhere)
    finally:
        stack.drop_vhost("prove-confirms-elsewhere")

    assert made.gone == made.confirmed >= 100
