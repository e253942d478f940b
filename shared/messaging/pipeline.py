"""Many publishes in flight on one channel, written in batches, each confirmed on its own.

The client writes one message at a time and waits for the socket in between, under a lock. Here
whatever came together since the last write goes out as one write; the bookkeeping of confirms and
returned messages stays the client's.
"""

import asyncio
from functools import lru_cache

import aio_pika
from aiormq.abc import ChannelFrame, ConfirmationFrameType
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

Waiting = tuple[str, bytes, "asyncio.Future[ConfirmationFrameType]"]

FULL_QUEUE_PAUSE_S = 0.005


class Pipeline:
    """The publishing side of ``channel``, which has confirms on; nobody else publishes on it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: list[Waiting] = []
        self._write_is_due = False

    @property
    def is_closed(self) -> bool:
        return self._channel.is_closed

    async def publish(
        self, message: aio_pika.Message, *, exchange: str, routing_key: str, mandatory: bool
    ) -> ConfirmationFrameType:
        """The broker's word for ``message``, whose ``message_id`` nothing else in flight has.

        Raises what the client does, and ValueError for what no frame can carry. A caller that gave
        up before its message was written takes it along: it is never sent.
        """
        if self._channel.is_closed:
            raise ChannelInvalidStateError(f"{self._channel} closed")
        if not message.message_id:
            raise ValueError("returned messages are told apart by their message_id")
        number = self._channel.number
        largest = self._channel.max_content_size
        header = frame.marshal(
            ContentHeader(properties=message.properties, body_size=len(message.body)), number
        )
        if len(header) > largest:  # the broker would close the connection, with all that is on it
            raise ValueError(f"headers of {len(header)} bytes; {largest} fit into a frame")
        frames = _publish_frame(number, exchange, routing_key, mandatory) + header
        for start in range(0, len(message.body), largest):
            frames += frame.marshal(ContentBody(message.body[start : start + largest]), number)
        # The channel's own future: it fails when the channel closes.
        confirmation = self._channel.create_future()
        self._waiting.append((message.message_id, frames, confirmation))
        self._write_soon()
        try:
            word: ConfirmationFrameType = await confirmation
        finally:
            # A return that comes after its deadline must find nobody.
            self._channel.message_id_delivery_tag.pop(message.message_id, None)
        return word

    def _write_soon(self) -> None:
        if not self._write_is_due:
            self._write_is_due = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """Write everything that waits. Only here delivery tags are given, in the order of writing,
        because the broker counts what arrives and is never told a tag."""
        self._write_is_due = False
        channel = self._channel
        if channel.is_closed or not self._waiting:
            return
        if channel.write_queue.full():
            self._write_is_due = True
            asyncio.get_running_loop().call_later(FULL_QUEUE_PAUSE_S, self._write)
            return
        waiting, self._waiting = self._waiting, []
        batch = []
        for message_id, frames, confirmation in waiting:
            if confirmation.done():
                continue
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = confirmation
            channel.message_id_delivery_tag[message_id] = channel.delivery_tag
            batch.append(frames)
        if batch:
            written = channel.create_future()
            channel.write_queue.put_nowait(
                ChannelFrame(payload=b"".join(batch), should_close=False, drain_future=written)
            )
            # The next batch waits for the socket: when the broker reads slowly or not at all, what
            # waits here runs into its deadline without having been sent.
            self._write_is_due = True
            written.add_done_callback(self._written)

    def _written(self, written: "asyncio.Future[None]") -> None:
        if written.cancelled() or written.exception() is not None:
            return  # the channel is gone, and with it every future of the messages that wait
        self._write()


@lru_cache(maxsize=256)
def _publish_frame(number: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    return frame.marshal(
        Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory), number
    )
