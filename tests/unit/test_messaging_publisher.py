"""What counts as published: the word of the broker, and no other one."""

from typing import cast

import pytest
from aio_pika.abc import AbstractConnection
from aiormq.abc import ConfirmationFrameType
from aiormq.exceptions import AMQPConnectionError
from pamqp.commands import Basic

from shared.clock import utc_now
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable
from shared.messaging.link import Link
from shared.messaging.pipeline import Pipeline
from shared.messaging.publisher import Publisher


class Says(Publisher):
    """A publisher whose broker answers every message with one word."""

    def __init__(self, word: object) -> None:
        super().__init__(cast(Link, None))
        self._word = cast(ConfirmationFrameType, word)

    async def publish_into(self, *_message: object, **_about: object) -> ConfirmationFrameType:
        return self._word

    async def _ready(self) -> Pipeline:
        ready = type("Ready", (), {"publish": self.publish_into})()
        return cast(Pipeline, ready)


FACT = Envelope(
    id="e1", type="prediction.succeeded", source="test", time=utc_now(), body=b"{}", subject=None
)


@pytest.mark.parametrize("word", [Basic.Nack(1), Basic.Reject(1), Basic.Return(), None])
async def test_whatever_is_no_ack_never_counts_as_published(word: object) -> None:
    with pytest.raises(BrokerUnavailable, match="instead of an ack"):
        await Says(word).publish(FACT)


async def test_an_ack_counts_as_published() -> None:
    await Says(Basic.Ack(1)).publish(FACT)


class Dies(Link):
    """A link that goes as soon as somebody wants a channel of it."""

    def __init__(self, error: Exception) -> None:
        super().__init__("amqp://nobody@127.0.0.1:1/", name="test")
        self._error = error

    async def connection(self) -> AbstractConnection:
        return cast(AbstractConnection, self)

    def channel(self, **_how: object) -> object:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the client's word for a connection that it closed"),
        AMQPConnectionError("reset"),
        ConnectionResetError(),
    ],
)
async def test_a_link_that_goes_as_a_channel_is_opened_is_a_broker_that_is_away(
    error: Exception,
) -> None:
    publisher = Publisher(Dies(error))

    with pytest.raises(BrokerUnavailable, match="broke"):
        await publisher.ping()
    with pytest.raises(BrokerUnavailable, match="broke"):
        await publisher.publish(FACT)
